"""Grafana's files: they are complete, and Prometheus accepts every expression."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from pneumoctl.plan.render import render
from tests.templates.expressions import DASHBOARDS, dashboard, expressions
from tests.templates.programs import program

SOURCE = {"type": "prometheus", "uid": "pneumoctl"}


def understood(folder: Path, asked: list[str]) -> "subprocess.CompletedProcess[str]":
    """The result of promtool for expressions, each as a separate rule."""
    rules = [{"record": f"asked:{number}", "expr": one} for number, one in enumerate(asked)]
    (folder / "rules.json").write_text(json.dumps({"groups": [{"name": "asked", "rules": rules}]}))
    argv = [program("promtool"), "check", "rules", folder / "rules.json"]
    return subprocess.run(argv, text=True, capture_output=True)


def test_prometheus_understands_every_expression(tmp_path: Path) -> None:
    asked = list(expressions().values())
    result = understood(tmp_path, asked)
    assert result.returncode == 0 and f"SUCCESS: {len(asked)} rules found" in result.stdout, (
        result.stdout + result.stderr
    )
    assert understood(tmp_path, [*asked, "rate(up[5m)"]).returncode == 1


def test_dashboards_have_names_of_their_own() -> None:
    made = [dashboard(name) for name in DASHBOARDS]
    assert [one["uid"] for one in made] == ["pneumoctl-service", "pneumoctl-hosts", "pneumoctl-training"]
    assert len({one["title"] for one in made}) == len(made)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_is_whole(name: str) -> None:
    panels = dashboard(name)["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(panels) and all(x + 8 <= 24 for x, _ in places)
    for panel in panels:
        assert panel["title"] and panel["description"].endswith(".") and panel["datasource"] == SOURCE
        references = [target["refId"] for target in panel["targets"]]
        assert references and len(set(references)) == len(references)
        for target in panel["targets"]:
            assert target["datasource"] == SOURCE and target["expr"]
            # A legend names only labels that are in what it stands for.
            named = re.findall(r"{{(\w+)}}", target["legendFormat"])
            grouping = re.search(r"by \(([\w, ]+)\)", target["expr"])
            assert not grouping or set(named) <= set(grouping[1].split(", "))


def test_the_source_is_the_one_that_the_dashboards_name() -> None:
    (source,) = yaml.safe_load(render("grafana/datasources.yaml"))["datasources"]
    assert {name: source[name] for name in SOURCE} == SOURCE
    assert (source["url"], source["editable"]) == ("http://127.0.0.1:9090", False)


def test_dashboards_are_read_from_where_they_are_put_and_cannot_be_changed_there() -> None:
    (provider,) = yaml.safe_load(render("grafana/dashboards.yaml"))["providers"]
    assert (provider["options"]["path"], provider["allowUiUpdates"]) == ("/etc/grafana/pneumoctl", False)
