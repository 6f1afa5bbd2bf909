"""Results on real hosts: exported, imported, and not lost with their host without a word."""

import json
import tarfile
from pathlib import Path

import pytest

from model import phantom
from tests.lab.stack_operator import Operator

ADDRESS = 'aws_instance.host["app-0"]'


def upload(operator: Operator, name: str, seed: int) -> str:
    """Have the stack score and store a synthetic picture; returns the id of the result."""
    picture = operator.lab.paths.home / name
    picture.write_bytes(phantom.png(seed, 192, opacity=True))
    (scored,) = operator.json("predict", "--remote", str(picture))["predictions"]
    return str(scored["id"])


def test_results_are_exported_and_imported_while_the_stack_serves(operator: Operator, tmp_path: Path) -> None:
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
    operator.lab.fault.run_on_host("app-0", ["sh", "-c", f"redis-cli -v >/dev/null; ! grep -rl {identifier} /tmp /run"])


@pytest.mark.repeat  # tests/pneumoctl/targets/aws/test_store_loss.py; here with a real plan
def test_up_refuses_to_replace_the_host_of_unexported_results(operator: Operator) -> None:
    upload(operator, "patient-two.png", 102)
    copy = operator.directory / "terraform"
    operator.lab.run(["terraform", f"-chdir={copy}", "taint", ADDRESS])
    try:
        (lost,) = operator.json("plan", code=None)["lost"]
        assert "Lost with it: " in lost and " on app-0" in lost
        refused = operator.json("up", "-y", code=1)["error"]
        assert "which no export holds. Nothing was changed" in refused["message"]
        assert operator.status()["up"]
    finally:
        operator.lab.run(["terraform", f"-chdir={copy}", "untaint", ADDRESS])
    operator.run("up", "-y")
