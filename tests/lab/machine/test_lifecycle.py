"""EC2 shows the state of a host, and a host follows the calls to EC2."""

import pytest

from pneumoctl.targets.aws.provisioning import ssh_key
from tests.lab.machine import network
from tests.lab.two_host_vpc import TwoHostVpc, console, instance, state
from tests.lab.wait import wait_for

STARTED = "cut -d ' ' -f 22 /proc/1/stat"  # start time of the first process

pytestmark = pytest.mark.repeat  # the tests of the stack use the lab all the time


def test_a_host_that_powers_itself_off_is_stopped_and_boots_the_same_disk(vpc: TwoHostVpc) -> None:
    vpc.ssh(vpc.back, "echo again > note; sync; sudo systemctl poweroff")
    wait_for("EC2 to say stopped", lambda: state(vpc, vpc.back) == "stopped")
    assert vpc.lab.probe(vpc.front, vpc.address(vpc.back), 22) == "silent"
    vpc.ec2.start_instances(InstanceIds=[vpc.back])
    wait_for("SSH", lambda: vpc.ssh(vpc.back, "true", 1).returncode == 0)
    assert vpc.ssh(vpc.back, "cat note").stdout == "again\n"


def test_a_stopped_host_takes_other_user_data_and_its_first_boot_is_not_done_again(vpc: TwoHostVpc) -> None:
    right = (vpc.lab.paths.home / "id.pub").read_text()
    script = ssh_key.user_data("ssh-ed25519 AAAA other", "admin")
    vpc.ssh(vpc.back, "echo again > note; sync")
    vpc.ec2.stop_instances(InstanceIds=[vpc.back])
    wait_for("EC2 to say stopped", lambda: state(vpc, vpc.back) == "stopped")
    vpc.lab.wait_for_host(vpc.back, "down")
    vpc.ec2.modify_instance_attribute(InstanceId=vpc.back, UserData={"Value": script.encode()})
    booted = console(vpc, vpc.back).count("host-key: ")
    vpc.ec2.start_instances(InstanceIds=[vpc.back])
    vpc.lab.wait_for_host(vpc.back, "up")

    def authorized() -> str:
        return vpc.lab.fault.run_on_host(vpc.back, ["cat", "/home/admin/.ssh/authorized_keys"])

    try:
        wait_for("the other key", lambda: authorized() == "ssh-ed25519 AAAA other\n")
        wait_for("SSH", lambda: "Permission denied" in vpc.ssh(vpc.back, "true").stderr)
    finally:
        vpc.lab.fault.run_on_host(vpc.back, ["sh", "-c", f"echo '{right.strip()}' >/home/admin/.ssh/authorized_keys"])
    assert vpc.ssh(vpc.back, "cat note").stdout == "again\n"
    assert console(vpc, vpc.back).count("host-key: ") == booted


def test_a_reboot_from_inside_is_no_stop(vpc: TwoHostVpc) -> None:
    before = vpc.ssh(vpc.back, STARTED).stdout
    assert before
    vpc.ssh(vpc.back, "sudo systemctl reboot")
    wait_for("a new first process", lambda: vpc.ssh(vpc.back, STARTED).stdout not in ("", before))
    assert state(vpc, vpc.back) == "running"


def test_the_shutdown_behaviour_terminate_ends_an_instance_for_good(vpc: TwoHostVpc) -> None:
    where = vpc.ec2.describe_instances(InstanceIds=[vpc.back])["Reservations"][0]["Instances"][0]["SubnetId"]
    instance_id = instance(vpc, "back", where, InstanceInitiatedShutdownBehavior="terminate")
    vpc.lab.wait_for_host(instance_id, "up")
    wait_for("its first boot", lambda: "host-key: " in console(vpc, instance_id))
    vpc.lab.fault.run_on_host(instance_id, ["systemctl", "poweroff"])
    wait_for("EC2 to say terminated", lambda: state(vpc, instance_id) == "terminated")
    wait_for("its disk to be gone", lambda: not (vpc.lab.paths.hosts / instance_id / "disk.img").exists())
    assert instance_id not in " ".join(network.namespaces(vpc.lab.paths.prefix))
