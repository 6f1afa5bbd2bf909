"""EC2 shows the state of a host, and a host follows the calls to EC2."""

from tests.lab.machine import network
from tests.lab.two_host_vpc import Stack, console, instance, state
from tests.lab.wait import wait_for

STARTED = "cut -d ' ' -f 22 /proc/1/stat"  # start time of the first process


def test_a_host_that_powers_itself_off_is_stopped_and_boots_the_same_disk(stack: Stack) -> None:
    stack.ssh(stack.back, "echo again > note; sync; sudo systemctl poweroff")
    wait_for("EC2 to say stopped", lambda: state(stack, stack.back) == "stopped")
    assert stack.lab.probe(stack.front, stack.address(stack.back), 22) == "silent"
    stack.ec2.start_instances(InstanceIds=[stack.back])
    wait_for("SSH", lambda: stack.ssh(stack.back, "true", 1).returncode == 0)
    assert stack.ssh(stack.back, "cat note").stdout == "again\n"


def test_a_reboot_from_inside_is_no_stop(stack: Stack) -> None:
    before = stack.ssh(stack.back, STARTED).stdout
    assert before
    stack.ssh(stack.back, "sudo systemctl reboot")
    wait_for("a new first process", lambda: stack.ssh(stack.back, STARTED).stdout not in ("", before))
    assert state(stack, stack.back) == "running"


def test_the_shutdown_behaviour_terminate_ends_an_instance_for_good(stack: Stack) -> None:
    where = stack.ec2.describe_instances(InstanceIds=[stack.back])["Reservations"][0]["Instances"][0]["SubnetId"]
    instance_id = instance(stack, "back", where, InstanceInitiatedShutdownBehavior="terminate")
    stack.lab.await_host(instance_id, "up")
    wait_for("its first boot", lambda: "host-key: " in console(stack, instance_id))
    stack.lab.fault.on(instance_id, ["systemctl", "poweroff"])
    wait_for("EC2 to say terminated", lambda: state(stack, instance_id) == "terminated")
    wait_for("its disk to be gone", lambda: not (stack.lab.paths.hosts / instance_id / "disk.img").exists())
    assert instance_id not in " ".join(network.namespaces(stack.lab.paths.prefix))
