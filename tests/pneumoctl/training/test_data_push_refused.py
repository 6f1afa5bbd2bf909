"""`pneumoctl data push` of files and folders that cannot be sent: only errors name a file."""

import os
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.aws import s3
from pneumoctl.aws.ec2 import Aws
from pneumoctl.cli.main import run
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack import stack
from pneumoctl.training import data_sets
from tests.pneumoctl.cloud import ACCOUNT, REGION, Cloud
from tests.pneumoctl.training.data_pushes import NAME, PATIENT, keys, push

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]


def test_files_that_cannot_be_pushed_are_named_with_the_reason(
    aws: Aws, cloud: Cloud, xrays: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / f"{PATIENT}.secret"
    secret.write_text("elsewhere")

    def refused(code: int, word: str, name: str = f"train/NORMAL/{PATIENT}.png") -> None:
        since = cloud.last()
        error = push(capsys, str(xrays), code=code)["error"]
        assert word in error["message"] and name in error["message"]
        assert "s3:PutObject" not in cloud.calls(since)

    out = xrays / "train/NORMAL" / f"{PATIENT}.png"
    out.symlink_to(secret)
    refused(Exit.USAGE, "links that lead out")
    out.unlink()
    out.symlink_to(xrays / "nothing")
    refused(Exit.FAILED, "cannot be read")
    out.unlink()
    os.mkfifo(out)
    refused(Exit.USAGE, "special files")
    out.unlink()
    (xrays / "more").symlink_to(tmp_path, target_is_directory=True)
    refused(Exit.USAGE, "links to folders", "more")
    (xrays / "more").unlink()
    out.write_bytes(b"no picture")
    refused(Exit.PREFLIGHT, "repair the file or remove it")
    (out.parent / "another.png").write_bytes(out.read_bytes()[:4])
    refused(Exit.PREFLIGHT, "the training refuses the data set: 2 pictures cannot be used: ", "another.png")
    (out.parent / "another.png").unlink()
    out.unlink()
    odd = os.fsencode(out.parent) + b"/\xff.png"
    os.close(os.open(odd, os.O_CREAT))
    refused(Exit.USAGE, "names that are not UTF-8", "train/NORMAL/\\udcff.png")
    Path(os.fsdecode(odd)).unlink()
    (xrays / "test/PNEUMONIA" / f"{PATIENT}.png").write_bytes((xrays / f"train/PNEUMONIA/{PATIENT}.png").read_bytes())
    refused(Exit.PREFLIGHT, "both train and test", f"{PATIENT}.png")


def test_a_push_that_succeeds_names_no_file(aws: Aws, xrays: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "push", str(xrays)]) == 0
    captured = capfd.readouterr()
    assert "5 files" in captured.out and "person" not in captured.out + captured.err
    state = stack.home()
    saved = "".join(path.read_text(errors="replace") for path in state.rglob("*") if path.is_file())
    assert "data push" in saved and "person" not in saved


def test_a_disk_that_cannot_be_read_is_said(
    aws: Aws, xrays: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.open

    def broken(self: Path, *arguments: Any, **more: Any) -> Any:
        if self.name.startswith(PATIENT):
            raise OSError(5, "Input/output error", str(self))
        return real(self, *arguments, **more)

    monkeypatch.setattr(Path, "open", broken)
    error = push(capsys, str(xrays), code=1)["error"]
    assert "Input/output error" in error["message"] and f"train/PNEUMONIA/{PATIENT}.png" in error["message"]


def test_a_file_larger_than_one_upload_is_refused(
    aws: Aws, xrays: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "LARGEST", 1)
    error = push(capsys, str(xrays), code=Exit.USAGE)["error"]
    assert "larger than 5 GiB" in error["message"] and "-type f -size +5G" in error["hint"]
    assert f"train/PNEUMONIA/{PATIENT}.png" in error["message"]


def test_a_file_that_changes_on_its_way_is_not_sent(aws: Aws, xrays: Path) -> None:
    manifest = data_sets.build_manifest(xrays, "xrays", data_sets.find_files(xrays), lambda _: None)
    todo = data_sets.compare(aws, NAME, xrays, manifest)
    (xrays / "train/NORMAL/IM-1-1.png").write_bytes(b"new")
    with pytest.raises(PneumoError, match=r"train/NORMAL/IM-1-1\.png changed while"):
        data_sets.upload(aws, NAME, xrays, todo, lambda _: None)
    assert "data/latest" not in keys(aws)


def test_no_stack_no_bucket_and_no_data_set(
    aws: Aws, xrays: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert "no stack" in push(capsys, str(xrays), "--stack", "other", code=Exit.FAILED)["error"]["message"]
    stack.find("gone").save_cloud(stack.Cloud(REGION, "", ACCOUNT, "never-made-by-a-test"))
    gone = push(capsys, str(xrays), "--stack", "gone", code=1)["error"]
    assert "is gone" in gone["message"] and gone["hint"].startswith("pneumoctl up")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "is not a data set" in push(capsys, str(empty), code=Exit.USAGE)["error"]["message"]
    assert "not a folder" in push(capsys, str(tmp_path / "nothing"), code=Exit.USAGE)["error"]["message"]
    assert (
        "is not a valid data set name" in push(capsys, str(xrays), "--name", "a/b", code=Exit.USAGE)["error"]["message"]
    )
