"""The files that a command line names: files, folders and globs are resolved before scoring."""

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from model.serving.prediction import Prediction
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.scoring.find_files import find, sent_path
from pneumoctl.scoring.score import score_file
from tests.predictions import FINDING

FILM = cast(Prediction, FINDING)
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def ward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, content in {
        "a.png": PNG,
        "b.txt": b"words",
        "sub/c.JPG": b"damaged",
        "sub/deep/d": b"\0" * 128 + b"DICM",
        "sub/deep/e": b"\xff\xd8\xff\xe0",
        "sub/deep/notes": b"no picture",
        "sub/DICOMDIR": b"\0" * 128 + b"DICM",
        "sub/._c.JPG": PNG,
        ".hidden/x.png": PNG,
        "odd[1].png": PNG,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_sockets_and_devices_are_refused_by_their_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
        with pytest.raises(PneumoError, match="s: a socket") as caught:
            find(["s"])
    assert caught.value.code == Exit.USAGE
    with pytest.raises(PneumoError, match="/dev/zero: a device"):
        find(["/dev/zero"])


def test_folder_is_searched_in_order_for_pictures_by_content_or_suffix(ward: Path) -> None:
    files = find(["sub"])
    assert files.files == ["sub/c.JPG", "sub/deep/d", "sub/deep/e"]
    assert files.skipped == {  # hidden files are not even counted
        "sub/DICOMDIR": "the index of a DICOM medium",
        "sub/deep/notes": "no picture by its name or its first bytes",
    }
    assert list(files.skipped) == sorted(files.skipped)


def test_named_file_is_taken_whatever_it_is(ward: Path) -> None:
    assert find(["b.txt", "sub/DICOMDIR"]).files == ["b.txt", "sub/DICOMDIR"]
    assert find(["b.txt"]).skipped == {}


def test_globs_are_expanded_and_recursive(ward: Path) -> None:
    assert find(["*.png"]).files == ["a.png", "odd[1].png"]
    assert sorted(find(["**/*.JPG"]).files) == ["sub/c.JPG"]
    everything = find(["**"])
    assert set(everything.files) == {"a.png", "odd[1].png", "sub/c.JPG", "sub/deep/d", "sub/deep/e"}
    assert len(everything.files) == 5 and len(everything.skipped) == 3


def test_absolute_globs_work(ward: Path) -> None:
    assert find([f"{ward}/su*/*.JPG"]).files == [f"{ward}/sub/c.JPG"]


def test_file_whose_name_looks_like_a_glob_is_itself(ward: Path) -> None:
    assert find(["odd[1].png"]).files == ["odd[1].png"]


def test_each_file_is_taken_once_in_the_order_given(ward: Path) -> None:
    assert find(["sub/deep/e", "sub", "a.png", "a.png"]).files == ["sub/deep/e", "sub/c.JPG", "sub/deep/d", "a.png"]


def test_explicit_file_is_not_counted_as_skipped(ward: Path) -> None:
    assert find(["sub/deep/notes", "sub/deep"]).skipped == {}


@pytest.mark.parametrize("path", ["nowhere", "nowhere/*.png", "*.gif", "b.tx?", "empty", "nul\0byte", "**x", ""])
def test_path_that_names_no_picture_is_a_usage_error(ward: Path, path: str) -> None:
    (ward / "empty").mkdir()
    with pytest.raises(PneumoError) as caught:
        find(["a.png", path])
    assert caught.value.code == Exit.USAGE and path.replace("\0", "")[:3] in caught.value.message


def test_pipes_and_links_in_folders(ward: Path) -> None:
    """A pipe would hang the run; a link in a circle would never end; a link to a picture is a picture."""
    os.mkfifo(ward / "sub" / "pipe.png")
    (ward / "sub" / "round").symlink_to(ward / "sub")
    (ward / "sub" / "link.png").symlink_to(ward / "a.png")
    files = find(["sub"])
    assert files.files == ["sub/c.JPG", "sub/link.png", "sub/deep/d", "sub/deep/e"]
    assert files.skipped["sub/pipe.png"] == "not a regular file, or a link to nothing"
    assert files.skipped["sub/round"] == "a link to a folder, which is not followed"


@contextmanager
def as_owner() -> Iterator[None]:
    """Change what the fixture below made, whoever runs the tests."""
    user = os.geteuid()
    if os.getuid() == 0:
        os.seteuid(0)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.fixture
def listed_only() -> Iterator[Path]:
    """A folder whose names can be read and whose files cannot, beside one that is open; as another user if root."""
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        for path in ("closed/a.png", "closed/sub/b.png", "open/c.png"):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(PNG)
        (root / "closed").chmod(0o744 if user == 0 else 0o444)
        if user == 0:
            os.seteuid(65534)
        try:
            yield root
        finally:
            os.seteuid(user)
            (root / "closed").chmod(0o755)


@pytest.mark.parametrize("named", ["closed/a.png", "closed/*.png", "closed/sub/*.png", "closed/b.png"])
def test_a_path_that_cannot_be_asked_about_is_an_error_of_its_own(named: str, listed_only: Path) -> None:
    film = str(listed_only / "open" / "c.png")
    files = find([str(listed_only / named), film]).files
    assert len(files) == 2 and files[1] == film
    failed, scored = (score_file(lambda *_: FILM, file) for file in files)
    assert failed.document is None and failed.error == "cannot be read: Permission denied"
    assert scored.document is not None and scored.error is None


def test_a_folder_that_cannot_be_searched_is_an_error_of_its_own(listed_only: Path) -> None:
    folder = str(listed_only / "closed")
    found = find([folder, str(listed_only / "open")])
    files = found.files
    assert found.unlisted == [f"{folder}/sub"] and files == [
        f"{folder}/a.png",
        f"{folder}/sub",
        f"{listed_only}/open/c.png",
    ]
    assert score_file(lambda *_: FILM, files[1]).error == "cannot be read: Permission denied"


def test_a_glob_longer_than_a_file_name_is_a_glob(ward: Path) -> None:
    assert find([f"[{'ab' * 200}].png"]).files == ["a.png"]


def test_a_named_pipe_is_said_to_be_waited_for(ward: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(ward / "films")
    assert find(["films", "-"]).files == ["films", "-"]
    assert capsys.readouterr().err == "films is a pipe: it is read until its writer closes it\n"
    reader, writer = os.pipe()  # of a shell's <(...)
    assert find([f"/dev/fd/{reader}"]).files and capsys.readouterr().err == ""
    os.close(reader), os.close(writer)


def test_standard_input_is_a_path(ward: Path) -> None:
    assert find(["-", "a.png"]).files == ["-", "a.png"]


@pytest.mark.parametrize("named", ["{}", "{}/*", "{}/*/*.png", "{}/**/*.png", "{}/**", "{}/link", "{}/lin?"])
def test_an_unreadable_folder_is_an_error_of_its_own(named: str, listed_only: Path) -> None:
    """Films in it would otherwise be missing from the results without a word."""
    with as_owner():
        (listed_only / "closed").chmod(0)
        (listed_only / "link").symlink_to("closed")
    files = find([named.format(listed_only), str(listed_only / "open")]).files
    closed = f"{listed_only}/link" if "lin" in named else f"{listed_only}/closed"
    assert set(files) == {closed, f"{listed_only}/open/c.png"} | (
        {f"{listed_only}/link"} if "*" in named and "**" not in named else set()
    )
    assert score_file(lambda *_: FILM, closed).error == "cannot be read: Permission denied"


def test_a_glob_over_loops_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.png").write_bytes(b"x")
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "sub" / "up").symlink_to("..")
    assert find([f"{tmp_path}/**/*.png"]).files == [str(tmp_path / "sub" / "a.png")]


@pytest.mark.parametrize(
    ("argument", "file", "expected"),
    [
        ("ward", "ward/p1/a.png", "ward/p1/a.png"),
        ("./ward/", "ward/p1/a.png", "ward/p1/a.png"),
        ("{here}/ward", "{here}/ward/p1/a.png", "ward/p1/a.png"),
        (".", "ward/p1/a.png", "ward/p1/a.png"),
        ("../{name}/ward", "../{name}/ward/p1/a.png", "ward/p1/a.png"),
        ("{here}", "{here}/ward/p1/a.png", "{name}/ward/p1/a.png"),
        ("ward/*/a.png", "ward/p1/a.png", "ward/p1/a.png"),
        ("{here}/ward/*", "{here}/ward/p1/a.png", "ward/p1/a.png"),
        ("ward/p1/a.png", "ward/p1/a.png", "ward/p1/a.png"),
        ("{here}/ward/p1/a.png", "{here}/ward/p1/a.png", "a.png"),
        ("../{name}/ward/p1/a.png", "../{name}/ward/p1/a.png", "a.png"),
        ("-", "-", "-"),
    ],
)
def test_nothing_above_what_was_named_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argument: str, file: str, expected: str
) -> None:
    (tmp_path / "ward" / "p1").mkdir(parents=True)
    (tmp_path / "ward" / "p1" / "a.png").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    argument, file, expected = (each.format(here=tmp_path, name=tmp_path.name) for each in (argument, file, expected))
    assert sent_path(file, [argument]) == expected
