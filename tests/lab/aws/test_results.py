"""Results on real hosts: exported, imported, and not lost with their host without a word."""

import io
import json
import tarfile

import pytest

from model import phantom
from tests.lab.stack_operator import Operator

BUCKET = "pneumoctl-default-123456789012-eu-west-1"
ADDRESS = 'aws_instance.host["app-0"]'


def upload(operator: Operator, name: str, seed: int) -> str:
    """Have the stack score and store a synthetic picture; returns the id of the result."""
    picture = operator.lab.paths.home / name
    picture.write_bytes(phantom.png(seed, 192, opacity=True))
    (scored,) = operator.json("predict", "--remote", str(picture))["predictions"]
    return str(scored["id"])


def test_results_are_exported_erased_and_imported_while_the_stack_serves(operator: Operator) -> None:
    identifier = upload(operator, "patient-one.png", 101)
    target = operator.lab.paths.home / "exported.tar"
    target.unlink(missing_ok=True)
    exported = operator.json("results", "export", str(target))
    assert exported["results"] >= 1 and exported["damaged"] == 0
    with tarfile.open(target) as packed:
        lines = packed.extractfile("results.jsonl").read().splitlines()  # type: ignore[union-attr]
    assert identifier in {json.loads(line)["id"] for line in lines}
    assert len(lines) == exported["results"]  # without the proof's picture
    imported = operator.json("results", "import", str(target), "-y")
    assert (imported["added"], imported["present"]) == (0, exported["results"])
    assert operator.json("results", "erase", identifier, "-y")["erased"] == [identifier]
    back = operator.json("results", "import", str(target), "-y")
    assert (back["added"], back["brought_back"]) == (1, [identifier])
    operator.lab.fault.run_on_host("app-0", ["sh", "-c", f"! grep -rl {identifier} /tmp /var/tmp"])  # it left no copy


def test_a_backup_is_written_to_the_bucket_with_the_credentials_of_the_host(operator: Operator) -> None:
    identifier = upload(operator, "patient-four.png", 104)
    operator.lab.fault.run_on_host("app-0", ["systemctl", "start", "pneumoctl-backup"])
    assert identifier in backed_up(operator)[-1]
    enabled = operator.lab.fault.run_on_host("app-0", ["systemctl", "is-enabled", "pneumoctl-backup.timer"])
    assert enabled.strip() == "enabled"
    shown = operator.lab.fault.run_on_host("app-0", ["journalctl", "-o", "cat", "-u", "pneumoctl-backup"])
    assert "backed up " in shown and identifier not in shown and "patient" not in shown


def backed_up(operator: Operator) -> list[set[str]]:
    """The ids in each backup, the oldest first."""
    s3 = operator.lab.client("s3")
    entries = s3.list_objects_v2(Bucket=BUCKET, Prefix="backups/results/")["Contents"]
    ids = []
    for entry in sorted(entries, key=lambda entry: entry["LastModified"]):
        body = io.BytesIO(s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read())
        with tarfile.open(fileobj=body) as packed:
            lines = packed.extractfile("results.jsonl").read().splitlines()  # type: ignore[union-attr]
        ids.append({str(json.loads(line)["id"]) for line in lines})
    return ids


@pytest.mark.repeat  # tests/pneumoctl/targets/aws/store; here with real hosts, which takes minutes
def test_results_outlive_the_host_of_the_store(operator: Operator) -> None:
    identifier = upload(operator, "patient-two.png", 102)
    terraform = ["terraform", f"-chdir={operator.directory / 'terraform'}"]
    operator.lab.run([*terraform, "taint", ADDRESS])
    (lost,) = operator.json("plan", code=None)["lost"]
    assert "Lost unless " in lost and " on app-0" in lost
    refused = operator.json("up", "-y", code=1, BACKUP_MINUTES="0")["error"]
    assert "neither an export nor a backup holds. Nothing was changed" in refused["message"]
    assert operator.status()["up"]
    assert operator.json("up", "-y")["imported"]["added"] >= 1
    assert operator.json("results", "export", str(operator.lab.paths.home / identifier))["results"] >= 1
    (instance,) = (host["id"] for host in operator.lab.hosts() if host["name"] == "app-0")
    operator.lab.client().terminate_instances(InstanceIds=[instance])
    (lost,) = operator.json("plan", code=None)["lost"]
    assert "app-0 is gone" in lost
    assert operator.json("up", "-y")["imported"]["added"] >= 1
    listed = operator.lab.paths.home / f"{identifier}-again"
    operator.run("results", "export", str(listed))
    assert identifier in (listed / "results.jsonl").read_text()
