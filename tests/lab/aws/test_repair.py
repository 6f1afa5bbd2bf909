"""`drift` names manual changes. `up` repairs them, resumes after AWS denied a call, and leaves no GPU host running."""

import subprocess
from dataclasses import dataclass
from typing import Any

import pytest

from tests.lab.first_up import FirstUp
from tests.lab.shared import SharedStack
from tests.lab.stack_operator import Operator

API = {"IpProtocol": "tcp", "FromPort": 5000, "ToPort": 5000}
SSH_TO_ALL = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
RELEASE = "/srv/pneumoctl/api/current"
REMOVE = "DEBIAN_FRONTEND=noninteractive apt-get -qq -y remove prometheus-nginx-exporter"
ON_HOSTS = {
    "app-0": f"echo PNEUMO_OTHER=1 >>/etc/pneumoctl/api.env; echo '# mine' >>{RELEASE}/webapp/api/views.py",
    "monitoring": "systemctl stop prometheus; systemctl disable --quiet prometheus",
    "nginx": f"{REMOVE} >/dev/null; sed -i 's/keepalive_timeout .*/keepalive_timeout 1s;/' /etc/nginx/nginx.conf",
}
CommandResult = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Repaired:
    """The output of each command until the stack is repaired, and the state of the GPU host after it."""

    front_door_group: str  # the id of the front door's security group
    drift: dict[str, Any]
    denied: dict[str, Any]
    throttled: CommandResult
    billing: str
    train: str
    last: CommandResult
    after: str
    status: dict[str, Any]


@pytest.fixture(scope="module")
def repaired(aws: SharedStack[FirstUp]) -> Repaired:
    operator = aws.ready()
    front_door_group = groups(operator)["nginx"]["GroupId"]
    change_by_hand(operator)
    operator.lab.fault.freeze("app-1")
    try:
        drift = operator.json("drift", code=1)  # 1: a host could not be asked
    finally:
        operator.lab.fault.thaw("app-1")
    operator.lab.fault.api("denied", service="ec2", action="RunInstances")
    denied = operator.json("up", "-y", code=6)["error"]
    operator.lab.fault.clear()
    throttled = throttled_up(operator)
    train = operator.lab.host("train")["id"]
    billing = operator.state(train)
    last = operator.run("up", "-y")
    after = operator.state(train)
    return Repaired(front_door_group, drift, denied, throttled, billing, train, last, after, operator.status())


def groups(operator: Operator) -> dict[str, dict[str, Any]]:
    """The security groups by role."""
    listed = operator.lab.client().describe_security_groups()["SecurityGroups"]
    return {
        group["GroupName"].rpartition("-")[2]: group for group in listed if group["GroupName"].startswith("pneumoctl-")
    }


def change_by_hand(operator: Operator) -> None:
    """Remove two rules, open SSH to everyone, terminate one host and stop another. On the others, change by hand: a
    secret file, a release, a unit, a package and a file.
    """
    ec2, groups_by_role = operator.lab.client(), groups(operator)
    app = groups_by_role["app"]
    pairs = next(
        permission["UserIdGroupPairs"]
        for permission in app["IpPermissions"]
        if permission["FromPort"] == API["FromPort"]
    )
    revoked = [{**API, "UserIdGroupPairs": [{"GroupId": pair["GroupId"]}]} for pair in pairs]
    ec2.revoke_security_group_ingress(GroupId=app["GroupId"], IpPermissions=revoked)
    ec2.authorize_security_group_ingress(GroupId=groups_by_role["nginx"]["GroupId"], IpPermissions=[SSH_TO_ALL])
    ec2.terminate_instances(InstanceIds=[operator.instance_id("train")])
    ec2.stop_instances(InstanceIds=[operator.instance_id("web-0")])
    for host, script in ON_HOSTS.items():
        operator.lab.fault.run_on_host(host, ["sh", "-c", script])


def throttled_up(operator: Operator) -> CommandResult:
    """Run `up` while AWS throttles calls and denies stopping the GPU host."""
    fault = operator.lab.fault
    fault.api("throttled", service="ec2", action="RunInstances", times=2)
    fault.api("throttled", service="ec2", action="Describe*", agent="terraform", times=8)
    fault.api("denied", service="ec2", action="StopInstances")
    try:
        return operator.run("up", "-y", code=7)
    finally:
        fault.clear()


def test_drift_names_every_change_in_aws(repaired: Repaired) -> None:
    assert {
        (difference["what"], difference["address"])
        for difference in repaired.drift["drift"]
        if ":" not in difference["address"]
    } == {
        ("gone", 'aws_instance.host["train"]'),
        ("gone", 'aws_vpc_security_group_ingress_rule.flow["web-app-api"]'),
        ("gone", 'aws_vpc_security_group_ingress_rule.flow["monitoring-app-api"]'),
        ("added", repaired.front_door_group),
        ("stopped", "web-0"),
        ("unknown", "app-1"),
    }


def test_drift_says_which_host_could_not_be_asked(repaired: Repaired, operator: Operator) -> None:
    (detail,) = [difference["detail"] for difference in repaired.drift["drift"] if difference["what"] == "unknown"]

    assert detail.startswith(f"app-1 ({operator.inventory_host('app-1')['address']}): ")


def test_drift_names_every_change_on_the_hosts(repaired: Repaired) -> None:
    shown = [difference for difference in repaired.drift["drift"] if ":" in difference["address"]]
    rows = {difference["address"]: f"{difference['what']}: {difference['detail']}" for difference in shown}

    release = next(address for address in rows if "releases/" in address)
    assert release.startswith("app-0: /srv/pneumoctl/api/releases/")
    assert rows == {
        "app-0: /etc/pneumoctl/api.env": "changed: contents or rights differ",
        release: "changed: differs from the deployed file",
        "monitoring: prometheus": "changed: does not start at boot",
        "nginx: package prometheus-nginx-exporter": "gone: is not installed",
        "nginx: /etc/nginx/nginx.conf": "changed: contents or rights differ",
        "nginx: prometheus-nginx-exporter": "stopped: does not run",
    } | {address: what for address, what in rows.items() if "prometheus" in address and "boot" in what}


def test_drift_shows_what_differs_in_a_file_unless_it_is_secret(repaired: Repaired) -> None:
    differences = "\n".join(repaired.drift["differences"])

    assert "-    keepalive_timeout 1s;" in differences
    assert "app-0:/etc/pneumoctl/api.env: secret contents differ" in differences
    assert "PNEUMO_OTHER" not in differences


def test_what_was_done_before_aws_denied_the_rest_is_kept(repaired: Repaired) -> None:
    """The rules are repaired before the instance is denied."""
    error = repaired.denied

    assert "AWS denies ec2:RunInstances to these credentials" in error["message"]
    assert "3 of 5 operations were done and are in the state" in error["message"]
    assert error["hint"] == "have ec2:RunInstances allowed for this user or role, then run the same command again"
    assert [failure["address"] for failure in error["failed"]] == ['aws_instance.host["train"]']
    assert len(error["done"]) == 3  # the rules, and the end of the old stop of a first boot


def test_up_resumes_despite_throttling_and_reports_a_gpu_that_cannot_be_stopped(repaired: Repaired) -> None:
    stderr, waits = repaired.throttled.stderr, f"--region eu-west-1 --instance-ids {repaired.train}"

    assert 'aws_instance.host["train"]: created' in stderr
    assert f"error: not confirmed stopped: train ({repaired.train}): AWS denies ec2:StopInstances" in stderr
    assert "the GPU may be billing" in stderr
    assert f"next: aws ec2 stop-instances {waits}; then: aws ec2 wait instance-stopped {waits}" in stderr
    assert repaired.billing == "running"


def test_then_up_stops_it_and_says_so(repaired: Repaired) -> None:
    assert f"stopping the GPU host {repaired.train}" in repaired.last.stderr
    assert "nothing to do: AWS is as planned" in repaired.last.stderr
    assert "5 hosts up, host keys pinned" in repaired.last.stdout and "the GPU host is stopped" in repaired.last.stdout
    assert repaired.after == "stopped"


def test_in_the_end_everything_is_as_its_settings_say(repaired: Repaired, operator: Operator) -> None:
    document = repaired.status

    assert document["up"] and not document["gpu_running"] and not document["strays"]
    assert {host["name"]: host["state"] for host in document["hosts"]}["train"] == "stopped"
    ssh = next(permission for permission in groups(operator)["nginx"]["IpPermissions"] if permission["FromPort"] == 22)
    assert [block["CidrIp"] for block in ssh["IpRanges"]] == ["203.0.113.7/32"]
    assert {permission["FromPort"] for permission in groups(operator)["app"]["IpPermissions"]} == {
        22,
        5000,
        6379,
        9100,
        9121,
    }
