"""The transport to this machine: every operation takes effect completely or not at all."""

import sys
from pathlib import Path

import pytest

from pneumoctl.files import write_atomically
from pneumoctl.plan.transport import LocalTransport

HERE = LocalTransport()


def test_run_returns_code_and_output() -> None:
    result = HERE.run((sys.executable, "-c", "import sys; print('b'); sys.exit(3)"), 20)
    assert (result.code, result.stdout) == (3, "b\n")


def test_run_survives_a_missing_program_a_hang_and_bytes_that_are_not_utf8() -> None:
    assert HERE.run(("no-such-program",), 5).code == 127
    late = HERE.run(("sleep", "20"), 0.2)
    assert late.code == 124 and "did not end within" in late.stderr
    assert HERE.run(("printf", r"\377"), 5).stdout == "\ufffd"


def test_standard_input_is_empty() -> None:
    assert HERE.run(("cat",), 5).code == 0


def test_put_replaces_whole_files_with_the_desired_mode(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "file"
    HERE.put(b"one", str(path), 0o600)
    HERE.put(b"two", str(path), 0o640)
    assert path.read_bytes() == b"two" == HERE.read(str(path))
    assert HERE.read(str(tmp_path / "absent")) is None
    assert path.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new", 0o600)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_copy_replaces_a_tree_and_leaves_out_what_is_excluded(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "deep" / "target"
    (source / "__pycache__").mkdir(parents=True)
    (source / "one.py").write_text("1")
    HERE.copy(str(source), str(target), ("__pycache__",))
    (source / "one.py").rename(source / "two.py")
    HERE.copy(str(source), str(target), ("__pycache__",))
    assert [path.name for path in target.iterdir()] == ["two.py"]
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        HERE.copy(str(tmp_path / "absent"), str(tmp_path / "to" / "target"), ())
    assert list((tmp_path / "to").iterdir()) == []


def test_a_link_is_replaced_despite_leftovers_of_an_interrupted_attempt(tmp_path: Path) -> None:
    link = tmp_path / "current"
    (tmp_path / ".current.new").symlink_to("left-over")
    for target in ("one", "two"):
        HERE.link(str(link), target)
        assert link.readlink() == Path(target)


def test_leftovers_of_an_interrupted_write_are_removed_by_the_next(tmp_path: Path) -> None:
    (tmp_path / ".file.abc123").write_text("half")
    (tmp_path / ".tree.abc123").mkdir()
    (tmp_path / "source").mkdir()
    HERE.put(b"x", str(tmp_path / "file"), 0o600)
    HERE.copy(str(tmp_path / "source"), str(tmp_path / "tree"), ())
    assert {path.name for path in tmp_path.iterdir()} == {"file", "source", "tree"}
