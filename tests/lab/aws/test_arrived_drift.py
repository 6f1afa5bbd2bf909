"""Manual changes on the hosts: `drift` names them and changes nothing; `up` repairs them."""

from typing import Any

import pytest

from tests.lab.arrival import Arrival
from tests.lab.operated import HOSTS, Operator
from tests.lab.shared import SharedStack

RELEASE = "/srv/pneumoctl/api/current"
REMOVE = "DEBIAN_FRONTEND=noninteractive apt-get -qq -y remove prometheus-nginx-exporter"


def on_hosts(operator: Operator, code: int | None) -> tuple[dict[str, str], str]:
    """The rows about hosts, and the diffs of files. Rows about AWS are left out."""
    document: dict[str, Any] = operator.json("drift", code=code)
    rows = [one for one in document["drift"] if one["address"].partition(":")[0] in HOSTS]
    return {one["address"]: f"{one['what']}: {one['detail']}" for one in rows}, "\n".join(document["differences"])


@pytest.fixture(scope="module")
def changed(aws: SharedStack[Arrival]) -> tuple[dict[str, str], str]:
    """Change by hand: a secret file, a stopped and disabled unit, a package, a file, a release. One host is frozen."""
    operator = aws.ready()
    fault = operator.lab.fault

    def on(host: str, line: str) -> None:
        fault.on(host, ["sh", "-c", line])

    on("app-0", "echo PNEUMO_OTHER=1 >>/etc/pneumoctl/api.env")
    on("app-1", f"echo '# mine' >>{RELEASE}/webapp/api/views.py")
    on("monitoring", "systemctl stop prometheus; systemctl disable --quiet prometheus")
    on("nginx", f"{REMOVE} >/dev/null; sed -i 's/keepalive_timeout .*/keepalive_timeout 1s;/' /etc/nginx/nginx.conf")
    fault.freeze("web-0")
    try:
        return on_hosts(operator, 1)
    finally:
        fault.thaw("web-0")
        operator.run("up", "-y")


def test_every_change_by_hand_is_named(changed: tuple[dict[str, str], str]) -> None:
    rows, differences = changed

    assert rows.pop("web-0").startswith("unknown: web-0 (10.20.16.10): ")
    release = next(address for address in rows if "releases/" in address)
    assert release.startswith("app-1: /srv/pneumoctl/api/releases/")
    assert rows == {
        "app-0: /etc/pneumoctl/api.env": "changed: contents or rights differ",
        release: "changed: differs from the deployed file",
        "monitoring: prometheus": "changed: does not start at boot",
        "nginx: package prometheus-nginx-exporter": "gone: is not installed",
        "nginx: /etc/nginx/nginx.conf": "changed: contents or rights differ",
        "nginx: prometheus-nginx-exporter": "stopped: does not run",
    } | {address: what for address, what in rows.items() if "prometheus" in address and "boot" in what}
    assert "-    keepalive_timeout 1s;" in differences


def test_drift_shows_only_that_a_secret_file_differs(changed: tuple[dict[str, str], str]) -> None:
    assert "app-0:/etc/pneumoctl/api.env: secret contents differ" in changed[1]
    assert "PNEUMO_OTHER" not in changed[1]


def test_up_has_put_it_right(changed: tuple[dict[str, str], str], operator: Operator) -> None:
    assert operator.json("drift") == {"stack": "default", "drift": [], "differences": []}
