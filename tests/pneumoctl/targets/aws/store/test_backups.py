"""The newest backup that is intact is fetched from the bucket; only a bucket without any has none."""

import hashlib
import io
import json
import stat
import tarfile
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from pneumoctl.aws import s3
from pneumoctl.plan.transport import Output
from pneumoctl.results.transfer import Summary
from pneumoctl.ssh import remote_command
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.store import backups
from tests.pneumoctl.cloud import Cloud
from tests.pneumoctl.examples import aws_context

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]
COUNTS = {"results": 0, "pictures": 0, "reviews": 0, "damaged": 0}


def export(contents: str, version: int = 1) -> bytes:
    """An export without results, in the format of this version."""
    files = {"sealed.jsonl": (hashlib.sha256(b"").hexdigest(), 0)}
    manifest = {"format": version, "counts": COUNTS, "contents": contents, "keys": {}, "files": files}
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


def put(context: Context, name: str, body: bytes) -> None:
    context.aws.call("s3", "put_object", Bucket=context.bucket, Key=f"{backups.PREFIX}{name}", Body=body)


def fetched(context: Context) -> tuple[Path, Summary]:
    return backups.fetch(context, backups.new_folder(context)) or pytest.fail("no backup")


def test_the_newest_is_fetched_for_its_owner_alone(context: Context, tmp_path: Path) -> None:
    for day, contents in ((1, "old"), (2, "between"), (3, "new")):
        put(context, f"2026010{day}.tar", export(contents))
    context.aws.call("s3", "put_object", Bucket=context.bucket, Key="backups/z", Body=b"something else")
    path, held = fetched(context)
    assert (held.contents, held.counts, path.name) == ("new", COUNTS, "20260103.tar")
    assert path.is_relative_to(tmp_path / "share") and path.parent.stat().st_mode & 0o077 == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_which_is_newest_is_said_by_s3_not_by_the_clock_of_a_host(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(context, "20991231.tar", export("of a host whose clock is wrong"))
    put(context, "20260103.tar", export("newest"))
    listed = s3.objects
    days = {"20991231": datetime(2026, 1, 2, tzinfo=UTC), "20260103": datetime(2026, 1, 3, tzinfo=UTC)}
    monkeypatch.setattr(
        s3, "objects", lambda *of: [replace(item, modified=days[Path(item.key).stem]) for item in listed(*of)]
    )
    assert fetched(context)[1].contents == "newest"


@pytest.mark.parametrize("unusable", [export("newest")[:700], export("newest", version=2)])
def test_an_older_one_stands_in_for_those_that_cannot_be_used(
    context: Context, unusable: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    for day, body in ((1, export("old")), (2, export("between")), (3, unusable), (4, unusable)):
        put(context, f"2026010{day}.tar", body)
    path, held = fetched(context)
    assert (held.contents, path.name) == ("between", "20260102.tar")
    assert capsys.readouterr().err.count("a backup of the results is not used") == 2


def test_backups_of_which_none_can_be_used_are_an_error(context: Context, tmp_path: Path) -> None:
    for day in (1, 2):
        put(context, f"2026010{day}.tar", export("cut off")[:700])
    with pytest.raises(backups.Unusable, match="no backup of the results can be used: 2 files") as error:
        backups.fetch(context, tmp_path / "damaged")
    assert f"downloaded to {tmp_path / 'damaged'}" in error.value.message
    assert len(list((tmp_path / "damaged").iterdir())) == 2
    assert "pneumoctl up --lose-results" in error.value.hint


def test_a_backup_that_could_not_be_made_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def run(connections: object, host: object, argv: tuple[str, ...], timeout: float) -> Output:
        asked.append(argv)
        return Output(len(asked) > 2, "", "")

    class Store:
        connections = machine = None
        host = "app-0"

    monkeypatch.setattr(remote_command, "run", run)
    backups.make(Store())
    forget = ("rm", "-f", "/var/lib/pneumoctl-backup/last.json")  # the results are the same, the trail may not be
    assert asked == [forget, ("systemctl", "start", "pneumoctl-backup")] and capsys.readouterr().err == ""
    backups.make(Store())
    assert (
        "not backed up (next: pneumoctl ssh app-0 -- sudo journalctl -n 50 -u pneumoctl-backup)"
        in capsys.readouterr().err
    )
