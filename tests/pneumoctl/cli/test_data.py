"""`pneumoctl data fetch` from a real server: progress bars, errors and JSON."""

import functools
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import typer

from model.data import publishers
from model.data.download import Download
from pneumoctl.cli import data
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.terminal.console import console
from tests.serving import serving


@pytest.fixture
def published(tmp_path: Path) -> Iterator[Path]:
    """A folder that an HTTP server publishes; `.address` in it holds where."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    root = tmp_path / "published"
    root.mkdir()
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=root))) as server:
        (root / ".address").write_text(f"http://127.0.0.1:{server.server_address[1]}")
        yield root


def publish(root: Path, name: str, content: bytes) -> Download:
    (root / name).write_bytes(content)
    address = f"{(root / '.address').read_text()}/{name}"
    return Download(name, address, "sha256", hashlib.sha256(content).hexdigest(), len(content))


def run(*arguments: str) -> int:
    console.configure(arguments)
    try:
        return data.app(args=list(arguments), standalone_mode=False)
    finally:
        console.configure(())


def test_a_file_is_fetched_and_its_makers_are_named(published: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    asked = []
    content = bytes(300_000)
    monkeypatch.setattr(
        publishers, "pneumoniamnist", lambda size: asked.append(size) or publish(published, "a.npz", content)
    )
    assert run("fetch", "pneumoniamnist", "--size", "64", "--to", str(tmp_path / "to")) == Exit.DONE
    streams = capsys.readouterr()
    assert streams.out.split() == [str(tmp_path / "to" / "a.npz")] and asked == [64]
    assert (tmp_path / "to" / "a.npz").read_bytes() == content
    assert "pneumoniamnist: 300000/300000 bytes" in streams.err and "CC BY 4.0" in streams.err


def test_json_is_one_document(published: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(publishers, "pneumoniamnist", lambda size: publish(published, f"{size}.npz", b"pictures"))
    assert run("fetch", "--to", str(tmp_path / "to"), "--json", "-q") == Exit.DONE
    document = json.loads(capsys.readouterr().out)
    assert document["dataset"] == "pneumoniamnist" and document["path"].endswith("28.npz")
    assert "MedMNIST" in document["attribution"]


def test_kermany_is_unpacked_with_a_bar_each(published: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        target.writestr("chest_xray/train/NORMAL/IM-1-0001.jpeg", b"picture")
    whole = functools.partial(publishers.fetch_kermany, archive=publish(published, "a.zip", buffer.getvalue()))
    monkeypatch.setattr(publishers, "fetch_kermany", whole)
    assert run("fetch", "kermany", "--to", str(tmp_path / "to")) == Exit.DONE
    streams = capsys.readouterr()
    assert Path(streams.out.strip()) == tmp_path / "to" / "kermany"
    assert (tmp_path / "to" / "kermany" / "train" / "NORMAL" / "IM-1-0001.jpeg").read_bytes() == b"picture"
    assert "kermany: " in streams.err and "unpacking: 1/1 pictures" in streams.err


def test_a_failure_says_what_to_do_next(published: Path, tmp_path: Path, monkeypatch) -> None:
    wanted = publish(published, "a.npz", b"pictures")
    (published / "a.npz").write_bytes(b"changed!")
    monkeypatch.setattr(publishers, "pneumoniamnist", lambda size: wanted)
    with pytest.raises(PneumoError, match="is not the published file") as caught:
        run("fetch", "--to", str(tmp_path / "to"))
    assert caught.value.hint and caught.value.code == Exit.FAILED


@pytest.mark.parametrize(
    "arguments", [("fetch", "pneumoniamnist", "--size", "100"), ("fetch", "kermany", "--size", "64")]
)
def test_a_size_that_is_not_published_is_a_usage_error(arguments: tuple, tmp_path: Path) -> None:
    with pytest.raises(PneumoError) as caught:
        run(*arguments, "--to", str(tmp_path))
    assert caught.value.code == Exit.USAGE and "28, 64, 128, 224" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_an_unknown_set_is_a_usage_error() -> None:
    with pytest.raises(typer.BadParameter, match="'mnist' is not one of"):
        run("fetch", "mnist")


def test_a_terminal_shows_both_bars(published: Path, tmp_path: Path, monkeypatch) -> None:
    """Rich draws one live bar at a time: the second must not meet the first."""
    from rich.console import Console as RichConsole

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        target.writestr("train/NORMAL/a.jpeg", b"picture")
    whole = functools.partial(publishers.fetch_kermany, archive=publish(published, "a.zip", buffer.getvalue()))
    monkeypatch.setattr(publishers, "fetch_kermany", whole)
    screen = io.StringIO()
    monkeypatch.setitem(console._rich, True, RichConsole(file=screen, force_terminal=True, width=100))
    assert run("fetch", "kermany", "--to", str(tmp_path / "to")) == Exit.DONE
    assert "kermany" in screen.getvalue() and "unpacking" in screen.getvalue()
