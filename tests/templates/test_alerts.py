"""Every alert fires when it should and only then, according to promtool."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from pneumoctl.plan.render import render
from tests.templates.alert_cases import FIRES, SILENT, Case
from tests.templates.programs import program

RULES = render("prometheus/alerts.yml")
ALERTS = re.findall(r"^ +- alert: (\w+)$", RULES, re.M)


def judged(folder: Path, alert: str, case: Case, fires: bool) -> "subprocess.CompletedProcess[str]":
    """The result of promtool for a case."""
    (rule,) = re.findall(rf"alert: {alert}\n(.*?)(?=\n\n|\Z)", RULES, re.S)
    (severity,) = re.findall(r"severity: (\w+)", rule)
    (action,) = re.findall(r'action: "(.*)"', rule)
    for name, value in case.labels.items():
        action = action.replace(f"{{{{ $labels.{name} }}}}", value)
    fired = {
        "exp_labels": {**case.labels, "severity": severity},
        "exp_annotations": {"summary": case.summary, "action": action},
    }
    looked = {"eval_time": case.at, "alertname": alert, "exp_alerts": [fired] if fires else []}
    series = [{"series": name, "values": values} for name, values in case.series.items()]
    test = {"interval": "1m", "input_series": series, "alert_rule_test": [looked]}
    document = {"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": [test]}
    (folder / "alerts.yml").write_text(RULES)
    (folder / "test.json").write_text(json.dumps(document))
    argv = [program("promtool"), "test", "rules", "test.json"]
    return subprocess.run(argv, cwd=folder, text=True, capture_output=True)


def cases(table: dict[str, list[Case]]) -> list:
    return [pytest.param(alert, case, id=f"{alert}: {case.about}") for alert, some in table.items() for case in some]


def test_every_alert_is_shown_to_fire_and_to_be_silent() -> None:
    assert len(ALERTS) == len(set(ALERTS)) >= 16
    assert set(ALERTS) == set(FIRES) == set(SILENT)
    assert all(map(len, (*FIRES.values(), *SILENT.values())))


@pytest.mark.parametrize(("alert", "case"), cases(FIRES))
def test_fires(tmp_path: Path, alert: str, case: Case) -> None:
    result = judged(tmp_path, alert, case, fires=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(("alert", "case"), cases(SILENT))
def test_is_silent(tmp_path: Path, alert: str, case: Case) -> None:
    result = judged(tmp_path, alert, case, fires=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_promtool_would_say_so(tmp_path: Path) -> None:
    assert judged(tmp_path, "HostDown", FIRES["HostDown"][0], fires=False).returncode == 1
    assert judged(tmp_path, "HostDown", SILENT["HostDown"][0], fires=True).returncode == 1
