"""Instances behave as in EC2 where unpatched moto differs."""

import base64
import time
from typing import Any

import pytest

from tests.lab.api.client import Api, VpcIds, code, describe_instance, instance

REGION = "eu-central-1"


def test_an_instance_keeps_the_groups_of_its_interface(ec2: Any, net: VpcIds) -> None:
    id = instance(ec2, net)
    assert [group["GroupId"] for group in describe_instance(ec2, id)["SecurityGroups"]] == [net.group]
    ec2.modify_instance_attribute(InstanceId=id, InstanceInitiatedShutdownBehavior={"Value": "terminate"})
    assert [group["GroupId"] for group in describe_instance(ec2, id)["SecurityGroups"]] == [net.group]
    attribute = ec2.describe_instance_attribute(InstanceId=id, Attribute="instanceInitiatedShutdownBehavior")
    assert attribute["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate"


def test_the_user_data_of_a_stopped_instance_only_are_changed(ec2: Any, net: VpcIds, refused: Any) -> None:
    id = instance(ec2, net)
    with refused as failure:
        ec2.modify_instance_attribute(InstanceId=id, UserData={"Value": b"later"})
    assert code(failure) == "IncorrectInstanceState"
    ec2.stop_instances(InstanceIds=[id])
    ec2.modify_instance_attribute(InstanceId=id, UserData={"Value": b"later"})
    value = ec2.describe_instance_attribute(InstanceId=id, Attribute="userData")["UserData"]["Value"]
    assert base64.b64decode(value) == b"later"


def test_an_instance_without_a_public_address_has_none(ec2: Any, net: VpcIds) -> None:
    (interface,) = describe_instance(ec2, instance(ec2, net))["NetworkInterfaces"]
    assert "Association" not in interface


def test_monitoring_is_switched(ec2: Any, net: VpcIds) -> None:
    id = instance(ec2, net)
    answer = ec2.monitor_instances(InstanceIds=[id])["InstanceMonitorings"]
    assert answer == [{"InstanceId": id, "Monitoring": {"State": "enabled"}}]
    assert describe_instance(ec2, id)["Monitoring"]["State"] == "enabled"
    ec2.unmonitor_instances(InstanceIds=[id])
    assert describe_instance(ec2, id)["Monitoring"]["State"] == "disabled"


def test_an_ended_instance_leaves_nothing_and_stays_ended(ec2: Any, net: VpcIds, refused: Any) -> None:
    id = instance(ec2, net)
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=address, InstanceId=id)
    interface = describe_instance(ec2, id)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    ec2.terminate_instances(InstanceIds=[id])
    ec2.terminate_instances(InstanceIds=[id])
    assert interface not in [
        interface["NetworkInterfaceId"] for interface in ec2.describe_network_interfaces()["NetworkInterfaces"]
    ]
    assert "AssociationId" not in ec2.describe_addresses(AllocationIds=[address])["Addresses"][0]
    ec2.release_address(AllocationId=address)
    with refused as failure:
        ec2.start_instances(InstanceIds=[id])
    assert code(failure) == "IncorrectInstanceState"


def test_an_ended_instance_is_forgotten_when_asked(api: Api, ec2: Any, net: VpcIds) -> None:
    ended, running = instance(ec2, net), instance(ec2, net)
    ec2.terminate_instances(InstanceIds=[ended])
    assert describe_instance(ec2, ended)["State"]["Name"] == "terminated"
    assert api.ask("DELETE", "terminated")["gone"] >= 1
    reservations = ec2.describe_instances()["Reservations"]
    ids = {listed["InstanceId"] for reservation in reservations for listed in reservation["Instances"]}
    assert running in ids and ended not in ids


def test_stop_and_start_have_times_and_reasons(api: Api, ec2: Any, net: VpcIds) -> None:
    id = instance(ec2, net)
    launched = describe_instance(ec2, id)["LaunchTime"]
    ec2.stop_instances(InstanceIds=[id])
    assert describe_instance(ec2, id)["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    time.sleep(1.1)  # launch times are in whole seconds
    ec2.start_instances(InstanceIds=[id])
    assert describe_instance(ec2, id)["LaunchTime"] > launched
    api.client("ec2", agent="pneumoctl-lab", region=REGION).stop_instances(InstanceIds=[id])  # the host has powered off
    assert describe_instance(ec2, id)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    ec2.stop_instances(InstanceIds=[id])
    assert describe_instance(ec2, id)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"


def test_a_call_repeated_with_its_token_runs_nothing_more(ec2: Any, net: VpcIds) -> None:
    assert instance(ec2, net, ClientToken="once") == instance(ec2, net, ClientToken="once")
    assert instance(ec2, net, ClientToken="once") != instance(ec2, net, ClientToken="twice")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"ImageId": "ami-00000000000000000"}, "InvalidAMIID.NotFound"),
        ({"InstanceType": "t2.micro", "EbsOptimized": True}, "Unsupported"),
        ({"InstanceType": "t4g.micro"}, "InvalidParameterValue"),
        ({"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 4}}]}, "InvalidBlockDeviceMapping"),
    ],
)
def test_an_impossible_instance_is_refused(
    ec2: Any, net: VpcIds, refused: Any, options: dict[str, Any], expected: str
) -> None:
    with refused as failure:
        instance(ec2, net, **options)
    assert code(failure) == expected


def test_the_console_is_what_the_host_wrote(api: Api, ec2: Any, net: VpcIds) -> None:
    id = instance(ec2, net)
    assert "Output" not in ec2.get_console_output(InstanceId=id)
    log = api.state / "hosts" / id / "console.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"lost\n" + b"\xff" * 65_530 + b"last\r\n")
    output = ec2.get_console_output(InstanceId=id, Latest=True)
    assert "lost" not in output["Output"]
    assert output["Output"].endswith("last\r\n")
    assert abs(output["Timestamp"].timestamp() - log.stat().st_mtime) <= 1
