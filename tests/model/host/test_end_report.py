"""The host's order and end report: how a run ended, and that its results are uploaded."""

import errno
import hashlib
import json
import logging
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from model import host_run, train
from model.files import write_json
from model.host.checkpoint_upload import upload
from model.host.s3 import Bucket
from tests.model.host.bucket_contents import NAME, REGION, RUN, listed, saved


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
    assert (code, end["why"], end["message"]) == (
        1,
        "failed",
        "unexpected error, see its log (MemoryError: a large one)",
    )


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
    assert "the order is damaged or cannot be read" in capsys.readouterr().err


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
