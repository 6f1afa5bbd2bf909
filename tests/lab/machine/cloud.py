"""The lab's own calls to its AWS: they are not counted, and faults do not apply to them."""

import base64
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

from tests.lab.machine.hosts import Seed
from tests.lab.machine.paths import API_URL, REGION
from tests.lab.machine.vpc.description import Cloud

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab"}


def client(service: str = "ec2", agent: str = "pneumoctl-lab") -> Any:
    """A boto3 client of the lab's AWS. It only works inside the lab's network."""
    import boto3
    from botocore.config import Config

    quick = Config(user_agent_appid=agent, connect_timeout=20, read_timeout=60, retries={"total_max_attempts": 1})
    return boto3.client(
        service,
        region_name=REGION,
        endpoint_url=API_URL,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        config=quick,
    )


def client_through(in_network_of: Callable[[str], AbstractContextManager[None]], service: str, agent: str) -> Any:
    """A boto3 client whose requests are sent from the operator's network."""
    from botocore.httpsession import URLLib3Session

    at_once = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    made, session = client(service, agent), URLLib3Session(timeout=60, socket_options=at_once)

    def send(request: Any, **_: Any) -> Any:
        with in_network_of("operator"):
            return session.send(request)

    made.meta.events.register("before-send", send)
    return made


def control(method: str, path: str, body: object = None, timeout: float = 60) -> Any:
    """Send a request to the lab's own HTTP interface below /lab/. Raises ValueError if it is refused."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{API_URL}/lab/{path}", data, {"Content-Type": "application/json"}, method=method)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=timeout) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refusal:
        raise ValueError(json.load(refusal)["error"]) from None


def wait_for_api(seconds: float = 30) -> None:
    """Wait until the API answers, or until the time limit."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(OSError):
            control("GET", "health")
            return
        time.sleep(0.05)


def instances(ec2: Any) -> list[dict[str, Any]]:
    return [instance for page in ec2.describe_instances()["Reservations"] for instance in page["Instances"]]


def network(ec2: Any, listed: list[dict[str, Any]]) -> Cloud:
    """The descriptions that the firewall is compiled from."""
    return Cloud(
        instances=listed,
        groups=ec2.describe_security_groups()["SecurityGroups"],
        route_tables=ec2.describe_route_tables()["RouteTables"],
        internet_gateways=ec2.describe_internet_gateways()["InternetGateways"],
        nat_gateways=ec2.describe_nat_gateways()["NatGateways"],
        endpoints=ec2.describe_vpc_endpoints()["VpcEndpoints"],
    )


def seed(ec2: Any, instance: dict[str, Any]) -> Seed:
    """User data and keys of an instance, and whether its image is Ubuntu."""
    identity = instance["InstanceId"]
    lost = [fault["name"] for fault in control("GET", "faults") if fault["kind"] == "no-user-data"]
    coded = ec2.describe_instance_attribute(InstanceId=identity, Attribute="userData")["UserData"].get("Value", "")
    names = [instance["KeyName"]] if instance.get("KeyName") else []
    pairs = ec2.describe_key_pairs(KeyNames=names, IncludePublicKey=True)["KeyPairs"] if names else []
    images = ec2.describe_images(ImageIds=[instance["ImageId"]])["Images"]
    ubuntu = any("ubuntu" in image.get("Name", "").lower() for image in images)
    user_data = b"" if short_name(instance) in lost else base64.b64decode(coded)
    return Seed(user_data, tuple(pair["PublicKey"] for pair in pairs), ubuntu)


def shutdown_behaviour(ec2: Any, identity: str) -> str:
    """What EC2 does with a host that powers itself off: `stop` or `terminate`."""
    attribute = "instanceInitiatedShutdownBehavior"
    attribute_values = ec2.describe_instance_attribute(InstanceId=identity, Attribute=attribute)
    return str(attribute_values.get("InstanceInitiatedShutdownBehavior", {}).get("Value", "stop"))


def short_name(instance: dict[str, Any]) -> str:
    """The short name of an instance: the key of its terraform address, else its Name, else its id."""
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", ())}
    key = tags.get("pneumoctl:address", "").partition(":")[2]
    return key or tags.get("Name") or str(instance["InstanceId"])
