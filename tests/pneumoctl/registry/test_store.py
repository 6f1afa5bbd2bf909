"""The registry stores each complete bundle once and read-only, here and in the bucket, and exports it unchanged."""

import filecmp
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from model import bundle
from pneumoctl.aws import s3
from pneumoctl.aws.ec2 import Aws
from pneumoctl.cli.main import run
from pneumoctl.cli.promote import names
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.registry import bucket_sync, store
from pneumoctl.stack import runs, stack
from pneumoctl.training import artifacts
from tests import needs
from tests.pneumoctl.cloud import Cloud, stack_with_bucket
from tests.pneumoctl.models import made

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]
BUCKET = "pneumoctl-registry-of-a-test"


@pytest.fixture(autouse=True)
def _place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PNEUMO_STACK", "t")


@pytest.fixture
def aws(cloud: Cloud) -> Iterator[Aws]:
    """With a stack `t` on aws whose bucket is there."""
    with stack_with_bucket(cloud, BUCKET) as aws:
        yield aws


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_bundle_is_stored_completely_once_and_read_only(tiny_bundle: Path, tmp_path: Path) -> None:
    source = made(tiny_bundle, tmp_path / "b", 380)
    (source / "notes.txt").write_text("not of the bundle")
    registered = store.register(source, "20261123-060000-ab12")
    assert registered.directory == store.home() / registered.id and registered.origin == "20261123-060000-ab12"
    assert files(registered.directory) == sorted([*registered.manifest["files"], "bundle.json"])
    assert all(path.stat().st_mode & 0o222 == 0 for path in registered.directory.rglob("*") if path.is_file())
    before = (registered.directory / "bundle.json").stat().st_mtime_ns
    again = store.register(source, "another-run")
    assert (again.id, again.origin) == (registered.id, registered.origin)
    assert (registered.directory / "bundle.json").stat().st_mtime_ns == before
    assert [path.name for path in store.home().iterdir() if path.is_dir()] == [registered.id]


@pytest.mark.skipif(os.geteuid() != 0, reason=needs.ROOT)
def test_root_registers_nothing_in_the_registry_of_another_user(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under `sudo -E`: the files would be root's, and the user could register nothing any more."""
    home = tmp_path / "theirs"
    home.mkdir()
    os.chown(home, 65534, 65534)
    monkeypatch.setenv("XDG_DATA_HOME", str(home))
    with pytest.raises(PneumoError, match="and not to root") as caught:
        store.register(made(tiny_bundle, tmp_path / "b", 380), "by hand")
    assert caught.value.code == Exit.USAGE and list(home.iterdir()) == []


def test_the_bundle_of_a_run_is_registered_as_it_comes_home(tiny_bundle: Path) -> None:
    run = "20261123-060000-ab12"
    results = runs.results_directory(stack.find("t"), run)
    assert artifacts.register_bundle(results) is None
    made(tiny_bundle, results / "bundle", 380)
    message = artifacts.register_bundle(results)
    assert message is not None and store.find(message["version"]).origin == run
    assert message["folder"] == str(store.home() / f"{message['name']}-{message['version']}")
    (results / "bundle" / "model.onnx").write_bytes(b"cut o")
    with pytest.raises(PneumoError, match=r"the run.s bundle") as caught:
        artifacts.register_bundle(results)
    assert "runs fetch" in caught.value.hint


def test_a_damaged_bundle_is_neither_registered_nor_exported(tiny_bundle: Path, tmp_path: Path) -> None:
    source = made(tiny_bundle, tmp_path / "b", 380)
    registered = store.register(source)
    (source / "MODEL_CARD.md").write_text("better figures")
    with pytest.raises(PneumoError, match=r"MODEL_CARD\.md does not have the recorded sha256"):
        store.register(source)
    card = registered.directory / "MODEL_CARD.md"
    card.chmod(0o644)
    card.write_text("better figures")
    for ask in (lambda: store.get(registered.id), lambda: store.find("tiny"), lambda: store.register(tmp_path)):
        with pytest.raises(PneumoError, match="model bundle"):
            ask()
    with pytest.raises(PneumoError) as caught:
        store.register(made(tiny_bundle, tmp_path / "b", 380))
    assert caught.value.hint.startswith(f"rm -r {registered.directory}")


def test_a_name_that_leads_out_of_the_registry_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(PneumoError, match="is not a valid model name"):
        store.register(made(tiny_bundle, tmp_path / "b", 380, name="../out"))
    assert store.names() == [] and not list(tmp_path.rglob("out-*"))


def test_a_folder_under_another_models_name_is_not_that_model(tiny_bundle: Path, tmp_path: Path) -> None:
    registered = store.register(made(tiny_bundle, tmp_path / "b", 380))
    other = registered.id[:-1] + ("0" if registered.id[-1] != "0" else "1")
    registered.directory.rename(store.home() / other)
    with pytest.raises(PneumoError, match="renamed"):
        store.get(other)


def test_two_registrations_at_once_store_one_model(tiny_bundle: Path, tmp_path: Path) -> None:
    source = made(tiny_bundle, tmp_path / "b", 380)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    words = [sys.executable, "-m", "pneumoctl", "model", "register", str(source)]
    both = [subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            for _ in range(3)]  # fmt: skip
    errors = [one.communicate(timeout=60)[1] for one in both]
    assert [one.returncode for one in both] == [0, 0, 0], errors
    assert len(store.names()) == 1 and len([path for path in store.home().iterdir() if path.is_dir()]) == 1
    store.get(store.names()[0])


def test_a_model_is_found_by_what_a_person_types(tiny_bundle: Path, tmp_path: Path) -> None:
    registered = store.register(made(tiny_bundle, tmp_path / "b", 380))
    two = store.register(made(tiny_bundle, tmp_path / "b", 381))
    ours = store.shipped()
    assert store.find(registered.id).id == registered.id == store.find(registered.manifest["version"]).id
    assert store.find(ours.manifest["name"]).directory == bundle.pretrained()
    with pytest.raises(PneumoError, match="may be") as caught:
        store.find("tiny-linear")
    assert registered.id in caught.value.message and two.id in caught.value.message
    with pytest.raises(PneumoError) as caught:
        store.find(registered.id[:-2] + "zz")
    assert "did you mean" in caught.value.hint and caught.value.code == Exit.USAGE
    assert set(names("tiny")) == {registered.id, two.id} and names("x") == []


def test_a_model_is_uploaded_once_and_downloaded(
    aws: Aws, cloud: Cloud, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    registered = store.register(made(tiny_bundle, tmp_path / "b", 380))
    assert bucket_sync.upload(aws, BUCKET, registered) == len(registered.manifest["files"]) + 1
    since = cloud.last()
    assert bucket_sync.upload(aws, BUCKET, registered) == 0 and "s3:PutObject" not in cloud.calls(since)
    keys = {item.key for item in s3.objects(aws, BUCKET, ("bundles/",))}
    assert keys == {f"bundles/{registered.id}/{name}" for name in files(registered.directory)}

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "elsewhere"))
    assert run(["model", "pull", registered.id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] is True
    back = store.get(registered.id)
    assert back.directory != registered.directory
    same = filecmp.cmpfiles(registered.directory, back.directory, files(registered.directory), shallow=False)
    assert same[0] == files(registered.directory)
    assert run(["model", "pull", registered.id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] is False
    assert run(["model", "pull", "no-such-000000000000", "--json"]) == Exit.USAGE
    assert registered.id in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_model_that_is_damaged_in_the_bucket_is_not_kept(
    aws: Aws, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered = store.register(made(tiny_bundle, tmp_path / "b", 380))
    bucket_sync.upload(aws, BUCKET, registered)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "elsewhere"))
    aws.call("s3", "put_object", Bucket=BUCKET, Key=f"bundles/{registered.id}/model.onnx", Body=b"another network")
    with pytest.raises(PneumoError, match="sha256"):
        bucket_sync.pull(aws, BUCKET, registered.id)
    aws.call("s3", "delete_object", Bucket=BUCKET, Key=f"bundles/{registered.id}/model.onnx")
    with pytest.raises(PneumoError, match="is missing"):
        bucket_sync.pull(aws, BUCKET, registered.id)
    assert store.names() == [] and list(store.home().iterdir()) == []


def test_a_model_is_exported_as_a_folder_or_a_zip(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registered = store.register(made(tiny_bundle, tmp_path / "b", 380))
    assert run(["model", "export", "tiny", str(tmp_path / "out" / "here"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(tmp_path / "out" / "here")
    assert bundle.load(tmp_path / "out" / "here", deep=True).version == registered.manifest["version"]
    digests = set()
    for name in ("a.zip", "b.zip"):
        assert run(["model", "export", "tiny", str(tmp_path / name)]) == 0
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    assert bundle.load(tmp_path / "unpacked" / registered.id, deep=True).version == registered.manifest["version"]
    capsys.readouterr()
    assert run(["model", "export", "tiny", str(tmp_path / "a.zip"), "--json"]) == Exit.USAGE
    assert "exists already" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_the_list_shows_figures_and_what_is_damaged(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = store.register(made(tiny_bundle, tmp_path / "b", 380), "20261123-060000-ab12")
    bad = store.register(made(tiny_bundle, tmp_path / "b", 200))
    (bad.directory / "model.onnx").chmod(0o644)
    (bad.directory / "model.onnx").write_bytes(b"")
    assert run(["model", "ls", "--json"]) == 0
    models = {row["model"]: row for row in json.loads(capsys.readouterr().out)["models"]}
    assert set(models) == {good.id, bad.id, store.shipped().id}
    assert "sha256" in models[bad.id]["damaged"]
    row = models[good.id]
    assert (row["from"], row["measured_on"], row["promoted"]) == ("20261123-060000-ab12", "test of xrays", False)
    assert row["sensitivity"]["value"] == pytest.approx(380 / 390)
    assert run(["model", "ls"]) == 0
    output = capsys.readouterr().out
    assert "0.974 (0.953 to 0.986)" in output and "damaged" in output and "shipped with pneumoctl" in output
    assert run(["model", "show", good.id]) == 0
    output = capsys.readouterr().out
    assert "0.953 to 0.986" in output and "operating point balanced: threshold 0.5" in output
    assert "On validation: sensitivity 0.900 (0.800 to 0.950, n = 40)" in output
