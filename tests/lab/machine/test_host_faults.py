"""Each fault has its documented effect, and can be undone."""

import os
import time

import pytest

from tests.lab.two_host_vpc import TwoHostVpc, configure_ssh, host_key, state
from tests.lab.wait import wait_for

pytestmark = pytest.mark.repeat  # the tests of the stack use the lab all the time


def test_a_cut_link_is_silence_and_comes_back(vpc: TwoHostVpc) -> None:
    vpc.lab.fault.cut(vpc.back)
    assert vpc.lab.probe(vpc.front, vpc.address(vpc.back), 22) == "silent"
    assert vpc.lab.probe("operator", vpc.public, 22) == "open"
    vpc.lab.fault.restore(vpc.back)
    assert vpc.lab.probe(vpc.front, vpc.address(vpc.back), 22) == "open"


def test_a_frozen_host_takes_connections_and_says_nothing(vpc: TwoHostVpc) -> None:
    vpc.lab.fault.freeze(vpc.back)
    try:
        assert vpc.lab.probe(vpc.front, vpc.address(vpc.back), 22) == "open"
        assert "timed out" in vpc.ssh(vpc.back, "true", timeout=1).stderr
    finally:
        vpc.lab.fault.thaw(vpc.back)
    assert vpc.ssh(vpc.back, "true").returncode == 0


def test_a_killed_host_runs_for_ec2_until_it_is_stopped_and_started(vpc: TwoHostVpc) -> None:
    assert vpc.ssh(vpc.back, "echo kept > note; sync").returncode == 0
    vpc.lab.fault.kill(vpc.back)
    vpc.lab.wait_for_host(vpc.back, "dead")
    assert state(vpc, vpc.back) == "running"
    assert vpc.lab.probe(vpc.front, vpc.address(vpc.back), 22) == "silent"
    vpc.lab.boot_dead_host(vpc.back)
    wait_for("SSH", lambda: vpc.ssh(vpc.back, "true").returncode == 0)
    assert vpc.ssh(vpc.back, "cat note").stdout == "kept\n"


def test_a_full_disk_takes_nothing_more_and_costs_this_machine_nothing(vpc: TwoHostVpc) -> None:
    before = os.statvfs(vpc.lab.paths.directory).f_bavail
    write = "dd if=/dev/zero of=more bs=1M count=1 status=none; rm more"
    vpc.lab.fault.fill(vpc.back)
    full = vpc.ssh(vpc.back, write)
    used = (before - os.statvfs(vpc.lab.paths.directory).f_bavail) * 4096
    vpc.lab.fault.drain(vpc.back)

    assert "No space left on device" in full.stderr
    assert used < 500_000_000
    assert not vpc.ssh(vpc.back, write).stderr


def test_changed_host_keys_are_noticed(vpc: TwoHostVpc) -> None:
    old = vpc.lab.fault.run_on_host(vpc.back, ["sh", "-c", "cat /etc/ssh/ssh_host_*"])
    vpc.lab.fault.change_keys(vpc.back)
    assert vpc.lab.fault.run_on_host(vpc.back, ["sh", "-c", "cat /etc/ssh/ssh_host_*"]) != old
    assert "HOST IDENTIFICATION HAS CHANGED" in vpc.ssh(vpc.back, "true").stderr
    vpc.lab.fault.restore_keys(vpc.back)
    assert vpc.lab.fault.run_on_host(vpc.back, ["sh", "-c", "cat /etc/ssh/ssh_host_*"]) == old
    wait_for("SSH", lambda: vpc.ssh(vpc.back, "true").returncode == 0)


def test_another_machine_under_the_same_address_has_nothing_of_the_old_one(vpc: TwoHostVpc) -> None:
    old = host_key(vpc, vpc.back)
    assert vpc.ssh(vpc.back, "echo kept > note").returncode == 0
    vpc.lab.fault.replace(vpc.back)
    wait_for("another key on the console", lambda: host_key(vpc, vpc.back) != old)
    configure_ssh(vpc)
    wait_for("SSH", lambda: vpc.ssh(vpc.back, "true").returncode == 0)
    assert "No such file" in vpc.ssh(vpc.back, "cat note").stderr


def test_faults_of_the_api_do_not_affect_the_lab(vpc: TwoHostVpc) -> None:
    from botocore.exceptions import ClientError

    vpc.lab.fault.api("throttled", service="ec2")
    with pytest.raises(ClientError, match="RequestLimitExceeded"):
        vpc.ec2.describe_vpcs()
    vpc.lab.fault.clear()
    assert vpc.ec2.describe_vpcs()["Vpcs"]


def test_calls_are_counted_without_the_labs_own(vpc: TwoHostVpc) -> None:
    vpc.lab.reset_calls()
    time.sleep(1.2)  # the reconciler checks the API twice a second
    vpc.ec2.create_tags(Resources=[vpc.vpc_id], Tags=[{"Key": "a", "Value": "b"}])
    vpc.ec2.describe_vpcs()

    assert [call["action"] for call in vpc.lab.calls()] == ["CreateTags", "DescribeVpcs"]
    assert [call["action"] for call in vpc.lab.mutating_calls()] == ["CreateTags"]
