"""What AWS itself says, for smoke.sh: asked with boto3 alone, so that it also proves what pneumoctl says.

`python account.py COMMAND ARGUMENT..`; COMMANDS are below. Prints its answer; exit code 1 if the answer is no.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STACK, ROLE = "pneumoctl:stack", "pneumoctl:role"
POLL_S = 2.0


def client(service: str) -> Any:
    """A client of boto3."""
    import boto3

    return boto3.client(service)


def tagged(stack: str, **more: str) -> list[dict[str, Any]]:
    """EC2's filter for resources of a stack. `more`: other tags."""
    return [{"Name": f"tag:{name}", "Values": [value]} for name, value in {STACK: stack, **more}.items()]


def instances(stack: str, **more: str) -> list[dict[str, Any]]:
    """The stack's instances that are not terminated."""
    pages = client("ec2").get_paginator("describe_instances").paginate(Filters=tagged(stack, **more))
    found = [each for page in pages for group in page["Reservations"] for each in group["Instances"]]
    return [each for each in found if each["State"]["Name"] != "terminated"]


def gpu(stack: str) -> dict[str, Any]:
    """The stack's GPU host."""
    (host,) = instances(stack, **{ROLE: "train"})
    return host


def identity() -> str:
    """The account that the credentials belong to."""
    return str(client("sts").get_caller_identity()["Account"])


def state(stack: str) -> str:
    """The state of the GPU host."""
    return str(gpu(stack)["State"]["Name"])


def wait(stack: str, wanted: str, seconds: str) -> str:
    """Wait until the GPU host is in a state; prints the seconds that it took."""
    began = time.monotonic()
    while state(stack) != wanted:
        if time.monotonic() - began > float(seconds):
            sys.exit(f"the GPU host is {state(stack)}, not {wanted}, after {seconds} s")
        time.sleep(POLL_S)
    return f"{time.monotonic() - began:.0f}"


def start(stack: str) -> str:
    """Start the GPU host as somebody would who knows no pneumoctl: without a lease."""
    client("ec2").start_instances(InstanceIds=[gpu(stack)["InstanceId"]])
    return wait(stack, "running", "300")


def stop(stack: str) -> str:
    """Stop the GPU host, whatever pneumoctl says; prints the seconds until it is off."""
    client("ec2").stop_instances(InstanceIds=[gpu(stack)["InstanceId"]])
    return wait(stack, "stopped", "600")


def interrupt(stack: str, *command: str) -> int:
    """Start a command, send it Ctrl-C when the GPU host runs, and return its exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent that ignores it would pass that on
    child = subprocess.Popen(command)
    try:
        while child.poll() is None and state(stack) not in ("pending", "running"):
            time.sleep(POLL_S)
        child.send_signal(signal.SIGINT)
        return child.wait()
    except KeyboardInterrupt:
        child.send_signal(signal.SIGINT)
        child.wait()
        raise


def left(stack: str) -> int:
    """Print what is left of a stack, by its tag and by its name; 1 if anything is."""
    found = sorted(_left(stack))
    print("\n".join(found) or "nothing")
    return int(bool(found))


def _left(stack: str) -> Iterator[str]:
    ec2, name = client("ec2"), f"pneumoctl-{stack}"
    yield from (each["InstanceId"] for each in instances(stack))
    wanted = {"Filters": tagged(stack)}
    yield from (each["VolumeId"] for each in ec2.describe_volumes(**wanted)["Volumes"] if each["State"] != "deleting")
    gateways = ec2.describe_nat_gateways(Filter=tagged(stack))["NatGateways"]
    yield from (each["NatGatewayId"] for each in gateways if each["State"] not in ("deleted", "failed"))
    yield from (each["AllocationId"] for each in ec2.describe_addresses(**wanted)["Addresses"])
    yield from (each["VpcId"] for each in ec2.describe_vpcs(**wanted)["Vpcs"])
    yield from (each["GroupId"] for each in ec2.describe_security_groups(**wanted)["SecurityGroups"])
    yield from (each["KeyName"] for each in ec2.describe_key_pairs(**wanted)["KeyPairs"])
    names = (each["Name"] for each in client("s3").list_buckets()["Buckets"])
    yield from (bucket for bucket in names if bucket.startswith(f"{name}-{identity()}-"))
    for page in client("scheduler").get_paginator("list_schedule_groups").paginate(NamePrefix=name):
        yield from (
            f"schedule group {name}"
            for each in page["ScheduleGroups"]
            if (each["Name"], each["State"]) == (name, "ACTIVE")
        )
    for page in client("iam").get_paginator("list_roles").paginate():
        for role in (each["RoleName"] for each in page["Roles"] if each["RoleName"].startswith(f"{name}-")):
            tags = client("iam").list_role_tags(RoleName=role)["Tags"]
            yield from (f"role {role}" for tag in tags if (tag["Key"], tag["Value"]) == (STACK, stack))


def price(kind: str, region: str) -> str:
    """USD an hour of an instance type at the bundled list prices."""
    from pneumoctl.aws import prices

    usd = prices.bundled(region).of(kind)
    if usd is None:
        sys.exit(f"the price of {kind} in {region} is not known: pneumoctl/aws/prices.json does not list it")
    return str(usd)


def drawings(folder: str) -> None:
    """Write a data set of drawings, from which a model can learn a little."""
    from model import phantom

    phantom.tree(Path(folder), patients=24, seed=1, size=96)


def field(path: str) -> str:
    """A value, named as receipt.guard, of the JSON document on stdin."""
    value = json.load(sys.stdin)
    for name in path.split("."):
        value = value[name]
    return str(value)


COMMANDS = {
    command.__name__: command
    for command in (identity, state, wait, start, stop, interrupt, left, price, drawings, field)
}


def main() -> int:
    name, *arguments = sys.argv[1:]
    answer = COMMANDS[name](*arguments)  # type: ignore[operator]
    if isinstance(answer, int):
        return answer
    print(answer or "", end="\n" if answer else "")
    return 0


if __name__ == "__main__":
    sys.exit(main())
