"""A small VPC with two hosts, made with boto3, for the tests of the lab itself."""

import re
import subprocess
from dataclasses import dataclass
from typing import Any

from tests.lab.machine.lab import Lab
from tests.lab.wait import wait_for

IMAGE = "ami-0deb0000000000003"
USER_DATA = """#!/bin/bash
set -euo pipefail
read -r kind key _ </etc/ssh/ssh_host_ed25519_key.pub
echo "host-key: $kind $key" >/dev/console
touch /var/lib/booted
"""


@dataclass
class Stack:
    """The two hosts: `front` has a public address and is the bastion for `back`, which is behind a NAT gateway."""

    lab: Lab
    ec2: Any
    vpc: str
    gateway: str
    front: str = ""
    back: str = ""
    public: str = ""
    groups: dict[str, str] | None = None
    private_table: str = ""
    nat: str = ""

    def address(self, instance: str) -> str:
        return str(self.lab.host(instance)["private_ip"])

    def ssh(self, instance: str, command: str, timeout: int = 60) -> subprocess.CompletedProcess[str]:
        """Run a command with OpenSSH; any exit code is accepted."""
        options = ["-F", "ssh_config", "-o", f"ConnectTimeout={timeout}"]
        try:
            return self.lab.run(["ssh", *options, self.address(instance), command], code=None, timeout=240)
        except subprocess.TimeoutExpired as late:  # ConnectTimeout does not apply after the bastion has answered
            return subprocess.CompletedProcess(late.cmd, 255, "", "timed out")


@dataclass
class Shared:
    """The stack in a separate lab, shared by many tests; rebuilt after a failed test."""

    lab: Lab
    suspect: bool = False
    _stack: Stack | None = None

    def ready(self) -> Stack:
        """The stack, with both hosts on and their current keys known."""
        if self.suspect:
            self.lab.down()
            self.lab.up()
            self.suspect, self._stack = False, None
        self._stack = self._stack or build(self.lab)
        for instance_id in (self._stack.front, self._stack.back):
            assert state(self._stack, instance_id) == "running", (
                f"a test left {instance_id} {state(self._stack, instance_id)}"
            )
        return self._stack


def build(lab: Lab) -> Stack:
    """The stack in an empty lab, both hosts booted and reachable by `ssh`."""
    ec2 = lab.client()
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    made = Stack(lab, ec2, vpc, gateway)
    public, _ = subnet(made, "10.9.0.0/24", GatewayId=gateway)
    nat = ec2.create_nat_gateway(SubnetId=public, AllocationId=ec2.allocate_address(Domain="vpc")["AllocationId"])
    made.nat = nat["NatGateway"]["NatGatewayId"]
    private, made.private_table = subnet(made, "10.9.1.0/24", NatGatewayId=made.nat)
    made.groups = groups(made)
    lab.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "id"])
    public_key = (lab.paths.home / "id.pub").read_bytes()
    ec2.import_key_pair(KeyName="operator", PublicKeyMaterial=public_key)
    made.front = instance(made, "front", public)
    made.back = instance(made, "back", private)
    elastic = ec2.allocate_address(Domain="vpc")
    ec2.associate_address(InstanceId=made.front, AllocationId=elastic["AllocationId"])
    made.public = elastic["PublicIp"]
    for instance_id in (made.front, made.back):
        lab.await_host(instance_id, "up")
        wait_for("its first boot", lambda instance_id=instance_id: "host-key: " in console(made, instance_id))
    configure_ssh(made)
    return made


def subnet(stack: Stack, addresses: str, **way_out: str) -> tuple[str, str]:
    made = stack.ec2.create_subnet(VpcId=stack.vpc, CidrBlock=addresses)["Subnet"]["SubnetId"]
    table = stack.ec2.create_route_table(VpcId=stack.vpc)["RouteTable"]["RouteTableId"]
    stack.ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **way_out)
    stack.ec2.associate_route_table(RouteTableId=table, SubnetId=made)
    return made, table


def groups(stack: Stack) -> dict[str, str]:
    """Anyone -> front 443; the operator -> front 22; front -> back 22, 5000; out of both 443, and front to back."""
    ec2 = stack.ec2
    made = {
        name: ec2.create_security_group(GroupName=name, Description=name, VpcId=stack.vpc)["GroupId"]
        for name in ("front", "back")
    }
    front, back = made["front"], made["back"]
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    for group in (front, back):
        ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everything)
    https, anywhere = port(443), {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    operator = {"IpRanges": [{"CidrIp": "203.0.113.7/32"}]}
    ec2.authorize_security_group_ingress(GroupId=front, IpPermissions=[{**https, **anywhere}, {**port(22), **operator}])
    for number in (22, 5000):
        rule = {**port(number), "UserIdGroupPairs": [{"GroupId": front}]}
        ec2.authorize_security_group_ingress(GroupId=back, IpPermissions=[rule])
    for number in (22, 5000, 6000):
        rule = {**port(number), "UserIdGroupPairs": [{"GroupId": back}]}
        ec2.authorize_security_group_egress(GroupId=front, IpPermissions=[rule])
    for group in (front, back):
        ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[{**https, **anywhere}])
    return made


def port(number: int) -> dict[str, Any]:
    return {"IpProtocol": "tcp", "FromPort": number, "ToPort": number}


def instance(stack: Stack, name: str, where: str, **more: Any) -> str:
    assert stack.groups
    run = stack.ec2.run_instances(
        ImageId=IMAGE,
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        KeyName="operator",
        SubnetId=where,
        SecurityGroupIds=[stack.groups[name]],
        UserData=USER_DATA,
        **more,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}],
    )
    return str(run["Instances"][0]["InstanceId"])


def console(stack: Stack, instance_id: str) -> str:
    return str(stack.ec2.get_console_output(InstanceId=instance_id).get("Output", ""))


def host_key(stack: Stack, instance_id: str) -> str:
    """The last host key in the host's console output.

    On a slow machine, the line begins with the prompt of the login, which is there before the first boot has ended.
    """
    keys: list[str] = re.findall(r"host-key: (\S+ \S+)", console(stack, instance_id))
    return keys[-1]


def configure_ssh(stack: Stack) -> None:
    home = stack.lab.paths.home
    hosts = [(stack.address(stack.front), stack.front), (stack.address(stack.back), stack.back)]
    (home / "known").write_text(
        "".join(f"{address} {host_key(stack, instance_id)}\n" for address, instance_id in hosts)
    )
    everyone = (
        f"User admin\nIdentityFile {home}/id\nUserKnownHostsFile {home}/known\nStrictHostKeyChecking yes\nBatchMode yes"
    )
    front = f"Host {stack.address(stack.front)}\nHostName {stack.public}\nHostKeyAlias {stack.address(stack.front)}"
    back = (
        f"Host {stack.address(stack.back)}\nProxyCommand ssh -F {home}/ssh_config -W %h:%p {stack.address(stack.front)}"
    )
    (home / "ssh_config").write_text(f"{front}\n{back}\nHost *\n{everyone}\n")


def state(stack: Stack, instance_id: str) -> str:
    reservations = stack.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    return str(reservations[0]["Instances"][0]["State"]["Name"])
