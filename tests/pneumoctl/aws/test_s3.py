"""The bucket: it is emptied with all versions, results are downloaded completely or not at all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pneumoctl.aws import s3
from pneumoctl.aws.ec2 import Aws
from pneumoctl.errors import PneumoError
from tests.pneumoctl.cloud import REGION, Cloud

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]
NAME = "results-of-a-test"


@pytest.fixture
def aws(cloud: Cloud) -> Iterator[Aws]:
    """With a versioned bucket."""
    aws = cloud.aws()
    # The API's server does not answer `Expect: 100-continue`, for which botocore then waits a second.
    aws.client("s3").meta.events.register(
        "before-send.s3", lambda request, **_: request.headers.pop("Expect", None) and None
    )
    aws.call("s3", "create_bucket", Bucket=NAME, CreateBucketConfiguration={"LocationConstraint": REGION})
    aws.call("s3", "put_bucket_versioning", Bucket=NAME, VersioningConfiguration={"Status": "Enabled"})
    yield aws
    cloud.ask("DELETE", "faults")
    s3.empty(aws, NAME)
    aws.call("s3", "delete_bucket", Bucket=NAME)


def versions(aws: Aws) -> int:
    """How many versions and delete markers the bucket has."""
    page = aws.call("s3", "list_object_versions", Bucket=NAME)
    return len(page.get("Versions", ())) + len(page.get("DeleteMarkers", ()))


def put(aws: Aws, key: str, body: bytes) -> None:
    aws.call("s3", "put_object", Bucket=NAME, Key=key, Body=body)


def test_empty_takes_versions_and_delete_markers(aws: Aws) -> None:
    for body in (b"one", b"two"):
        put(aws, "runs/1/log", body)
    put(aws, "data/x", b"x")
    aws.call("s3", "delete_object", Bucket=NAME, Key="runs/1/log")
    assert versions(aws) == 4
    progress: list[int] = []
    assert s3.empty(aws, NAME, progress.append) == 4
    assert (sum(progress), versions(aws)) == (4, 0)


def test_empty_goes_through_all_pages(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(7):
        put(aws, f"runs/{number}", b"")
    monkeypatch.setattr(s3, "PAGE", 2)
    progress: list[int] = []
    s3.empty(aws, NAME, progress.append)
    assert sum(progress) == 7 and len(progress) > 3
    assert versions(aws) == 0


def test_empty_never_takes_an_older_version_for_the_current_one(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    for body in (b"oldest", b"older", b"new"):
        put(aws, "data/film", body)
    put(aws, "data/removed", b"deleted by its owner")
    aws.call("s3", "delete_object", Bucket=NAME, Key="data/removed")
    monkeypatch.setattr(s3, "PAGE", 2)
    seen: list[s3.Object] = []
    s3.empty(aws, NAME, before=seen.extend)
    assert {(each.key, each.size) for each in seen} == {("data/film", len(b"new"))}
    assert versions(aws) == 0


def test_a_bucket_that_is_gone_is_empty(cloud: Cloud) -> None:
    aws = cloud.aws()
    assert s3.empty(aws, "never-made-by-a-test") == 0
    assert s3.objects(aws, "never-made-by-a-test") == []


def test_denied_is_not_gone(cloud: Cloud, aws: Aws) -> None:
    cloud.fault("denied", service="s3", times=1)
    with pytest.raises(PneumoError, match="s3:ListBucketVersions"):
        s3.empty(aws, NAME)


def test_download_takes_the_results_only(aws: Aws, tmp_path: Path) -> None:
    put(aws, "runs/1/log", b"hello")
    put(aws, "bundles/a/model.onnx", b"\0" * 3_000_000)
    put(aws, "data/secret.png", b"no")
    put(aws, "runs/folder/", b"")
    wanted = s3.objects(aws, NAME)
    progress: list[int] = []
    s3.download(aws, NAME, wanted, tmp_path, progress.append)
    files = {str(path.relative_to(tmp_path)): path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"runs/1/log": 5, "bundles/a/model.onnx": 3_000_000}
    assert sum(progress) == 3_000_005


def test_download_fetches_only_what_is_missing_or_changed(cloud: Cloud, aws: Aws, tmp_path: Path) -> None:
    put(aws, "runs/1/log", b"one")
    put(aws, "runs/1/metrics", b"{}")
    s3.download(aws, NAME, s3.objects(aws, NAME), tmp_path)
    (tmp_path / "runs/1/log").unlink()
    since = cloud.last()
    s3.download(aws, NAME, s3.objects(aws, NAME), tmp_path)
    assert cloud.calls(since).count("s3:GetObject") == 1
    put(aws, "runs/1/metrics", b"{...}")
    s3.download(aws, NAME, s3.objects(aws, NAME), tmp_path)
    assert (tmp_path / "runs/1/metrics").read_text() == "{...}"


def test_a_download_that_fails_leaves_no_half_file(cloud: Cloud, aws: Aws, tmp_path: Path) -> None:
    put(aws, "runs/1/log", b"one")
    wanted = s3.objects(aws, NAME)
    cloud.fault("denied", service="s3", action="GetObject")
    with pytest.raises(PneumoError, match="s3:GetObject"):
        s3.download(aws, NAME, wanted, tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_no_key_leads_out_of_the_folder(aws: Aws, tmp_path: Path) -> None:
    put(aws, "runs/../../outside", b"no")
    with pytest.raises(PneumoError, match="is not a file path"):
        s3.download(aws, NAME, s3.objects(aws, NAME), tmp_path / "in")
    assert not (tmp_path / "outside").exists()


def test_a_missing_object_is_no_error_where_s3_denies_its_read(cloud: Cloud, aws: Aws) -> None:
    put(aws, "runs/1/end.json", b"{}")
    assert (s3.read(aws, NAME, "runs/1/end.json"), s3.read(aws, NAME, "runs/1/end")) == (b"{}", None)
    cloud.fault("denied", service="s3", action="GetObject")
    assert s3.read(aws, NAME, "runs/1/end") is None
    with pytest.raises(PneumoError, match="denies s3:GetObject"):
        s3.read(aws, NAME, "runs/1/end.json")
