"""Every alert fires when it should and only then, according to promtool."""

import json
import re
import subprocess
from pathlib import Path

from pneumoctl.plan.render import render
from tests.templates.alert_cases import FIRES, SILENT, Case
from tests.templates.programs import program

RULES = render("prometheus/alerts.yml")
ALERTS = re.findall(r"^ +- alert: (\w+)$", RULES, re.M)


def judged(folder: Path, *looks: tuple[str, Case, bool]) -> "subprocess.CompletedProcess[str]":
    """The result of promtool for cases: (alert, case, whether it fires)."""
    tests = [_test(alert, case, fires) for alert, case, fires in looks]
    document = {"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": tests}
    (folder / "alerts.yml").write_text(RULES)
    (folder / "test.json").write_text(json.dumps(document))
    argv = [program("promtool"), "test", "rules", "test.json"]
    return subprocess.run(argv, cwd=folder, text=True, capture_output=True)


def _test(alert: str, case: Case, fires: bool) -> dict[str, object]:
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
    return {"interval": "1m", "input_series": series, "alert_rule_test": [looked]}


def cases(table: dict[str, list[Case]], fires: bool) -> list[tuple[str, Case, bool]]:
    return [(alert, case, fires) for alert, some in table.items() for case in some]


def test_every_alert_is_shown_to_fire_and_to_be_silent() -> None:
    assert len(ALERTS) == len(set(ALERTS)) >= 16
    assert set(ALERTS) == set(FIRES) == set(SILENT)
    assert all(map(len, (*FIRES.values(), *SILENT.values())))


def test_each_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    """In one run of promtool, which names the alert and the time of each case with another result."""
    result = judged(tmp_path, *cases(FIRES, fires=True), *cases(SILENT, fires=False))
    assert result.returncode == 0, result.stdout + result.stderr


def test_promtool_would_say_so(tmp_path: Path) -> None:
    good = ("HostDown", FIRES["HostDown"][0], True)
    for wrong in (("HostDown", FIRES["HostDown"][0], False), ("HostDown", SILENT["HostDown"][0], True)):
        result = judged(tmp_path, good, wrong)
        assert result.returncode == 1 and "HostDown" in result.stdout + result.stderr
