"""What others did to the stack, what AWS denies half-way, and a GPU host that must not go on billing: `up` again."""

import time
from typing import Any

from tests.lab.operated import Abandoned, Operator
from tests.lab.small import until

DEAD_MAN_S = 180  # two minutes from the end of its boot script, and slack for a busy machine
API = {"IpProtocol": "tcp", "FromPort": 5000, "ToPort": 5000}
SSH_TO_ALL = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


def instance_state(operator: Operator, identity: str) -> str:
    found = operator.lab.client().describe_instances(InstanceIds=[identity])["Reservations"]
    return str(found[0]["Instances"][0]["State"]["Name"])


def test_an_abandoned_gpu_host_has_powered_itself_off(operator: Operator, abandoned: Abandoned) -> None:
    """Nothing that was asked of pneumoctl since then stops a host: it did so itself."""
    identity = operator.lab.host("train")["id"]
    left = max(1.0, abandoned.since + DEAD_MAN_S - time.monotonic())

    until("the GPU host to be stopped", lambda: instance_state(operator, identity) == "stopped", left)


def groups(operator: Operator) -> dict[str, dict[str, Any]]:
    """The security groups by role."""
    listed = operator.lab.client().describe_security_groups()["SecurityGroups"]
    return {one["GroupName"].rpartition("-")[2]: one for one in listed if one["GroupName"].startswith("pneumoctl-")}


def test_drift_shows_what_somebody_changed(operator: Operator, abandoned: Abandoned) -> None:
    """Two rules taken away, SSH opened to everyone, a host terminated and another stopped."""
    ec2, known = operator.lab.client(), groups(operator)
    app = known["app"]
    pairs = next(one["UserIdGroupPairs"] for one in app["IpPermissions"] if one["FromPort"] == API["FromPort"])
    gone = [{**API, "UserIdGroupPairs": [{"GroupId": one["GroupId"]}]} for one in pairs]
    ec2.revoke_security_group_ingress(GroupId=app["GroupId"], IpPermissions=gone)
    ec2.authorize_security_group_ingress(GroupId=known["nginx"]["GroupId"], IpPermissions=[SSH_TO_ALL])
    ec2.terminate_instances(InstanceIds=[operator.lab.host("train")["id"]])
    ec2.stop_instances(InstanceIds=[operator.lab.host("web-0")["id"]])

    assert {(one["what"], one["address"]) for one in operator.json("drift", code=3)["drift"]} == {
        ("gone", 'aws_instance.host["train"]'),
        ("gone", 'aws_vpc_security_group_ingress_rule.flow["web-app-api"]'),
        ("gone", 'aws_vpc_security_group_ingress_rule.flow["monitoring-app-api"]'),
        ("added", known["nginx"]["GroupId"]),
        ("stopped", "web-0"),
    }


def test_what_was_done_before_aws_denied_the_rest_is_kept(operator: Operator, abandoned: Abandoned) -> None:
    """The rules are put right; the instance is denied."""
    operator.lab.fault.api("denied", service="ec2", action="RunInstances")
    error = operator.json("up", "-y", code=6)["error"]
    operator.lab.fault.clear()

    assert "AWS denies ec2:RunInstances to these credentials" in error["message"]
    assert "2 of 3 operations were done and are in the state" in error["message"]
    assert error["hint"] == "have ec2:RunInstances allowed for this user or role, then the same command again"
    assert [one["address"] for one in error["failed"]] == ['aws_instance.host["train"]']
    assert len(error["done"]) == 2


def test_up_resumes_though_throttled_and_cries_out_if_the_gpu_cannot_be_stopped(
    operator: Operator, abandoned: Abandoned
) -> None:
    fault = operator.lab.fault
    fault.api("throttled", service="ec2", action="RunInstances", times=2)
    fault.api("throttled", service="ec2", action="Describe*", agent="terraform", times=8)
    fault.api("denied", service="ec2", action="StopInstances")
    done = operator.run("up", "-y", code=7)
    fault.clear()
    identity = operator.lab.host("train")["id"]
    waits = f"--region eu-west-1 --instance-ids {identity}"

    assert 'aws_instance.host["train"]: created' in done.stderr
    assert f"error: not confirmed stopped: train ({identity}): AWS denies ec2:StopInstances" in done.stderr
    assert "the GPU may be billing" in done.stderr
    assert f"next: aws ec2 stop-instances {waits}; then: aws ec2 wait instance-stopped {waits}" in done.stderr
    assert instance_state(operator, identity) == "running"


def test_then_up_stops_it_and_says_so(operator: Operator, abandoned: Abandoned) -> None:
    identity = operator.lab.host("train")["id"]
    done = operator.run("up", "-y")

    assert f"stopping the GPU host {identity}" in done.stderr
    assert "nothing to do: AWS is as planned" in done.stderr
    assert "5 hosts up, host keys pinned" in done.stdout and "the GPU host is stopped" in done.stdout
    assert instance_state(operator, identity) == "stopped"


def test_in_the_end_everything_is_as_wished(operator: Operator, abandoned: Abandoned) -> None:
    document = operator.json("status")

    assert document["up"] and not document["gpu_running"] and not document["strays"]
    assert {one["name"]: one["state"] for one in document["hosts"]}["train"] == "stopped"
    ssh = next(one for one in groups(operator)["nginx"]["IpPermissions"] if one["FromPort"] == 22)
    assert [one["CidrIp"] for one in ssh["IpRanges"]] == ["203.0.113.7/32"]
    assert {one["FromPort"] for one in groups(operator)["app"]["IpPermissions"]} == {22, 5000, 6379, 9100, 9121}
