"""A stack on aws whose account and hosts are simulated, to give its hosts another SSH key."""

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pneumoctl.aws.ec2 import Instance
from pneumoctl.ssh.connections import LoginRefused
from pneumoctl.stack.inventory import Host
from tests.pneumoctl.examples import DESIRED

HOSTS = DESIRED.inventory
TRAIN = Host("train", "train", "10.20.32.10", {}, "i-99", "", "ubuntu", "g5.xlarge")
BOOT = "#!/bin/bash\nFrom here on:\ncat >/usr/local/sbin/pneumoctl-guard <<'PYTHON'\nprint()\nPYTHON\n"


def instance(host: Host, state: str = "running") -> Instance:
    return Instance(host.instance_id, host.name, host.role, state, "t3", datetime.now(UTC), host.address, "")


@dataclass
class Ec2:
    """An account with the stack's hosts."""

    there: list[Instance] = field(default_factory=list)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    user_data: dict[str, bytes] = field(default_factory=lambda: {TRAIN.instance_id: BOOT.encode()})
    region: str = "eu-west-1"

    def instances(self, stack: str) -> list[Instance]:
        return self.there

    def training_hosts(self, stack: str) -> list[Instance]:
        return [each for each in self.there if each.role == "train"]

    def console_output(self, id: str) -> str:
        return ""

    def stop(self, hosts: list[Instance]) -> None:
        self.calls.append(("stop", sorted(host.name for host in hosts)))

    def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        if operation == "describe_instance_attribute":
            return {"UserData": {"Value": base64.b64encode(self.user_data[arguments["InstanceId"]]).decode()}}
        self.calls.append((operation, arguments.get("InstanceId") or arguments["InstanceIds"]))
        if operation == "modify_instance_attribute":
            self.user_data[arguments["InstanceId"]] = arguments["UserData"]["Value"]
        return {}


class Hosts:
    """Takes the place of Connections: the hosts named in `refusing` refuse the login."""

    refusing: set[str] = set()

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> "Hosts":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def to(self, host: Host) -> None:
        if "nginx" in self.refusing:
            raise LoginRefused(HOSTS.bastion)
        if host.name in self.refusing:
            raise LoginRefused(host)


class Act:
    def begin(self) -> None:
        pass


def restarted(aws: Any) -> list[list[str]]:
    return [names for operation, names in aws.calls if operation == "stop"]
