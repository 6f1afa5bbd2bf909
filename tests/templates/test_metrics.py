"""Alerts and dashboards only use metrics that a program exports."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import urllib3

from pneumoctl.plan.render import render
from tests.browser.conftest import Stack
from tests.templates.expressions import expressions
from tests.templates.front import Front, Upstream
from tests.templates.programs import program
from tests.templates.running import arguments, environment, running
from tests.webapp.servers import PASSWORD

OURS = {
    "pneumoctl_certificate_expires_seconds",  # a file that configure writes for the node exporter
    "pneumoctl_gpu_lease_expires_seconds",  # these are of the GPU host's guard
    "pneumoctl_training_steps_total",
    "pneumoctl_gpu_busy_ratio",
    "pneumoctl_gpu_memory_ratio",
}


@pytest.fixture(scope="module")
def exported_names(
    network: None, tmp_path_factory: pytest.TempPathFactory, bundle_with_scores: Path
) -> Iterator[set[str]]:
    """The names of all metrics that the real programs export, each running as on the hosts."""
    folder = tmp_path_factory.mktemp("all")
    (folder / "front").mkdir()
    # Debian's node exporter counts on all interfaces but the loopback: hosts have another.
    subprocess.run([program("ip"), "link", "add", "here", "type", "veth", "peer", "name", "there"], check=True)
    stack = Stack.started(folder, bundle_with_scores, RETENTION_DAYS="30")  # or nothing is exported of the clock
    name = "prometheus-redis-exporter"
    redis = {"address": "127.0.0.1", "port": stack.redis.port, "user": "tests", "password": PASSWORD}
    full_environment = {**os.environ, **environment(name, **redis)}
    urls = [f"http://127.0.0.1:{port}/metrics" for port in (9100, 9113, 9121)]
    with ExitStack() as held:
        held.callback(stack.stop)
        held.enter_context(Front(folder / "front", Upstream("127.0.0.11")))
        held.enter_context(running("prometheus-node-exporter", arguments("prometheus-node-exporter"), urls[0]))
        held.enter_context(running("prometheus-nginx-exporter", arguments("prometheus-nginx-exporter"), urls[1]))
        held.enter_context(running(name, arguments(name, **redis), urls[2], full_environment))
        names = set()
        for url in (*urls, f"{stack.api.url}/metrics", f"{stack.ui.url}/metrics"):
            text = urllib3.request("GET", url, retries=False, timeout=30).data.decode()
            names |= set(re.findall(r"^# TYPE (\w+)", text, re.M)) | set(re.findall(r"^(\w+)", text, re.M))
        yield names


def named(text: str) -> set[str]:
    """The metrics in an expression or in all rules; parts of a histogram by the histogram's name."""
    names = set(re.findall(r"\b(?:pneumo|pneumoctl|node|nginx|redis)_\w+", re.sub(r'"[^"]*"', "", text)))
    return {re.sub(r"_(bucket|count)$", "", name) for name in names}


def test_dashboards_and_alerts_use_exported_metrics_only(exported_names: set[str]) -> None:
    shown = {name for expression in expressions().values() for name in named(expression)}
    rules = re.findall(r"expr: (.*?)(?:for|labels):", render("prometheus/alerts.yml"), re.S)
    watched = set().union(*map(named, rules))
    assert len(shown) > 15 and len(watched) > 12
    assert (shown | watched) - exported_names == OURS
