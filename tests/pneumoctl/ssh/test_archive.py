"""Packed trees, unpacked as a host does it."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from pneumoctl.ssh import archive


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A tree of unusual names and kinds of files."""
    folder = tmp_path / "source"
    (folder / "sub" / "__pycache__").mkdir(parents=True)
    (folder / "sub" / "__pycache__" / "x").touch()
    (folder / "empty").mkdir()
    for name in ("-rf", "a b", "new\nline", "é", "q'\"$", "x" * 150):
        (folder / "sub" / name).write_text(name)
    Path(os.fsdecode(bytes(folder) + b"/latin-\xe9")).write_bytes(b"1")
    (folder / "run").write_text("#!/bin/sh")
    (folder / "run").chmod(0o700)
    (folder / "link").symlink_to("sub/a b")
    os.link(folder / "run", folder / "same")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.fixture
def unpacked(source: Path, tmp_path: Path) -> Path:
    """What a host makes of it."""
    packed = io.BytesIO()
    archive.pack(str(source), ("__pycache__", "*.pyc"), packed)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as tree:
        tree.extractall(tmp_path / "unpacked", filter="fully_trusted")
        assert {(member.uid, member.gid, member.uname, member.gname) for member in tree} == {(0, 0, "root", "root")}
    return tmp_path / "unpacked"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        os.fsdecode(os.path.relpath(file, folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()
    }


def test_a_packed_tree_has_every_name_and_byte_except_excluded_names(source: Path, unpacked: Path) -> None:
    assert contents(unpacked) == {name: data for name, data in contents(source).items() if "__pycache__" not in name}
    assert (unpacked / "empty").is_dir() and not (unpacked / "sub" / "__pycache__").exists()


def test_links_stay_links_and_a_pipe_is_left_out(unpacked: Path) -> None:
    assert (unpacked / "link").readlink() == Path("sub/a b")
    assert not (unpacked / "pipe").exists()


def test_every_file_is_readable_by_every_user(unpacked: Path) -> None:
    assert (unpacked / "run").stat().st_mode & 0o777 == 0o755
    assert (unpacked / "sub" / "a b").stat().st_mode & 0o777 == 0o644
    assert unpacked.stat().st_mode & 0o777 == 0o755


def test_packing_a_missing_folder_fails(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        archive.pack(str(tmp_path / "none"), (), io.BytesIO())
