"""The hosts after `up`: the web page behind nginx with TLS, the metrics in Prometheus, and a rerun."""

import json
import re
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3

from model import phantom
from tests.lab import page_session
from tests.lab.first_up import FirstUp
from tests.lab.stack_operator import HOSTS, Operator
from tests.lab.wait import wait_for
from tests.templates.expressions import expressions

SERVICES = {
    "app-0": ("pneumoctl-api.service", "pneumoctl-api.socket", "redis-server", "prometheus-redis-exporter"),
    "app-1": ("pneumoctl-api.service", "pneumoctl-api.socket"),
    "web-0": ("pneumoctl-ui.service", "pneumoctl-ui.socket"),
    "nginx": ("nginx", "prometheus-nginx-exporter"),
    "monitoring": ("prometheus",),
}
REFUSING_NGINX = "/usr/local/sbin/nginx"  # comes before the real one on the PATH


def invocations(operator: Operator) -> dict[tuple[str, str], str]:
    """The systemd invocation id of each running service."""
    return {
        (host, unit): operator.lab.fault.run_on_host(host, ["systemctl", "show", "-P", "InvocationID", unit]).strip()
        for host, units in SERVICES.items()
        for unit in (*units, "prometheus-node-exporter")
    }


@pytest.fixture
def page(operator: Operator, first_up: FirstUp) -> Callable[..., urllib3.BaseHTTPResponse]:
    """Send a request to the web page from the operator's network, as a user who is logged in."""
    session = page_session.begin(operator)

    def ask(method: str, path: str, head: dict[str, str] | None = None, **more: Any) -> urllib3.BaseHTTPResponse:
        return page_session.request(operator, method, path, headers=session if head is None else head, **more)

    return ask


def test_up_ends_with_a_real_prediction_through_the_front_door(first_up: FirstUp) -> None:
    proof = first_up.document["prediction"]

    assert proof["finding"] in ("pneumonia", "no pneumonia") and proof["refusal"] is None
    assert 0 <= proof["probability"] <= 1 and proof["model"]["name"]


def test_a_request_has_the_same_id_in_the_logs_of_nginx_and_of_the_api(
    operator: Operator, page: Callable[..., urllib3.BaseHTTPResponse]
) -> None:
    def journal(host: str, *of: str) -> str:
        return operator.lab.fault.run_on_host(host, ["journalctl", "-q", "-o", "cat", *of])

    page("GET", "/")

    def logged() -> bool:
        ids = re.findall(r"^([0-9a-f]{32}) \S+ GET / 200 ", journal("nginx", "-t", "nginx"), re.MULTILINE)
        lines = "".join(journal(host, "-u", "pneumoctl-api") for host in ("app-0", "app-1"))
        return bool(ids) and f"request {ids[-1]} GET /v1/predictions 200 " in lines

    wait_for("the request in both logs", logged)


def test_a_radiograph_is_assessed_by_the_page_and_stays_on_it(page: Callable[..., urllib3.BaseHTTPResponse]) -> None:
    picture = phantom.png(5, 512, True)
    sent = page("POST", "/predictions", fields={"file": ("drawn.png", picture, "image/png")})
    assert sent.status == 303  # so that a reload of the page does not send the upload again
    where = urllib.parse.urlsplit(sent.headers["Location"])
    assert "drawn.png" in page("GET", f"{where.path}?{where.query}").data.decode()
    assert "drawn.png" in page("GET", "/").data.decode()


@pytest.mark.parametrize(
    "login", [{}, {"Cookie": f"__Host-session={'x' * 43}"}, urllib3.make_headers(basic_auth="clinician:guessed")]
)
def test_nobody_gets_in_without_a_login(page: Callable[..., urllib3.BaseHTTPResponse], login: dict[str, str]) -> None:
    shown = page("GET", "/", head=login)
    assert (shown.status, shown.headers["Location"].partition("?")[0]) == (303, "/login")
    assert page("GET", "/predictions", head={**login, "Accept": "application/json"}).status == 401
    assert page("POST", "/predictions", head=login, body=b"").status == 401


def test_a_disabled_user_is_out_at_once_and_a_program_gets_in_with_its_token(
    operator: Operator, first_up: FirstUp, page: Callable[..., urllib3.BaseHTTPResponse]
) -> None:
    newest = max(operator.json("users", "ls")["users"], key=lambda user: user["created"])["name"]
    operator.json("users", "disable", newest)
    assert page("GET", "/").status == 303
    token = operator.json("tokens", "add", "program", "--scope", "read")
    head = {"Authorization": f"Bearer {token['token']}", "Accept": "application/json"}
    assert page("GET", "/predictions", head=head).status == 200
    operator.json("tokens", "revoke", token["id"])
    assert page("GET", "/predictions", head=head).status == 401


def test_what_is_not_for_people_is_not_to_be_had_from_outside(page: Callable[..., urllib3.BaseHTTPResponse]) -> None:
    assert {page("GET", path).status for path in ("/metrics", "/readyz", "/stub_status")} == {404}


def test_a_second_up_changes_nothing_and_restarts_nothing(first_up: FirstUp, operator: Operator) -> None:
    before = invocations(operator)
    operator.lab.reset_calls()

    assert operator.json("up", "-y")["changed"] == []
    assert len(operator.lab.calls()) > 50  # it did query AWS
    assert operator.lab.mutating_calls() == []
    assert invocations(operator) == before
    assert all(before.values())


def test_every_service_runs_and_starts_at_boot(first_up: FirstUp, operator: Operator) -> None:
    for host, units in SERVICES.items():
        active = operator.lab.fault.run_on_host(host, ["systemctl", "is-active", *units])
        assert set(active.split()) == {"active"}, host
        enabled = operator.lab.fault.run_on_host(host, ["systemctl", "is-enabled", *units])
        assert set(enabled.split()) == {"enabled"}, host


def test_no_secret_on_a_host_is_anybody_elses_to_read(first_up: FirstUp, operator: Operator) -> None:
    files = {
        "app-0": ("/etc/pneumoctl/api.env", "/etc/redis/users.acl", "/etc/default/prometheus-redis-exporter"),
        "web-0": ("/etc/pneumoctl/ui.env",),
        "nginx": ("/etc/pneumoctl/tls/own/privkey.pem",),
    }
    modes = {
        path: operator.lab.fault.run_on_host(host, ["stat", "-c", "%a %U:%G", path]).strip()
        for host, paths in files.items()
        for path in paths
    }

    assert modes == {
        "/etc/pneumoctl/api.env": "600 root:root",
        "/etc/redis/users.acl": "640 root:redis",
        "/etc/default/prometheus-redis-exporter": "600 root:root",
        "/etc/pneumoctl/ui.env": "600 root:root",
        "/etc/pneumoctl/tls/own/privkey.pem": "600 root:root",
    }


def prometheus(operator: Operator, path: str, **query: str) -> Any:
    url = f"http://127.0.0.1:9090/api/v1/{path}?{urllib.parse.urlencode(query)}"
    return json.loads(operator.lab.fault.run_on_host("monitoring", ["curl", "-sS", url]))["data"]


def wait_until_scraped(operator: Operator) -> list[dict[str, Any]]:
    """The targets, after Prometheus has scraped each at least once; the training host is off."""

    def targets() -> list[dict[str, Any]]:
        active: list[dict[str, Any]] = prometheus(operator, "targets")["activeTargets"]
        return [target for target in active if target["labels"]["instance"] != "train"]

    wait_for("every target to be scraped", lambda: all(target["health"] == "up" for target in targets()), 120, pause=1)
    return targets()


def test_prometheus_scrapes_every_target(first_up: FirstUp, operator: Operator) -> None:
    targets = wait_until_scraped(operator)

    assert {(target["labels"]["job"], target["labels"]["instance"], target["health"]) for target in targets} == {
        ("prometheus", "monitoring", "up"),
        *(("node", host, "up") for host in HOSTS),
        ("nginx", "nginx", "up"),
        ("ui", "web-0", "up"),
        ("api", "app-0", "up"),
        ("api", "app-1", "up"),
        ("redis", "app-0", "up"),
    }, [target["lastError"] for target in targets]


def test_no_alert_is_about_a_stack_that_is_well(first_up: FirstUp, operator: Operator) -> None:
    wait_until_scraped(operator)

    def firing() -> list[str]:
        alerts = prometheus(operator, "alerts")["alerts"]
        return [alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"]

    # Those about an earlier test end some minutes after it.
    wait_for("no alert to fire", lambda: not firing(), 600, pause=1)


def test_every_expression_of_the_dashboards_returns_data(
    first_up: FirstUp, operator: Operator, page: Callable[..., urllib3.BaseHTTPResponse]
) -> None:
    wait_until_scraped(operator)
    page("POST", "/predictions", fields={"file": ("drawn.png", phantom.png(6, 512, False), "image/png")})
    # There is no training host yet, and drift needs 200 films. The disks of the lab's hosts are folders, which
    # node_exporter does not report.
    without_data = {
        where: expression
        for where, expression in expressions().items()
        if not where.startswith(("Training", "Service: Drift", "Hosts: Disk"))
    }

    def all_have_data() -> bool:
        for where, expression in list(without_data.items()):
            if prometheus(operator, "query", query=expression)["result"]:
                del without_data[where]
        return not without_data

    wait_for(f"data for {without_data}", all_have_data, 240, pause=1)  # a rate needs two scrapes, 15 s apart


def test_a_host_that_is_away_does_not_stop_the_others(first_up: FirstUp, operator: Operator) -> None:
    operator.lab.fault.run_on_host("app-1", ["sh", "-c", "echo '# by hand' >>/etc/default/prometheus-node-exporter"])
    operator.lab.fault.freeze("web-0")
    try:
        failed = operator.run("configure", "-y", code=6)
    finally:
        operator.lab.fault.thaw("web-0")

    assert "web-0" in failed.stderr and "next:" in failed.stderr and "pneumoctl configure" in failed.stderr
    assert operator.json("configure", "-y")["changed"] == []
    assert "by hand" not in operator.lab.fault.run_on_host("app-1", ["cat", "/etc/default/prometheus-node-exporter"])


def test_what_somebody_changed_by_hand_is_shown_and_put_back(first_up: FirstUp, operator: Operator) -> None:
    operator.lab.fault.run_on_host(
        "nginx", ["sed", "-i", "s/server_tokens off/server_tokens on/", "/etc/nginx/nginx.conf"]
    )
    planned = operator.json("plan", "--exit-code", code=3)
    shown = operator.run("configure", "--diff", "nginx").stdout

    assert planned["changes"] == []  # AWS is as planned
    assert planned["hosts"]["changes"] == [{"host": "nginx", "step": "Configure the front door"}]
    assert "-    server_tokens on;" in shown and "+    server_tokens off;" in shown
    assert [step.split(": ")[1] for step in operator.json("configure", "-y", "nginx")["changed"]] == [
        "Configure the front door"
    ]


def test_a_configuration_that_nginx_refuses_never_goes_live(
    first_up: FirstUp, operator: Operator, page: Callable[..., urllib3.BaseHTTPResponse]
) -> None:
    live = operator.lab.fault.run_on_host("nginx", ["cat", "/etc/nginx/nginx.conf"])
    script = f"printf '#!/bin/sh\\necho refused >&2; exit 1\\n' >{REFUSING_NGINX}; chmod +x {REFUSING_NGINX}"
    operator.lab.fault.run_on_host("nginx", ["sh", "-c", script])
    operator.lab.fault.run_on_host("nginx", ["sh", "-c", "echo '# by hand' >>/etc/nginx/nginx.conf"])
    try:
        failed = operator.run("configure", "-y", "nginx", code=6)
        configuration = operator.lab.fault.run_on_host("nginx", ["cat", "/etc/nginx/nginx.conf"])
    finally:
        operator.lab.fault.run_on_host("nginx", ["rm", REFUSING_NGINX])

    assert "nginx -t" in failed.stderr and "refused" in failed.stderr
    assert configuration == f"{live}# by hand\n"
    assert page("GET", "/").status == 200
    assert operator.json("configure", "-y", "nginx")["changed"]


def test_secrets_are_rotated_while_it_serves_and_what_was_stored_stays_readable(
    first_up: FirstUp, operator: Operator, page: Callable[..., urllib3.BaseHTTPResponse]
) -> None:
    page("POST", "/predictions", fields={"file": ("kept.png", phantom.png(7, 512, True), "image/png")})
    before = json.loads((operator.directory / "secrets.json").read_text())
    assert json.loads(operator.run("secrets", "rotate", "-y", "--json").stdout)["changed"]
    after = json.loads((operator.directory / "secrets.json").read_text())

    assert not {before[name] for name in ("redis_password", "api_token", "mac_key", "page_token")} & {
        value for value in after.values() if isinstance(value, str)
    }
    shown = page("GET", "/")  # whoever has logged in stays so
    assert shown.status == 200 and "kept.png" in shown.data.decode()
    users = operator.lab.fault.run_on_host("app-0", ["cat", "/etc/redis/users.acl"])
    assert users.count(" #") == users.count("\nuser ") == 3  # the old passwords are removed
    assert operator.json("configure", "-y")["changed"] == []
    assert "secrets rotate" in {act["command"] for act in operator.json("audit")["acts"]}


def test_what_is_done_on_the_hosts_is_in_the_audit_record(first_up: FirstUp, operator: Operator) -> None:
    operator.lab.fault.run_on_host("web-0", ["sh", "-c", "echo '# by hand' >>/etc/default/prometheus-node-exporter"])
    operator.run("configure", "-y", "web-0")
    operator.run("audit", "--verify")

    assert {"up", "configure"} <= {act["command"] for act in operator.json("audit")["acts"]}
    assert Path(operator.directory / "journal.jsonl").exists()
