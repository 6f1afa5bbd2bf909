"""`pneumoctl data push`: only changed files are sent, and `latest` is written last."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from model.data import attribution
from pneumoctl.aws import s3 as uploads
from pneumoctl.aws.ec2 import Aws
from pneumoctl.cli.main import run
from pneumoctl.errors import PneumoError
from pneumoctl.training import data_sets
from pneumoctl.training.data_sets import File, Manifest
from tests.pneumoctl.cloud import REGION, Cloud
from tests.pneumoctl.training.data_pushes import NAME, keys, push

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]


def read(aws: Aws, key: str) -> bytes:
    with aws.translated("s3", "get_object"):
        return bytes(aws.client("s3").get_object(Bucket=NAME, Key=key)["Body"].read())


def test_the_attribution_of_a_data_set_goes_with_it(xrays: Path) -> None:
    """The training on the host reads it, and the ages of the patients with it."""
    source = attribution.source_file(xrays)
    source.write_text(attribution.SOURCES["kermany"])
    assert source in data_sets.find_files(xrays)


def test_a_data_set_is_there_by_its_hashes_and_a_second_push_sends_nothing(
    aws: Aws, cloud: Cloud, xrays: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = push(capsys, str(xrays), "--name", "mine")
    assert (done["files"], done["objects"], done["check"]) == (5, 5, "done")
    assert read(aws, "data/latest").decode() == done["manifest"]
    raw = read(aws, f"data/manifests/{done['manifest']}.json")
    assert hashlib.sha256(raw).hexdigest() == done["manifest"]
    manifest = json.loads(raw)
    assert manifest["name"] == "mine" and len(manifest["files"]) == 5
    assert [file["path"] for file in manifest["files"]] == sorted(file["path"] for file in manifest["files"])
    for file in manifest["files"]:
        content = read(aws, f"data/objects/{file['sha256']}")
        assert content == (xrays / file["path"]).read_bytes() and len(content) == file["size"]

    since = cloud.last()
    again = push(capsys, str(xrays), "--name", "mine")
    assert (again["objects"], again["sent_bytes"], again["manifest"]) == (0, 0, done["manifest"])
    assert "s3:PutObject" not in cloud.calls(since)


def test_the_training_host_reads_what_was_pushed(
    aws: Aws, xrays: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from model.data import dataset
    from model.host.s3 import Bucket, download_data_set

    done = push(capsys, str(xrays))
    there = download_data_set(Bucket(NAME, REGION), done["manifest"], tmp_path / "host", lambda *_: None)
    assert dataset.load(there).manifest_sha256 == dataset.load(xrays).manifest_sha256


def test_only_what_changed_is_sent_and_latest_comes_last(
    aws: Aws, cloud: Cloud, xrays: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from model import phantom

    first = push(capsys, str(xrays))
    phantom.draw(99, 64, opacity=False).save(xrays / "train/NORMAL/IM-9-1.png")
    (xrays / "train/NORMAL/IM-3-1.png").rename(xrays / "train/NORMAL/IM-4-1.png")
    dry = push(capsys, str(xrays), "--dry-run")
    assert dry["objects"] == 1 and read(aws, "data/latest").decode() == first["manifest"]
    second = push(capsys, str(xrays))
    assert second["objects"] == 1 and second["manifest"] == dry["manifest"] != first["manifest"]
    assert read(aws, "data/latest").decode() == second["manifest"]
    # Back to the first: nothing to send but which is the latest.
    (xrays / "train/NORMAL/IM-9-1.png").unlink()
    (xrays / "train/NORMAL/IM-4-1.png").rename(xrays / "train/NORMAL/IM-3-1.png")
    since = cloud.last()
    assert push(capsys, str(xrays))["manifest"] == first["manifest"]
    assert cloud.calls(since).count("s3:PutObject") == 1
    assert read(aws, "data/latest").decode() == first["manifest"]


def test_a_failure_leaves_the_latest_and_the_same_command_sends_the_rest_only(
    aws: Aws, cloud: Cloud, xrays: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pneumoctl.aws.s3.UPLOADS_AT_ONCE", 1)
    write, calls = uploads.write, list[str]()

    def expire(aws: Aws, bucket: str, key: str, *more: Any) -> None:
        calls.append(key)
        if len(calls) == 3:
            cloud.fault("expired", service="s3")
        write(aws, bucket, key, *more)

    monkeypatch.setattr(uploads, "write", expire)
    manifest = data_sets.build_manifest(xrays, "xrays", data_sets.find_files(xrays), lambda _: None)
    todo = data_sets.compare(aws, NAME, xrays, manifest)
    with pytest.raises(PneumoError, match="expired"):
        data_sets.upload(aws, NAME, xrays, todo, lambda _: None)
    cloud.ask("DELETE", "faults")
    there = keys(aws)
    assert len(there) == 2 and not [one for one in there if not one.startswith("data/objects/")]
    done = push(capsys, str(xrays))
    assert done["objects"] == 5 - len(there)
    assert there.items() <= keys(aws).items()  # not written again
    assert calls[-2:] == [f"data/manifests/{done['manifest']}.json", "data/latest"]


def test_a_killed_push_is_resumed(aws: Aws, xrays: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SIGKILL, as soon as the first objects are there."""
    noise = random.Random(1)
    for number in range(400):
        (xrays / f"notes-{number}").write_bytes(noise.randbytes(20_000))
    child = subprocess.Popen(
        [sys.executable, "-m", "pneumoctl", "data", "push", str(xrays)], cwd=Path(__file__).parents[3],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    end = time.monotonic() + 600
    while len(there := keys(aws)) < 20 and child.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    there = keys(aws)
    assert 20 <= len(there) < 405 and "data/latest" not in there
    done = push(capsys, str(xrays))
    assert done["objects"] == 405 - len(there)
    assert there.items() <= keys(aws).items()
    assert read(aws, "data/latest").decode() == done["manifest"]


def test_two_pushes_at_once_both_end_well(aws: Aws, xrays: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [sys.executable, "-m", "pneumoctl", "data", "push", str(xrays), "--json", "--name"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    both = [
        subprocess.Popen([*arguments, name], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for name in ("one", "two")
    ]
    outputs = [one.communicate(timeout=600) for one in both]
    assert [one.returncode for one in both] == [0, 0], outputs
    digests = {json.loads(out)["manifest"] for out, _ in outputs}
    assert read(aws, "data/latest").decode() in digests
    assert len([key for key in keys(aws) if key.startswith("data/objects/")]) == 5
    capsys.readouterr()
    assert run(["data", "ls", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["data"]
    assert {item["name"] for item in listed} == {"one", "two"} and sum(item["latest"] for item in listed) == 1


def test_a_link_inside_goes_along_as_a_file(aws: Aws, xrays: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (xrays / "LICENSE").write_text("free")
    (xrays / "COPYING").symlink_to("LICENSE")
    done = push(capsys, str(xrays))
    assert (done["files"], done["objects"]) == (7, 6)


def test_a_manifest_is_one_for_the_same_files_in_any_order() -> None:
    """Property: the digest depends on the names, the contents and nothing else."""
    chance = random.Random(7)
    for _ in range(200):
        files = [
            File("/".join(chance.choices(["a", "é", "x-1", "Z z", "\u4e2d"], k=chance.randint(1, 3))) + f"-{number}",
                 f"{chance.getrandbits(256):064x}", chance.randrange(10**9))
            for number in range(chance.randint(1, 12))
        ]  # fmt: skip
        whole = Manifest("n", tuple(files))
        mixed = Manifest("n", tuple(chance.sample(files, len(files))))
        assert whole.content == mixed.content and whole.digest == mixed.digest
        back = json.loads(whole.content)
        assert Manifest(back["name"], tuple(File(**file) for file in back["files"])).content == whole.content
        assert [file["path"] for file in back["files"]] == sorted(file.path for file in files)
        changed = chance.randrange(len(files))
        other = [*files[:changed], File(files[changed].path, "0" * 64, files[changed].size), *files[changed + 1 :]]
        assert Manifest("n", tuple(other)).digest != whole.digest
        assert Manifest("m", tuple(files)).digest != whole.digest
