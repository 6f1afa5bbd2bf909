"""An import needs the keys that sealed the results, and refuses what was changed; on a real store."""

import json
import shutil
import stat
import tarfile
from pathlib import Path

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.results import archive, mac_keys, transfer
from pneumoctl.stack.stack import exports, home
from tests.pneumoctl.results.conftest import OTHER_KEY
from tests.pneumoctl.results.filled_stacks import ALL, NONE, REVIEW, StackOf, filled
from tests.webapp.api.records import PICTURE, opinions, record
from tests.webapp.servers import MAC_KEY, RedisServer


@pytest.mark.parametrize("name", ["out", "out.tar"])
def test_an_export_is_imported_after_everything_else_is_lost(
    stack_of: StackOf, server: RedisServer, tmp_path: Path, name: str
) -> None:
    made, target = filled(stack_of), tmp_path / "made" / name
    held = transfer.count(made.reached)
    exported = transfer.export(made.stack, made.reached, target)
    assert str(exported) == "2 results, 1 picture, 1 review" and exported.contents == held.contents
    assert transfer.exported(made.stack, held)
    assert [path.name for path in target.parent.iterdir()] == [name]
    inside = [target, *target.rglob("*")]
    assert not [path for path in inside if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert not [path for path in inside if path.is_file() and MAC_KEY.encode() in path.read_bytes()]
    server.client().flushall()
    assert transfer.restore(made.stack, made.reached, target) == ALL
    assert transfer.restore(made.stack, made.reached, target) == NONE
    assert made.store.get(record(1).id) == record(1) and made.store.picture(record(1).id) == PICTURE
    assert opinions(made.store, 1) == ([REVIEW], 0)


def test_an_import_by_hand_is_no_longer_wanted(stack_of: StackOf, tmp_path: Path) -> None:
    made = filled(stack_of)
    for name in ("out", "other"):
        transfer.export(made.stack, made.reached, tmp_path / name)
    transfer.want_import(made.stack, tmp_path / "out", "digest")
    transfer.restore(made.stack, made.reached, tmp_path / "other")
    assert transfer.waiting(made.stack) == tmp_path / "out"
    transfer.restore(made.stack, made.reached, tmp_path / "out")
    assert transfer.waiting(made.stack) is None


def test_another_stack_imports_with_the_kept_keys_and_refuses_without(
    stack_of: StackOf, server: RedisServer, tmp_path: Path
) -> None:
    made, target = filled(stack_of), tmp_path / "out.tar"
    transfer.export(made.stack, made.reached, target)
    assert made.kept_keys() == {mac_keys.key_id(MAC_KEY): MAC_KEY} and stat.S_IMODE(made.kept.stat().st_mode) == 0o600
    shutil.rmtree(made.stack.directory)  # as a teardown does
    server.client().flushall()
    other = stack_of("other", OTHER_KEY)
    elsewhere = made.kept.rename(tmp_path / "copied.json")
    with pytest.raises(
        PneumoError, match=f"sealed with MAC key {mac_keys.key_id(MAC_KEY)}, which stack other"
    ) as error:
        transfer.restore(other.stack, other.reached, target)
    assert "--mac-keys FILE" in error.value.hint and transfer.count(other.reached).counts["results"] == 0
    assert transfer.restore(other.stack, other.reached, target, elsewhere) == ALL
    elsewhere.rename(made.kept)
    assert transfer.restore(other.stack, other.reached, target) == NONE  # found beside the stacks of this machine
    assert other.store.get(record(1).id) == record(1)  # opened with the key of the other stack


def test_a_damaged_file_of_keys_of_another_stack_blocks_no_import(
    stack_of: StackOf, server: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, target = filled(stack_of), tmp_path / "out.tar"
    transfer.export(made.stack, made.reached, target)
    other = stack_of("other", OTHER_KEY)
    server.client().flushall()
    for name, text in (("a", "{"), ("z", '{"keys": {"x": "no hexadecimal"}}')):
        home().joinpath(f"{name}.mac-keys.json").write_text(text)
    assert transfer.restore(other.stack, other.reached, target) == ALL
    warned = capsys.readouterr().err
    assert "a.mac-keys.json" in warned and "z.mac-keys.json" in warned
    with pytest.raises(PneumoError, match=r"a\.mac-keys\.json is not a readable file of MAC keys"):
        transfer.restore(other.stack, other.reached, target, home() / "a.mac-keys.json")


def test_a_changed_picture_or_a_lost_file_is_refused_before_anything_is_sent(stack_of: StackOf, tmp_path: Path) -> None:
    made, target = filled(stack_of), tmp_path / "out"
    transfer.export(made.stack, made.reached, target)
    picture = target / "images" / f"{record(1).id}.jpg"
    picture.write_bytes(PICTURE + b"x")
    with pytest.raises(PneumoError, match="a picture is missing or damaged"):
        transfer.restore(made.stack, made.reached, target)
    picture.write_bytes(PICTURE)
    (target / "sealed.jsonl").unlink()
    with pytest.raises(PneumoError, match=r"sealed\.jsonl is missing or damaged"):
        transfer.restore(made.stack, made.reached, target)


def test_a_forged_result_with_matching_digests_is_refused_by_its_seal(stack_of: StackOf, tmp_path: Path) -> None:
    made, target = filled(stack_of), tmp_path / "out"
    transfer.export(made.stack, made.reached, target)
    sealed, manifest = target / "sealed.jsonl", target / "manifest.json"
    sealed.write_text(sealed.read_text().replace("0.75", "0.25"))
    document = json.loads(manifest.read_text())
    document["files"]["sealed.jsonl"] = (archive.sha256(sealed), sealed.stat().st_size)
    manifest.write_text(json.dumps(document))
    with pytest.raises(PneumoError) as error:
        transfer.restore(made.stack, made.reached, target)
    assert error.value.message.startswith(f"the export {target} was changed after it was made, so nothing was imported")
    assert "1 of 2 results (2 were exported) are not as they were sealed" in error.value.message
    assert "the store" not in error.value.message


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tgz", "x.zip", "x.TAR"])
def test_the_name_of_another_archive_makes_no_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(PneumoError, match=r"an export is a \.tar file or a folder") as error:
        archive.prepare(tmp_path / "new" / name)
    assert error.value.code == Exit.USAGE and not (tmp_path / "new").exists()
    archive.prepare(tmp_path / "ward.2026")


def test_a_file_that_is_no_export_and_one_that_leaves_its_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.tar").write_text("text")
    with pytest.raises(PneumoError, match="cut off, or not an export"):
        archive.verify(tmp_path / "text.tar")
    with pytest.raises(PneumoError, match="there is no file or folder") as error:
        archive.verify(tmp_path / "none")
    assert "pneumoctl results import PATH" in error.value.hint and str(exports()) in error.value.hint
    (tmp_path / "outside").mkdir()
    manifest = {"format": 1, "counts": {}, "contents": "", "keys": {}, "files": {"../text.tar": ["", 0]}}
    (tmp_path / "outside" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(PneumoError, match="outside of itself"):
        archive.verify(tmp_path / "outside")
    with tarfile.open(tmp_path / "folder.tar", "w") as packed:
        packed.add(tmp_path / "outside", "images")
    with pytest.raises(PneumoError, match="cut off, or not an export"):
        archive.verify(tmp_path / "folder.tar")
