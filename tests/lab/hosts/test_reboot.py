"""All hosts reboot at the same time: every service comes back, and the stored results are still there."""

import json

from tests.lab.hosts.traffic import Traffic
from tests.lab.stack_operator import Operator
from tests.lab.wait import wait_for


def test_after_a_reboot_of_every_host_all_is_back_and_nothing_is_left_to_do(operator: Operator) -> None:
    inventory = json.loads((operator.directory / "inventory.json").read_text())["hosts"]
    hosts = [host["name"] for host in inventory if host["role"] != "train"]  # that one is off
    page = Traffic(operator)
    page.upload(0)
    before = {host: operator.lab.host(host)["pid"] for host in hosts}
    for host in hosts:
        operator.lab.fault.reboot(host)
    for host in hosts:
        wait_for(f"the end of {host}", lambda host=host: operator.lab.host(host)["pid"] != before[host])
        operator.lab.wait_for_host(host, "up")
    seconds = wait_for("the page to serve", lambda: serves(page))
    print(f"served {seconds:.1f} s after the last host had booted")

    for number in range(4):  # the first page, the stored prediction as page and document, the list
        page.view(4 * number)
    for host in hosts:
        assert operator.lab.fault.run_on_host(host, ["systemctl", "--failed", "--plain", "--no-legend"]) == "", host
    assert operator.json("configure", "-y")["changed"] == []


def serves(page: Traffic) -> bool:
    """Whether a picture gets a finding."""
    try:
        page.view(4)
    except Exception:
        return False
    return True
