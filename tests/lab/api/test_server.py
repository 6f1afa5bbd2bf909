"""The lab's AWS answers at once, under every kind of host name, and can store terraform's state."""

import json
import os
import socket
import struct
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from tests import needs
from tests.lab.api.client import Api, code


@pytest.mark.parametrize(
    ("service", "ask"),
    [
        ("pricing", lambda client: client.get_products(ServiceCode="AmazonEC2")),
        ("dlm", lambda client: client.get_lifecycle_policies()),
        ("ec2", lambda client: client.get_serial_console_access_status()),
    ],
)
def test_unimplemented_operations_fail_immediately(api: Api, refused: Any, service: str, ask: Any) -> None:
    client = api.client(service, tries=5)
    with refused as failure:
        ask(client)
    assert code(failure) == "NotImplemented"
    assert failure.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert failure.value.response["ResponseMetadata"]["RetryAttempts"] == 0


def test_an_unknown_region_does_not_answer(api: Api) -> None:
    errors = pytest.importorskip("botocore.exceptions")
    with pytest.raises(errors.ConnectionClosedError):
        api.client("ec2", region="eu-wset-1").describe_vpcs()


def test_buckets_by_path_and_by_host(api: Api) -> None:
    api.client("s3").create_bucket(Bucket="placed", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    api.client("s3", s3={"addressing_style": "path"}).put_object(Bucket="placed", Key="k", Body=b"by path")
    scope = "AWS4-HMAC-SHA256 Credential=lab/20261122/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=0"
    headers = {"Host": "placed.s3.eu-west-1.amazonaws.com", "Authorization": scope}
    with urllib.request.urlopen(urllib.request.Request(f"{api.url}/k", headers=headers), timeout=10) as answer:
        assert answer.read() == b"by path"
    assert api.ask("GET", "calls")["calls"][-1]["target"] == "/placed/k"


def test_a_large_object_comes_back_whole(api: Api) -> None:
    s3 = api.client("s3")
    body = bytes(range(256)) * 20_000
    s3.create_bucket(Bucket="large", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket="large", Key="k", Body=body)
    assert s3.head_object(Bucket="large", Key="k")["ContentLength"] == len(body)
    assert s3.get_object(Bucket="large", Key="k")["Body"].read() == body


BACKEND = """
terraform {
  backend "s3" {
    bucket       = "states"
    key          = "demo.tfstate"
    region       = "eu-west-1"
    use_lockfile = true
  }
}
resource "terraform_data" "one" { input = "kept" }
"""


def test_terraform_keeps_its_state_and_its_lock_in_s3(api: Api, tmp_path: Path) -> None:
    if which("terraform") is None:
        pytest.skip(needs.TERRAFORM)
    s3 = api.client("s3")
    s3.create_bucket(Bucket="states", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    (tmp_path / "main.tf").write_text(BACKEND)
    here = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "CHECKPOINT_DISABLE": "1"}
    environment = {**here, "AWS_ENDPOINT_URL": api.url, "AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab"}

    def terraform(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["terraform", *arguments, "-no-color", "-input=false"]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)

    assert terraform("init").returncode == 0
    assert terraform("apply", "-auto-approve").returncode == 0
    assert b'"kept"' in s3.get_object(Bucket="states", Key="demo.tfstate")["Body"].read()
    assert [item["Key"] for item in s3.list_objects_v2(Bucket="states")["Contents"]] == ["demo.tfstate"]
    holder = {"ID": "1", "Operation": "apply", "Who": "someone@elsewhere", "Created": "2026-11-22T10:00:00Z"}
    s3.put_object(Bucket="states", Key="demo.tfstate.tflock", Body=json.dumps(holder).encode())
    held = terraform("apply", "-auto-approve")
    assert held.returncode == 1
    assert "someone@elsewhere" in held.stderr


def test_a_client_that_is_killed_is_no_error(api: Api) -> None:
    host, _, port = api.url.removeprefix("http://").partition(":")
    for _ in range(3):
        with socket.create_connection((host, int(port))) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets
            client.sendall(b"GET /lab/calls HTTP/1.1\r\nHost: a\r\n\r\n")
    assert api.ask("GET", "health")["ok"] is True
