"""A run's objects in the bucket: the order of uploads, checks after downloads, and the host's end report."""

import errno
import hashlib
import json
import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3  # noqa: TID253
import numpy as np
import pytest
from botocore.exceptions import ClientError, IncompleteReadError  # noqa: TID253
from botocore.response import StreamingBody  # noqa: TID253
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from model import host_run, train
from model.files import write_json
from model.host import checkpoint_upload
from model.host.checkpoint_upload import CheckpointUploader, restore, upload
from model.host.s3 import Bucket, BucketError, download_data_set
from model.training.checkpoint import Checkpoints

NAME, REGION, RUN = "our-bucket", "eu-west-1", "20261123-053100-a1b2"


@pytest.fixture(scope="module")
def aws() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "lab")
        yield boto3.client("s3", region_name=REGION)


@pytest.fixture
def s3(aws: Any) -> Any:
    """S3 with an empty bucket."""
    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].reset()
    aws.create_bucket(Bucket=NAME, CreateBucketConfiguration={"LocationConstraint": REGION})
    return aws


@pytest.fixture
def bucket(s3: Any) -> Bucket:
    return Bucket(NAME, REGION, f"runs/{RUN}/")


def saved(run: Path, step: int) -> Path:
    """A checkpoint of a run, with its settings."""
    run.mkdir(parents=True, exist_ok=True)
    (run / "settings.json").write_text("{}")
    return Checkpoints(run / "checkpoints", "print").save(step, {"a": np.arange(step)}, {})


def test_a_checkpoint_is_announced_after_its_files(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(Bucket, "put", lambda _, key, __: written.append(key))
    upload(bucket, saved(tmp_path / "out", 3))

    step = "checkpoints/step-00000003"
    files = [f"{step}/arrays.npz", f"{step}/state.json", f"{step}/manifest.json"]
    assert written == ["settings.json", *files, "checkpoints/latest"]


def test_a_missing_object_is_no_error_where_s3_denies_its_read(
    bucket: Bucket, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 does so where the role may only list the keys below a prefix, as that of the training host."""

    def deny(**_: str) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject")

    monkeypatch.setattr(bucket._client, "get_object", deny)
    s3.put_object(Bucket=NAME, Key=f"runs/{RUN}/settings.json", Body=b"{}")
    assert bucket.get("history.json") is None and bucket.get("settings") is None
    with pytest.raises(BucketError, match=r"settings\.json: cannot read: AccessDenied"):
        bucket.get("settings.json")


def test_a_damaged_checkpoint_is_replaced_by_the_previous_one(bucket: Bucket, s3: Any, tmp_path: Path) -> None:
    for step in (3, 6):
        upload(bucket, saved(tmp_path / "one", step))
    s3.put_object(Bucket=NAME, Key=f"runs/{RUN}/checkpoints/step-00000006/arrays.npz", Body=b"half of i")

    assert restore(bucket, tmp_path / "other") == "step-00000003"
    arrays, _ = Checkpoints(tmp_path / "other" / "checkpoints", "print").restore()
    assert list(arrays["a"]) == [0, 1, 2]
    assert (tmp_path / "other" / "settings.json").is_file()


def test_a_newer_local_checkpoint_is_kept(bucket: Bucket, tmp_path: Path) -> None:
    upload(bucket, saved(tmp_path / "one", 3))
    saved(tmp_path / "other", 9)

    assert restore(bucket, tmp_path / "other") == "step-00000009"


def test_an_unreachable_bucket_does_not_restart_a_run(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(bucket, saved(tmp_path / "one", 3))

    def refused(*_: object) -> None:
        raise BucketError("SlowDown")

    monkeypatch.setattr(Bucket, "fetch", refused)
    with pytest.raises(BucketError, match="SlowDown"):
        restore(bucket, tmp_path / "other")


@pytest.mark.parametrize(("broken", "good"), [(2, True), (3, False)])
def test_a_truncated_response_is_requested_again(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: int, good: bool
) -> None:
    read, left = StreamingBody.read, [broken]

    def breaking(self: StreamingBody, amt: int | None = None) -> bytes:
        if left[0]:
            left[0] -= 1
            raise IncompleteReadError(actual_bytes=3, expected_bytes=8)
        return bytes(read(self, amt))

    bucket.put("one", b"contents")
    monkeypatch.setattr(StreamingBody, "read", breaking)
    if good:
        assert bucket.get("one") == b"contents"
        left[0] = broken
        bucket.fetch("one", tmp_path / "one")
        assert (tmp_path / "one").read_bytes() == b"contents"
    else:
        with pytest.raises(BucketError, match="cannot read"):
            bucket.get("one")


def test_a_checkpoint_that_was_refused_is_tried_again(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, left = Bucket.put, [3]

    def refusing(self: Bucket, key: str, body: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise BucketError("AccessDenied")
        put(self, key, body)

    monkeypatch.setattr(Bucket, "put", refusing)
    monkeypatch.setattr(checkpoint_upload, "RETRY_PAUSE_S", 0.01)
    uploader = CheckpointUploader(bucket)
    uploader.offer(saved(tmp_path / "out", 3))

    assert uploader.close(30)
    assert (uploader.last_error, left) == ("", [0])
    assert bucket.get("checkpoints/latest") == b"step-00000003"


def listed(s3: Any, *files: tuple[str, bytes]) -> str:
    """A manifest in the bucket, and the contents that it names."""
    entries = []
    for path, content in files:
        digest = hashlib.sha256(content).hexdigest()
        s3.put_object(Bucket=NAME, Key=f"data/objects/{digest}", Body=content)
        entries.append({"path": path, "sha256": digest, "size": len(content)})
    manifest = json.dumps({"name": "drawings", "files": entries}).encode()
    digest = hashlib.sha256(manifest).hexdigest()
    s3.put_object(Bucket=NAME, Key=f"data/manifests/{digest}.json", Body=manifest)
    return digest


def test_existing_files_of_a_data_set_are_not_downloaded_again(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = listed(s3, ("train/a.png", b"a"), ("train/b.png", b"bb"), ("test/c.png", b"ccc"))
    root, fetched, fetch = tmp_path / digest, [], Bucket.fetch
    for name, content in (("train/a.png", b"a"), ("train/b.png", b"xx"), ("train/left.png", b"of another try")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    monkeypatch.setattr(Bucket, "fetch", lambda self, key, path: (fetched.append(path.name), fetch(self, key, path)))

    assert download_data_set(Bucket(NAME, REGION), digest, tmp_path, lambda *_: None) == root
    assert sorted(fetched) == ["b.png", "c.png"]
    files = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert files == {"train/a.png": b"a", "train/b.png": b"bb", "test/c.png": b"ccc"}


def test_a_manifest_cannot_write_outside_the_directory(s3: Any, tmp_path: Path) -> None:
    digest = listed(s3, ("../../elsewhere.png", b"a"))

    with pytest.raises(BucketError, match="outside of its folder"):
        download_data_set(Bucket(NAME, REGION), digest, tmp_path / "data", lambda *_: None)
    assert not list(tmp_path.rglob("*.png"))


@pytest.fixture
def order(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An order for this process, which has no GPU and asks for none."""
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}/runs:{tmp_path}/data")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)  # pytest's handlers stay
    facts = {"resume": False, "gpu": False, "spot": False, "arguments": []}
    path = tmp_path / "order.json"
    data = listed(s3, ("train/a.png", b"a"))
    write_json(path, {"run": RUN, "bucket": NAME, "region": REGION, "data": data, **facts})
    return path


def carried_out(order: Path) -> tuple[int, dict[str, Any]]:
    """The exit code and end.json; signal handlers are restored."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        code = host_run.main([str(order)])
    finally:
        signal.signal(signal.SIGTERM, before)
    end: dict[str, Any] = json.loads((order.parent / "runs" / RUN / "end.json").read_text())
    assert end["exit"] == code
    return code, end


def raising(error: BaseException) -> Any:
    def raise_it(*_: object) -> None:
        raise error

    return raise_it


def test_an_unexpected_crash_is_a_failed_run(order: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "train", raising(MemoryError("a large one")))

    code, end = carried_out(order)
    assert (code, end["why"], end["message"]) == (1, "failed", "MemoryError: a large one")


def test_a_signal_before_anything_is_trained_is_a_stop(order: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_run, "download_data_set", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    monkeypatch.setattr(train, "train", raising(AssertionError("trained")))

    code, end = carried_out(order)
    assert (code, end["why"]) == (128 + signal.SIGTERM, "stopped")


def test_data_that_is_not_what_was_ordered_is_never_trained_on(
    order: Path, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "train", raising(AssertionError("trained")))
    digest = hashlib.sha256(b"a").hexdigest()
    s3.put_object(Bucket=NAME, Key=f"data/objects/{digest}", Body=b"b")
    code, end = carried_out(order)
    assert (code, end["why"]) == (host_run.NO_DATA, "failed")
    assert f"object {digest} of the data set is damaged" in end["message"]

    write_json(order, {**json.loads(order.read_text()), "data": "0" * 64})
    code, end = carried_out(order)
    assert code == host_run.NO_DATA and "no intact data set manifest" in end["message"]


@pytest.mark.parametrize("words", [["--arch", "vgg"], ["--epochs", "0"]])
def test_arguments_that_cannot_be_followed_are_usage(order: Path, words: list[str]) -> None:
    write_json(order, {**json.loads(order.read_text()), "arguments": words})

    code, end = carried_out(order)
    assert (code, end["why"]) == (2, "failed")
    assert words[0].strip("-") in end["message"]


def test_without_an_order_no_run_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert host_run.main([str(tmp_path / "none.json")]) == 2
    assert "the order cannot be read" in capsys.readouterr().err


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_the_end_is_reported_despite_a_full_disk(
    order: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(host_run, "write_json", full)
    monkeypatch.setattr(train, "train", full)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert host_run.main([str(order)]) == 1
    finally:
        signal.signal(signal.SIGTERM, before)

    monkeypatch.setenv("SERVICE_RESULT", "exit-code")
    monkeypatch.setenv("EXIT_STATUS", "1")
    upload_results(order)
    end = json.loads(bucket.get("end.json") or b"")
    assert (end["exit"], end["why"], end["message"], end["missed"]) == (1, "failed", "exit-code 1", [])


@pytest.mark.parametrize(
    ("status", "wanted"), [("143", (143, "stopped")), ("KILL", (None, "killed")), ("ALRM", (None, "no gpu"))]
)
def test_a_run_without_an_end_report_is_explained_by_systemd(
    order: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, status: str, wanted: tuple[int | None, str]
) -> None:
    monkeypatch.setenv("EXIT_STATUS", status)
    upload_results(order)

    end = json.loads(bucket.get("end.json") or b"")
    assert (end["exit"], end["why"]) == wanted


def test_the_upload_ends_in_time_with_a_slow_bucket(
    order: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(bucket, saved(order.parent / "runs" / RUN / "out", 3))
    monkeypatch.setattr(host_run, "UPLOAD_S", 0.2)
    monkeypatch.setattr(host_run, "upload_tree", lambda *_: threading.Event().wait())  # for good

    assert upload_results(order) == 1
    assert json.loads(bucket.get("end.json") or b"")["missed"] == ["the rest: no time left"]


def test_kept_features_are_not_uploaded(order: Path, bucket: Bucket) -> None:
    """A stopped run keeps some gigabytes of them, and the GPU host stays on while it uploads."""
    out = order.parent / "runs" / RUN / "out"
    saved(out, 3)
    (out / "features").mkdir()
    (out / "features" / "view-0.rows").write_bytes(b"large")
    (out / "train.log").write_text("stopped")

    assert upload_results(order) == 0
    assert bucket.get("train.log") == b"stopped" and bucket.get("features/view-0.rows") is None


@pytest.mark.parametrize("ready", [True, False])
def test_a_finished_model_is_uploaded_before_the_newest_checkpoint(
    order: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, ready: bool
) -> None:
    out = order.parent / "runs" / RUN / "out"
    saved(out, 3)
    (out / "best.keras").write_bytes(b"large")
    if ready:
        (out / "bundle").mkdir()
        (out / "bundle" / "model.keras").write_bytes(b"ready")
    sent: list[str] = []
    put = Bucket.put

    def noting(self: Bucket, key: str, body: Any) -> None:
        sent.append(key)
        put(self, key, body)

    monkeypatch.setattr(Bucket, "put", noting)
    assert upload_results(order) == 0
    assert sent[0] == ("bundle/model.keras" if ready else "settings.json") and sent[-1] == "end.json"
    assert (sent.index("checkpoints/latest") < sent.index("best.keras")) is not ready


def upload_results(order: Path) -> int:
    try:
        return host_run.main(["--upload-results", str(order)])
    finally:
        signal.alarm(0)
