"""The newest backup is fetched from the bucket and verified; a damaged one is not used."""

import hashlib
import io
import json
import stat
import tarfile
import uuid
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from pneumoctl.plan.transport import Output
from pneumoctl.ssh import remote_command
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.store import backups
from tests.pneumoctl.cloud import Cloud
from tests.pneumoctl.examples import aws_context

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]
COUNTS = {"results": 0, "pictures": 0, "reviews": 0, "damaged": 0}


def export(contents: str) -> bytes:
    """An export without results."""
    files = {"sealed.jsonl": (hashlib.sha256(b"").hexdigest(), 0)}
    manifest = {"format": 1, "counts": COUNTS, "contents": contents, "keys": {}, "files": files}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as packed:
        for name, content in (("sealed.jsonl", b""), ("manifest.json", json.dumps(manifest).encode())):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture
def context(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A stack with a bucket in the API."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    made = aws_context(cloud.aws(), bucket=f"backups-{uuid.uuid4().hex[:12]}")
    configuration = {"LocationConstraint": "eu-west-1"}
    made.aws.call("s3", "create_bucket", Bucket=made.bucket, CreateBucketConfiguration=configuration)
    return with_bucket(made, made.bucket)


def with_bucket(context: Context, name: str) -> Context:
    """The context of a stack whose terraform made a bucket of this name; empty: none."""
    resources = [SimpleNamespace(address="aws_s3_bucket.main", id=name)] if name else []
    return replace(context, terraform=SimpleNamespace(resources=lambda: resources))


def test_there_may_be_none(context: Context, tmp_path: Path) -> None:
    assert backups.fetch(context, tmp_path / "none") is None
    for name in ("no-such-bucket", ""):
        assert backups.fetch(with_bucket(context, name), tmp_path / "none") is None
    assert not (tmp_path / "none").exists()


def test_the_newest_is_fetched_for_its_owner_alone_and_a_damaged_one_is_not_used(
    context: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for day, contents in ((1, "old"), (3, "new"), (2, "between")):
        key = f"backups/results/2026010{day}.tar"
        context.aws.call("s3", "put_object", Bucket=context.bucket, Key=key, Body=export(contents))
    context.aws.call("s3", "put_object", Bucket=context.bucket, Key="backups/z", Body=b"something else")
    path, held = backups.fetch(context, backups.new_folder(context)) or pytest.fail("no backup")
    assert (held.contents, held.counts, path.name) == ("new", COUNTS, "20260103.tar")
    assert path.is_relative_to(tmp_path / "share") and path.parent.stat().st_mode & 0o077 == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    cut_off = export("newest")[:700]
    key = "backups/results/20260104.tar"
    context.aws.call("s3", "put_object", Bucket=context.bucket, Key=key, Body=cut_off)
    assert backups.fetch(context, backups.new_folder(context)) is None
    assert "the newest backup of the results is not used" in capsys.readouterr().err


def test_a_backup_that_could_not_be_made_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def run(connections: object, host: object, argv: tuple[str, ...], timeout: float) -> Output:
        asked.append(argv)
        return Output(len(asked) - 1, "", "")

    class Store:
        connections = machine = None
        host = "app-0"

    monkeypatch.setattr(remote_command, "run", run)
    backups.make(Store())
    assert asked == [("systemctl", "start", "pneumoctl-backup")] and capsys.readouterr().err == ""
    backups.make(Store())
    assert "were not backed up: pneumoctl ssh app-0 journalctl -u pneumoctl-backup" in capsys.readouterr().err
