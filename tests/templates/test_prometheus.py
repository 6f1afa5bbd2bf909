"""Prometheus and its exporters, started with the rendered files: targets, metrics, alerts and access."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import urllib3

from pneumoctl.plan.render import render
from tests.templates.front import Front, Upstream
from tests.templates.programs import program
from tests.templates.running import arguments, running, until

pytestmark = pytest.mark.usefixtures("network")


class Target:
    """A target of Prometheus."""

    def __init__(self, port: int, host: str, role: str) -> None:
        self.address, self.port, self.host, self.role = "127.0.0.1", port, host, role


TARGETS = {
    "prometheus": (Target(9090, "monitoring", "monitoring"),),
    "node": (Target(9100, "nginx", "nginx"), Target(9199, "train-0", "train")),
    "nginx": (Target(9113, "nginx", "nginx"),),
    "ui": (),
}


def request(path: str, method: str = "GET") -> urllib3.BaseHTTPResponse:
    return urllib3.request(method, f"http://127.0.0.1:9090{path}", retries=False, timeout=60)


def value(expression: str) -> list[dict]:
    """What Prometheus answers to an expression now."""
    answer = urllib3.request("GET", "http://127.0.0.1:9090/api/v1/query", fields={"query": expression}, timeout=60)
    return json.loads(answer.data)["data"]["result"]


def written(folder: Path) -> Path:
    """The rendered configuration and rules side by side."""
    (folder / "alerts.yml").write_text(render("prometheus/alerts.yml"))
    path = folder / "prometheus.yml"
    path.write_text(render("prometheus/prometheus.yml", stack="demo", targets=TARGETS))
    return path


def check(path: Path) -> int:
    return subprocess.run([program("promtool"), "check", "config", path], capture_output=True).returncode


def test_promtool_accepts_the_configuration_and_detects_an_error(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert check(path) == 0
    rules = tmp_path / "alerts.yml"
    rules.write_text(rules.read_text().replace("expr: up{", "expr: up{{", 1))
    assert check(path) == 1


@pytest.fixture(scope="module")
def monitored(tmp_path_factory: pytest.TempPathFactory, network: None) -> Iterator[None]:
    """Prometheus, two exporters and an nginx, all as rendered, but that it asks every second."""
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "certificate.prom").write_text("pneumoctl_certificate_expires_seconds 1893456000\n")
    path = written(folder)
    path.write_text(path.read_text().replace("scrape_interval: 15s", "scrape_interval: 1s").replace("10s", "1s"))
    node = [*arguments("prometheus-node-exporter"), f"--collector.textfile.directory={folder}"]
    words = arguments("prometheus", retention_days=30, retention_gb=8)
    words += [f"--config.file={path}", f"--storage.tsdb.path={folder / 'data'}"]
    (folder / "front").mkdir()
    with ExitStack() as held:
        held.enter_context(Front(folder / "front", Upstream("127.0.0.11")))
        nginx = arguments("prometheus-nginx-exporter")
        held.enter_context(running("prometheus-node-exporter", node, "http://127.0.0.1:9100/metrics"))
        held.enter_context(running("prometheus-nginx-exporter", nginx, "http://127.0.0.1:9113/metrics"))
        held.enter_context(running("prometheus", words, "http://127.0.0.1:9090/-/ready"))
        yield


@pytest.mark.usefixtures("monitored")
def test_every_target_is_found_under_the_name_of_its_host() -> None:
    until(lambda: len(value("up")) == 4 and len(value("up == 1")) == 3)
    targets = {(one["metric"]["job"], one["metric"]["instance"], one["value"][1]) for one in value("up")}
    assert targets == {
        ("prometheus", "monitoring", "1"),
        ("node", "nginx", "1"),
        ("node", "train-0", "0"),
        ("nginx", "nginx", "1"),
    }


@pytest.mark.usefixtures("monitored")
@pytest.mark.parametrize(
    "expression",
    [
        "nginx_up == 1",
        "nginx_http_requests_total",
        'pneumoctl_certificate_expires_seconds{instance="nginx"} == 1893456000',
        "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes",
        'node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs"} / node_filesystem_size_bytes',
    ],
)
def test_the_exporters_give_what_alerts_ask_for(expression: str) -> None:
    until(lambda: bool(value(expression)))


@pytest.mark.usefixtures("monitored")
def test_every_alert_is_loaded_and_none_fires_for_a_stopped_gpu_host() -> None:
    until(lambda: bool(value('up{role="train"} == 0')))
    groups = json.loads(request("/api/v1/rules").data)["data"]["groups"]
    until(lambda: all(rule["health"] == "ok" for group in rules() for rule in group["rules"]))
    assert sum(len(group["rules"]) for group in groups) >= 16
    alerts = [rule for group in rules() for rule in group["rules"] if rule["type"] == "alerting"]
    states = {rule["name"]: rule["state"] for rule in alerts}
    assert (states["HostDown"], states["GpuBillsForNothing"]) == ("inactive", "inactive")


def rules() -> list[dict]:
    return json.loads(request("/api/v1/rules").data)["data"]["groups"]


@pytest.mark.usefixtures("monitored")
def test_shutdown_and_deletion_over_http_are_disabled() -> None:
    assert request("/-/quit", "POST").status == request("/-/reload", "POST").status == 403
    assert b"admin APIs disabled" in request("/api/v1/admin/tsdb/delete_series?match[]=up", "POST").data
    flags = json.loads(request("/api/v1/status/flags").data)["data"]
    assert (flags["storage.tsdb.retention.time"], flags["storage.tsdb.retention.size"]) == ("30d", "8GiB")
    assert flags["web.listen-address"] == "127.0.0.1:9090"
