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
class TwoHostVpc:
    """The two hosts: `front` has a public address and is the bastion for `back`, which is behind a NAT gateway."""

    lab: Lab
    ec2: Any
    vpc_id: str
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
            return self.lab.run(["ssh", *options, self.address(instance), command], code=None, timeout=900)
        except subprocess.TimeoutExpired as late:  # ConnectTimeout does not apply after the bastion has answered
            return subprocess.CompletedProcess(late.cmd, 255, "", "timed out")


@dataclass
class SharedVpc:
    """The VPC in a separate lab, shared by many tests; rebuilt after a failed test."""

    lab: Lab
    suspect: bool = False
    _vpc: TwoHostVpc | None = None

    def ready(self) -> TwoHostVpc:
        """The VPC, with both hosts on and their current keys known."""
        if self.suspect:
            self.lab.down()
            self.lab.up()
            self.suspect, self._vpc = False, None
        self._vpc = self._vpc or build(self.lab)
        for instance_id in (self._vpc.front, self._vpc.back):
            assert state(self._vpc, instance_id) == "running", (
                f"a test left {instance_id} {state(self._vpc, instance_id)}"
            )
        return self._vpc


def build(lab: Lab) -> TwoHostVpc:
    """The VPC in an empty lab, both hosts booted and reachable by `ssh`."""
    ec2 = lab.client()
    vpc_id = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc_id)
    made = TwoHostVpc(lab, ec2, vpc_id, gateway)
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
        lab.wait_for_host(instance_id, "up")
        wait_for("its first boot", lambda instance_id=instance_id: "host-key: " in console(made, instance_id))
    configure_ssh(made)
    return made


def subnet(vpc: TwoHostVpc, addresses: str, **route_target: str) -> tuple[str, str]:
    made = vpc.ec2.create_subnet(VpcId=vpc.vpc_id, CidrBlock=addresses)["Subnet"]["SubnetId"]
    table = vpc.ec2.create_route_table(VpcId=vpc.vpc_id)["RouteTable"]["RouteTableId"]
    vpc.ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **route_target)
    vpc.ec2.associate_route_table(RouteTableId=table, SubnetId=made)
    return made, table


def groups(vpc: TwoHostVpc) -> dict[str, str]:
    """Anyone -> front 443; the operator -> front 22; front -> back 22, 5000; out of both 443, and front to back."""
    ec2 = vpc.ec2
    made = {
        name: ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc.vpc_id)["GroupId"]
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


def instance(vpc: TwoHostVpc, name: str, where: str, **more: Any) -> str:
    assert vpc.groups
    run = vpc.ec2.run_instances(
        ImageId=IMAGE,
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        KeyName="operator",
        SubnetId=where,
        SecurityGroupIds=[vpc.groups[name]],
        UserData=USER_DATA,
        **more,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}],
    )
    return str(run["Instances"][0]["InstanceId"])


def console(vpc: TwoHostVpc, instance_id: str) -> str:
    return str(vpc.ec2.get_console_output(InstanceId=instance_id).get("Output", ""))


def host_key(vpc: TwoHostVpc, instance_id: str) -> str:
    """The last host key in the host's console output.

    On a slow machine, the line begins with the prompt of the login, which is there before the first boot has ended.
    """
    keys: list[str] = re.findall(r"host-key: (\S+ \S+)", console(vpc, instance_id))
    return keys[-1]


def configure_ssh(vpc: TwoHostVpc) -> None:
    home = vpc.lab.paths.home
    hosts = [(vpc.address(vpc.front), vpc.front), (vpc.address(vpc.back), vpc.back)]
    (home / "known").write_text("".join(f"{address} {host_key(vpc, instance_id)}\n" for address, instance_id in hosts))
    everyone = (
        f"User admin\nIdentityFile {home}/id\nUserKnownHostsFile {home}/known\nStrictHostKeyChecking yes\nBatchMode yes"
    )
    front = f"Host {vpc.address(vpc.front)}\nHostName {vpc.public}\nHostKeyAlias {vpc.address(vpc.front)}"
    back = f"Host {vpc.address(vpc.back)}\nProxyCommand ssh -F {home}/ssh_config -W %h:%p {vpc.address(vpc.front)}"
    (home / "ssh_config").write_text(f"{front}\n{back}\nHost *\n{everyone}\n")


def state(vpc: TwoHostVpc, instance_id: str) -> str:
    reservations = vpc.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    return str(reservations[0]["Instances"][0]["State"]["Name"])
