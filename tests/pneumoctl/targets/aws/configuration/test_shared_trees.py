"""Large trees for many hosts: uploaded once, read by URL, and gone at the end; else hosts get them over SSH."""

import errno
import os
import tarfile
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from types import ModuleType

import pytest

from pneumoctl.aws import s3
from pneumoctl.aws.ec2 import Aws
from pneumoctl.files import Tree, tree
from pneumoctl.plan.steps import Copy, Step
from pneumoctl.ssh import archive
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Cloud as StackCloud
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.configuration import shared_trees
from pneumoctl.targets.aws.configuration.shared_trees import SharedTrees
from tests.pneumoctl.cloud import REGION, Cloud

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]
BUCKET = "trees-of-a-test"
SETTINGS = Settings(stack="t", target="aws", region=REGION)


@pytest.fixture
def aws(cloud: Cloud) -> Iterator[Aws]:
    aws = cloud.aws()
    aws.call("s3", "create_bucket", Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    aws.call("s3", "put_bucket_versioning", Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    yield aws
    cloud.ask("DELETE", "faults")
    s3.empty(aws, BUCKET)
    aws.call("s3", "delete_bucket", Bucket=BUCKET)


@pytest.fixture
def stack(aws: Aws, tmp_path: Path) -> Stack:
    stack = Stack("t", tmp_path / "t")
    stack.save_cloud(StackCloud(REGION, "", aws.identity().id, BUCKET))
    return stack


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """A tree that is large for three hosts and not for two."""
    monkeypatch.setattr(shared_trees, "LEAST", 300_000)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(os.urandom(120_000))
    return tree(tmp_path / "model")


def expected(trees: SharedTrees, model: Tree, hosts: int) -> None:
    step = Step("Copy", (), (Copy(model, "/srv/model"),))
    trees.expect({f"app-{number}": [step] for number in range(hosts)})


def test_a_large_tree_is_uploaded_once_and_gone_at_the_end(cloud: Cloud, aws: Aws, stack: Stack, model: Tree) -> None:
    since = cloud.last()
    with shared_trees.opened(SETTINGS, stack) as trees:
        expected(trees, model, 3)
        with ThreadPoolExecutor(3) as pool:
            first, *others = pool.map(trees.share, [model] * 3)
        assert first is not None and others == [first, first]
        with urllib.request.urlopen(first.url) as answer:
            packed = answer.read()
    assert len(packed) == first.size
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        weights = archive.extractfile("./weights")
        assert weights and weights.read() == (Path(model.source) / "weights").read_bytes()
    assert cloud.calls(since).count("s3:PutObject") == 1
    left = aws.call("s3", "list_object_versions", Bucket=BUCKET)
    assert "Versions" not in left and "DeleteMarkers" not in left


@pytest.mark.parametrize(
    ("bucket", "host"),
    [("a-bucket", "a-bucket.s3.eu-west-1.amazonaws.com/"), ("a.bucket", "s3.eu-west-1.amazonaws.com/a.bucket/")],
)
def test_a_url_names_the_region(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, bucket: str, host: str) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    url = cloud.fresh().url(bucket, "transfers/x", 60)
    assert url.startswith(f"https://{host}transfers/x?X-Amz-Algorithm=AWS4-HMAC-SHA256")


def test_few_or_small_copies_go_over_ssh(cloud: Cloud, stack: Stack, model: Tree) -> None:
    since = cloud.last()
    with shared_trees.opened(SETTINGS, stack) as trees:
        expected(trees, model, 2)
        assert trees.share(model) is None
    assert cloud.calls(since) == []


def test_what_belongs_to_another_command_stays(aws: Aws, stack: Stack, model: Tree) -> None:
    aws.call("s3", "put_object", Bucket=BUCKET, Key=f"{shared_trees.PREFIX}other/tree.tar.gz", Body=b"x")
    with shared_trees.opened(SETTINGS, stack) as trees:
        expected(trees, model, 3)
        assert trees.share(model)
    assert [item.key for item in s3.objects(aws, BUCKET, [""])] == [f"{shared_trees.PREFIX}other/tree.tar.gz"]


def test_without_the_bucket_a_warning_says_so_once(
    cloud: Cloud, stack: Stack, model: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.fault("denied", service="s3", action="PutObject")
    with shared_trees.opened(SETTINGS, stack) as trees:
        expected(trees, model, 3)
        assert [trees.share(model) for _ in range(3)] == [None, None, None]
    assert capsys.readouterr().err.count("over SSH, not through the bucket") == 1


@pytest.mark.parametrize(
    ("module", "name", "error", "reason"),
    [
        (archive, "pack", OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (s3, "put", s3.Changed(Path("/tmp/packed")), "/tmp/packed changed"),
    ],
)
def test_a_tree_that_cannot_be_packed_or_uploaded_goes_over_ssh(
    stack: Stack,
    model: Tree,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    module: ModuleType,
    name: str,
    error: Exception,
    reason: str,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(module, name, fail)
    with shared_trees.opened(SETTINGS, stack) as trees:
        expected(trees, model, 3)
        assert [trees.share(model) for _ in range(3)] == [None, None, None]
    warned = capsys.readouterr().err
    assert warned.count("over SSH, not through the bucket") == 1 and reason in warned


def test_a_link_that_leads_nowhere_is_no_error(stack: Stack, model: Tree) -> None:
    (Path(model.source) / "dangling").symlink_to("nowhere")
    with shared_trees.opened(SETTINGS, stack) as trees:
        expected(trees, model, 3)
        assert trees.share(model)
