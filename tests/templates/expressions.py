"""All Prometheus expressions of the dashboards."""

import json
from typing import Any

from pneumoctl.plan.render import render

DASHBOARDS = ("service", "hosts", "training")


def dashboard(name: str) -> dict[str, Any]:
    """A dashboard as Grafana reads it."""
    made: dict[str, Any] = json.loads(render(f"grafana/{name}.json"))
    return made


def expressions() -> dict[str, str]:
    """Where each stands ("Service: Predictions a minute: A"), and what it asks."""
    return {
        f"{made['title']}: {panel['title']}: {target['refId']}": target["expr"]
        for made in map(dashboard, DASHBOARDS)
        for panel in made["panels"]
        for target in panel["targets"]
    }
