"""A run's checkpoints and data in the bucket: the order of uploads, and checks after downloads."""

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, IncompleteReadError  # noqa: TID253
from botocore.response import StreamingBody  # noqa: TID253

from model.host import checkpoint_upload
from model.host.checkpoint_upload import CheckpointUploader, restore, upload
from model.host.s3 import Bucket, BucketError, download_data_set
from model.training.checkpoint import Checkpoints
from tests.model.host.bucket_contents import NAME, REGION, RUN, listed, saved


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
