"""Each fault has its documented effect, and can be undone."""

import os
import time

import pytest

from tests.lab.two_host_vpc import Stack, configure_ssh, host_key, state
from tests.lab.wait import wait_for


def test_a_cut_link_is_silence_and_comes_back(stack: Stack) -> None:
    stack.lab.fault.cut(stack.back)
    assert stack.lab.probe(stack.front, stack.address(stack.back), 22) == "silent"
    assert stack.lab.probe("operator", stack.public, 22) == "open"
    stack.lab.fault.restore(stack.back)
    assert stack.lab.probe(stack.front, stack.address(stack.back), 22) == "open"


def test_a_frozen_host_takes_connections_and_says_nothing(stack: Stack) -> None:
    stack.lab.fault.freeze(stack.back)
    try:
        assert stack.lab.probe(stack.front, stack.address(stack.back), 22) == "open"
        assert "timed out" in stack.ssh(stack.back, "true", timeout=1).stderr
    finally:
        stack.lab.fault.thaw(stack.back)
    assert stack.ssh(stack.back, "true").returncode == 0


def test_a_killed_host_runs_for_ec2_until_it_is_stopped_and_started(stack: Stack) -> None:
    assert stack.ssh(stack.back, "echo kept > note; sync").returncode == 0
    stack.lab.fault.kill(stack.back)
    stack.lab.await_host(stack.back, "dead")
    assert state(stack, stack.back) == "running"
    assert stack.lab.probe(stack.front, stack.address(stack.back), 22) == "silent"
    stack.lab.revive(stack.back)
    wait_for("SSH", lambda: stack.ssh(stack.back, "true").returncode == 0)
    assert stack.ssh(stack.back, "cat note").stdout == "kept\n"


def test_a_full_disk_takes_nothing_more_and_costs_this_machine_nothing(stack: Stack) -> None:
    before = os.statvfs(stack.lab.paths.directory).f_bavail
    write = "dd if=/dev/zero of=more bs=1M count=1 status=none; rm more"
    stack.lab.fault.fill(stack.back)
    full = stack.ssh(stack.back, write)
    used = (before - os.statvfs(stack.lab.paths.directory).f_bavail) * 4096
    stack.lab.fault.drain(stack.back)

    assert "No space left on device" in full.stderr
    assert used < 500_000_000
    assert not stack.ssh(stack.back, write).stderr


def test_changed_host_keys_are_noticed(stack: Stack) -> None:
    old = stack.lab.fault.on(stack.back, ["sh", "-c", "cat /etc/ssh/ssh_host_*"])
    stack.lab.fault.change_keys(stack.back)
    assert stack.lab.fault.on(stack.back, ["sh", "-c", "cat /etc/ssh/ssh_host_*"]) != old
    assert "HOST IDENTIFICATION HAS CHANGED" in stack.ssh(stack.back, "true").stderr
    stack.lab.fault.restore_keys(stack.back)
    assert stack.lab.fault.on(stack.back, ["sh", "-c", "cat /etc/ssh/ssh_host_*"]) == old
    wait_for("SSH", lambda: stack.ssh(stack.back, "true").returncode == 0)


def test_another_machine_under_the_same_address_has_nothing_of_the_old_one(stack: Stack) -> None:
    old = host_key(stack, stack.back)
    assert stack.ssh(stack.back, "echo kept > note").returncode == 0
    stack.lab.fault.replace(stack.back)
    wait_for("another key on the console", lambda: host_key(stack, stack.back) != old)
    configure_ssh(stack)
    wait_for("SSH", lambda: stack.ssh(stack.back, "true").returncode == 0)
    assert "No such file" in stack.ssh(stack.back, "cat note").stderr


def test_faults_of_the_api_do_not_affect_the_lab(stack: Stack) -> None:
    from botocore.exceptions import ClientError

    stack.lab.fault.api("throttled", service="ec2")
    with pytest.raises(ClientError, match="RequestLimitExceeded"):
        stack.ec2.describe_vpcs()
    stack.lab.fault.clear()
    assert stack.ec2.describe_vpcs()["Vpcs"]


def test_calls_are_counted_without_the_labs_own(stack: Stack) -> None:
    stack.lab.forget_calls()
    time.sleep(1.2)  # the reconciler checks the API twice a second
    stack.ec2.create_tags(Resources=[stack.vpc], Tags=[{"Key": "a", "Value": "b"}])
    stack.ec2.describe_vpcs()

    assert [call["action"] for call in stack.lab.calls()] == ["CreateTags", "DescribeVpcs"]
    assert [call["action"] for call in stack.lab.mutating_calls()] == ["CreateTags"]
