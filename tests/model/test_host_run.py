"""A training run as the host executes it: real processes, a bucket over HTTP, and their failures."""

import hashlib
import json
import logging
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import boto3  # noqa: TID253
import numpy as np
import pytest
from moto.server import ThreadedMotoServer

from model import host_run, phantom
from model.host.heartbeat import Heartbeat, RunPaths
from model.training.devices import STAND_IN
from model.training.progress import Progress
from tests.model import forked

# Three steps per epoch, of batches of one size: TensorFlow compiles a step for each size.
SMALL = ("--height", "48", "--width", "48", "--batch", "6", "--epochs", "2", "--validation-share", "0.25")
KEYS = {"region_name": "eu-west-1", "aws_access_key_id": "lab", "aws_secret_access_key": "lab"}
STEPS = ("--checkpoint-steps", "2")
# The command itself, with a network of its stem alone (to start fast) and no bundle; it may kill itself at a step.
DRIVER = """
import os, signal, sys, time
from model import host_run
from model.host import checkpoint_upload, heartbeat, s3
from model.training import network, run
kill = int(os.environ.get("TEST_KILL", "0"))
network.DAG_WIDTHS = ()
run.build_bundle = lambda *_: None
step, ship, shipped = heartbeat.Heartbeat.step, checkpoint_upload.upload, []
def watched(self, progress, *rest):
    step(self, progress, *rest)
    if progress.step == kill:
        while os.environ["TEST_SIGNAL"] == "SIGKILL" and "step-00000004" not in shipped:
            time.sleep(0.01)
        os.kill(os.getpid(), getattr(signal, os.environ["TEST_SIGNAL"]))
def behind(where, place):
    ship(where, place)
    shipped.append(place.name)
heartbeat.Heartbeat.step, checkpoint_upload.upload, checkpoint_upload.UPLOAD_INTERVAL_S = watched, behind, 0.0
if os.environ.get("TEST_DENIED"):
    def put(*_):
        raise s3.BucketError("AccessDenied")
    checkpoint_upload.RETRY_PAUSE_S, s3.Bucket.put, host_run.UPLOAD_S = 0.1, put, 4.0
sys.exit(host_run.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data") / "drawings"
    phantom.tree(directory, patients=8, seed=1, size=64)
    return directory


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@dataclass
class Host:
    """A host for one run with a separate disk, and its bucket."""

    root: Path
    endpoint: str
    bucket: str
    order: dict[str, Any]

    @property
    def s3(self) -> Any:
        return boto3.client("s3", endpoint_url=self.endpoint, **KEYS)

    @property
    def run(self) -> Path:
        return self.root / "runs" / self.order["run"]

    def environment(self) -> dict[str, str]:
        state = f"{self.root}/runs:{self.root}/data"
        keys = {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab", "AWS_ENDPOINT_URL": self.endpoint}
        return {**keys, "STATE_DIRECTORY": state, "RUNTIME_DIRECTORY": str(self.root), STAND_IN: "1"}

    def start(self, *words: str, **more: str) -> "CompletedProcess[str]":
        order, driver = self.root / "order.json", self.root / "driver.py"
        order.write_text(json.dumps(self.order))
        driver.write_text(DRIVER)
        return forked.start(driver, *words, order, **{**self.environment(), **more})

    def in_bucket(self, name: str) -> bytes:
        content: bytes = self.s3.get_object(Bucket=self.bucket, Key=f"runs/{self.order['run']}/{name}")["Body"].read()
        return content

    def end(self) -> dict[str, Any]:
        end: dict[str, Any] = json.loads((self.run / "end.json").read_text())
        return end


def pushed(s3: Any, bucket: str, tree: Path) -> str:
    """A data set in the bucket, as `pneumoctl data push` leaves it; its manifest's digest."""
    files = []
    for path in sorted(path for path in tree.rglob("*") if path.is_file()):
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        s3.put_object(Bucket=bucket, Key=f"data/objects/{digest}", Body=content)
        files.append({"path": str(path.relative_to(tree)), "sha256": digest, "size": len(content)})
    manifest = json.dumps({"name": "drawings", "files": files}, sort_keys=True).encode()
    digest = hashlib.sha256(manifest).hexdigest()
    s3.put_object(Bucket=bucket, Key=f"data/manifests/{digest}.json", Body=manifest)
    return digest


def started(root: Path, endpoint: str, tree: Path) -> Host:
    """A host whose run has not begun, with a bucket of its own that holds the data."""
    bucket = f"b{time.time_ns()}"
    s3 = boto3.client("s3", endpoint_url=endpoint, **KEYS)
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    order = {
        "run": "20261123-053100-a1b2",
        "bucket": bucket,
        "region": "eu-west-1",
        "data": pushed(s3, bucket, tree),
        "arguments": [*SMALL, *STEPS],
        "resume": False,
        "gpu": True,
        "stall_s": 300,
        "spot": False,
    }
    return Host(root, endpoint, bucket, order)


@pytest.fixture
def host(endpoint: str, tree: Path, tmp_path: Path) -> Host:
    return started(tmp_path, endpoint, tree)


@pytest.fixture(scope="module")
def whole(endpoint: str, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Host, "CompletedProcess[str]"]:
    """An uninterrupted run that can upload nothing, which changes nothing in its training."""
    host = started(tmp_path_factory.mktemp("whole"), endpoint, tree)
    return host, host.start(TEST_DENIED="1")


def weights(out: Path) -> dict[str, np.ndarray]:
    newest = out / "checkpoints" / (out / "checkpoints/latest").read_text().strip() / "arrays.npz"
    with np.load(newest) as archive:
        return {name: archive[name] for name in archive.files}


def test_a_failing_upload_is_reported_and_does_not_end_the_training(
    whole: tuple[Host, "CompletedProcess[str]"],
) -> None:
    host, ended = whole

    assert ended.returncode == 0, ended.stderr
    assert (host.end()["exit"], host.end()["why"]) == (0, "done")
    assert "the newest checkpoint is not in the bucket: AccessDenied" in host.end()["message"]


def test_a_step_reports_why_the_last_upload_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}/runs:{tmp_path}/data")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    paths = RunPaths({"run": "r"})
    paths.run.mkdir(parents=True)
    Heartbeat(paths, "r").step(Progress(), 3, {}, "AccessDenied")
    assert json.loads(paths.progress.read_text())["upload_error"] == "AccessDenied"


def test_the_heartbeat_counts_and_names_every_phase(whole: tuple[Host, "CompletedProcess[str]"]) -> None:
    host, _ = whole
    news = [json.loads(line) for line in (host.run / "progress.jsonl").read_text().splitlines()]

    assert [entry["counter"] for entry in news] == sorted({entry["counter"] for entry in news})
    assert {"data", "proof", "train", "upload"} <= {entry["phase"] for entry in news}
    assert news[-1]["gpu"]["stand_in"] is True and news[-1]["step"] == news[-1]["steps"]
    assert news[-1]["sensitivity"] is not None and news[-1]["images_per_second"] > 0


def test_a_killed_run_resumed_on_another_host_ends_with_the_same_bits(
    host: Host, whole: tuple[Host, "CompletedProcess[str]"], tmp_path: Path
) -> None:
    first = Host(tmp_path / "first", host.endpoint, host.bucket, {**host.order, "run": "20261123-053100-dead"})
    first.root.mkdir()
    killed = first.start(TEST_KILL="5", TEST_SIGNAL="SIGKILL")
    assert killed.returncode == -signal.SIGKILL
    # The host is lost with it: no end report is written, and pending writes are lost, too.
    first.s3.put_object(Bucket=host.bucket, Key=f"runs/{first.order['run']}/checkpoints/step-00000099/state.json")

    second = Host(tmp_path / "second", host.endpoint, host.bucket, {**first.order, "resume": True})
    second.root.mkdir()
    resumed = second.start()
    assert resumed.returncode == 0, resumed.stderr
    assert "continuing from step-00000004" in resumed.stderr and "step-00000099 is incomplete" in resumed.stderr
    assert (second.end()["exit"], second.end()["why"], second.end()["message"]) == (0, "done", "")
    wanted, final = weights(whole[0].run / "out"), weights(second.run / "out")
    assert wanted.keys() == final.keys()
    assert all(np.array_equal(wanted[name], final[name]) for name in wanted)


def test_sigterm_saves_a_checkpoint_and_uploads_it(host: Host) -> None:
    result = host.start(TEST_KILL="5", TEST_SIGNAL="SIGTERM")

    assert result.returncode == 128 + signal.SIGTERM, result.stderr
    assert (host.end()["exit"], host.end()["why"]) == (143, "stopped")
    assert host.in_bucket("checkpoints/latest") == b"step-00000005"
    assert host.start("--upload-results").returncode == 0
    assert json.loads(host.in_bucket("end.json"))["missed"] == []
    assert host.in_bucket("settings.json") and host.in_bucket("train.log") and host.in_bucket("progress.jsonl")


def test_without_a_gpu_nothing_is_trained(host: Host) -> None:
    result = host.start(**{STAND_IN: "0"})

    assert result.returncode == host_run.NO_GPU
    assert host.end()["why"] == "no gpu" and "TensorFlow sees no GPU (tensorflow 2" in host.end()["message"]
    assert not (host.run / "out").exists()
