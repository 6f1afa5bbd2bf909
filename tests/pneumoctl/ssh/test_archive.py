"""The shell programs that run on hosts, here on this machine, and packed trees."""

import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from pneumoctl.ssh import archive


def shell(argv: tuple[str, ...], stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(argv, input=stdin, capture_output=True, timeout=20, check=False)


def put(path: Path, content: bytes, mode: int = 0o600, sent: bytes | None = None) -> int:
    argv = archive.putting(str(path), hashlib.sha256(content).hexdigest(), mode)
    return shell(argv, content if sent is None else sent).returncode


def test_a_command_keeps_its_words_and_runs_without_a_question() -> None:
    line = archive.as_root(("echo", "a b", "'", "$HOME", "*", "\n"), 5)
    assert line.startswith("sudo -n -- timeout -k 5 5 echo ")
    seen = subprocess.run(["sh", "-c", line.replace("sudo -n -- ", "")], capture_output=True, text=True, check=True)
    assert seen.stdout == "a b ' $HOME * \n\n"


def test_an_environment_travels_on_stdin_only() -> None:
    secret = "s3cret'\"\n$x `id`"
    argv, stdin = archive.with_env(("sh", "-c", 'printf %s "$A"; cat'), {"A": secret})
    assert "s3cret" not in " ".join(argv)
    assert shell(argv, stdin).stdout.decode() == secret
    assert archive.with_env(("true",), {}) == (("true",), b"")


def test_a_file_that_arrives_in_part_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "-odd [name]*"
    assert put(path, b"old", 0o640) == 0 and path.read_bytes() == b"old"
    assert path.stat().st_mode & 0o777 == 0o640 and path.parent.stat().st_mode & 0o777 == 0o755
    assert put(path, b"new and longer", sent=b"new and") == 1
    assert path.read_bytes() == b"old" and list(path.parent.iterdir()) == [path]


def test_what_a_killed_writer_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    for name in (".a[1].AbCdEf", ".a1.AbCdEf", ".a[1].other-thing"):
        (tmp_path / name).write_text("x")
    assert put(tmp_path / "a[1]", b"x") == 0
    assert {one.name for one in tmp_path.iterdir()} == {"a[1]", ".a1.AbCdEf", ".a[1].other-thing"}


def test_a_link_is_swapped_even_over_a_directory_that_it_pointed_to(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        assert shell(archive.linking(str(tmp_path / "current"), name)).returncode == 0
        assert (tmp_path / "current").readlink() == Path(name)
    assert not list((tmp_path / "one").iterdir())


def test_reading_tells_absent_from_unreadable(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert shell(archive.reading(str(tmp_path / "empty"))).returncode == 0
    assert shell(archive.reading(str(tmp_path / "none"))).returncode == archive.ABSENT
    assert shell(archive.reading(str(tmp_path))).returncode not in {0, archive.ABSENT}


def tree(folder: Path) -> Path:
    """A tree of all that is odd."""
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


def packed(folder: Path) -> bytes:
    to = io.BytesIO()
    archive.pack(str(folder), ("__pycache__", "*.pyc"), to)
    return to.getvalue()


def contents(folder: Path) -> dict[str, bytes]:
    return {os.fsdecode(os.path.relpath(one, folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def test_a_copied_tree_has_every_name_and_byte_and_is_readable_by_all(tmp_path: Path) -> None:
    source, path = tree(tmp_path / "source"), tmp_path / "deep" / "release"
    done = shell(archive.copying(str(path)), packed(source))
    assert done.returncode == 0, done.stderr
    wished = {name: content for name, content in contents(source).items() if "__pycache__" not in name}
    assert contents(path) == wished and not (path / "pipe").exists() and (path / "empty").is_dir()
    assert (path / "run").stat().st_mode & 0o777 == 0o755 == path.stat().st_mode & 0o777
    assert (path / "link").readlink() == Path("sub/a b")
    assert [one.name for one in path.parent.iterdir()] == ["release"]


def test_a_tree_that_arrives_in_part_leaves_the_old_one(tmp_path: Path) -> None:
    source, path = tree(tmp_path / "source"), tmp_path / "release"
    (source / "big").write_bytes(os.urandom(100_000))
    assert shell(archive.copying(str(path)), packed(source)).returncode == 0
    before, sent = contents(path), packed(source)
    for size in (0, 10, len(sent) // 2, len(sent) - 1):
        assert shell(archive.copying(str(path)), sent[:size]).returncode != 0
        assert contents(path) == before and {one.name for one in tmp_path.iterdir()} == {"source", "release"}


def test_a_copy_replaces_a_link_and_not_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "release").symlink_to("other")
    assert shell(archive.copying(str(tmp_path / "release")), packed(tree(tmp_path / "source"))).returncode == 0
    assert not (tmp_path / "release").is_symlink() and not list((tmp_path / "other").iterdir())


def test_a_tree_comes_back_as_it_is_there(tmp_path: Path) -> None:
    source = tree(tmp_path / "source")
    (source / "pipe").unlink()
    sent = shell(archive.fetching(str(source))).stdout
    archive.unpack(io.BytesIO(sent), tmp_path / "back")
    assert contents(tmp_path / "back") == contents(source)
    with pytest.raises(OSError):
        archive.unpack(io.BytesIO(sent[: len(sent) // 2]), tmp_path / "half")


def hostile(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> io.BytesIO:
    to = io.BytesIO()
    with tarfile.open(fileobj=to, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        tar.addfile(member)
    to.seek(0)
    return to


@pytest.mark.parametrize(
    "sent",
    [
        hostile("../out"),
        hostile("/tmp/pneumoctl-out"),
        hostile("a/../../out"),
        hostile("link", tarfile.SYMTYPE, "/etc"),
        hostile("link", tarfile.SYMTYPE, "../out"),
        hostile("link", tarfile.LNKTYPE, "/etc/passwd"),
        hostile("null", tarfile.CHRTYPE),
        hostile("pipe", tarfile.FIFOTYPE),
        io.BytesIO(b"no tree at all"),
    ],
)
def test_nothing_from_a_host_lands_or_points_outside(tmp_path: Path, sent: io.BytesIO) -> None:
    with pytest.raises(OSError):
        archive.unpack(sent, tmp_path / "in")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob("in/*"))
