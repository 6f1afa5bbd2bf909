"""Downloads: the file is complete and correct, or what is wrong is said before or after its body."""

import hashlib
import resource
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from model.data.download import fetch
from model.data.partial_file import FetchError
from tests.model.data.publisher import CONTENT, HASTE, Publisher, only


def test_a_file_arrives_whole_and_progress_counts_its_bytes(publisher: Publisher, tmp_path: Path) -> None:
    progress: list[tuple] = []
    path = fetch(
        publisher.file(size=len(CONTENT)), tmp_path / "new" / "place", lambda *one: progress.append(one), HASTE
    )
    assert path.read_bytes() == CONTENT
    assert progress[0] == (0, len(CONTENT)) and progress[-1] == (len(CONTENT), len(CONTENT))
    assert progress == sorted(progress)
    assert only(path.parent, "file")


def test_a_complete_file_is_not_requested_again(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    fetch(publisher.file(), tmp_path, policy=HASTE)
    assert publisher.asked == []


def test_another_file_of_the_same_name_is_kept_and_reported(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(FetchError, match="not the published file"):
        fetch(publisher.file(), tmp_path, policy=HASTE)
    assert (tmp_path / "file").read_bytes() == b"mine" and publisher.asked == []


def test_a_file_of_unknown_length_arrives(publisher: Publisher, tmp_path: Path) -> None:
    def chunked(request: BaseHTTPRequestHandler) -> None:
        request.protocol_version = "HTTP/1.1"
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        for offset in range(0, len(CONTENT), 100_000):
            piece = CONTENT[offset : offset + 100_000]
            request.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        request.wfile.write(b"0\r\n\r\n")

    publisher.faults = [chunked]
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT


def test_wrong_content_is_stored_separately_and_reported(publisher: Publisher, tmp_path: Path) -> None:
    publisher.content = CONTENT[:-1] + b"!"
    with pytest.raises(FetchError, match="is not the published file") as caught:
        fetch(publisher.file(), tmp_path, policy=HASTE)
    assert hashlib.sha256(publisher.content).hexdigest() in str(caught.value)
    assert only(tmp_path, "file.bad") and (tmp_path / "file.bad").read_bytes() == publisher.content
    publisher.content = CONTENT
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT


def test_a_body_of_another_size_is_refused_before_it_is_read(publisher: Publisher, tmp_path: Path) -> None:
    """A portal's page instead of a gigabyte."""
    with pytest.raises(FetchError, match="offers 512,000 bytes, the published file has 900,000"):
        fetch(publisher.file(size=900_000), tmp_path, policy=HASTE)
    assert not (tmp_path / "file").exists()


def test_too_little_disk_space_is_reported_before_the_body(publisher: Publisher, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("model.data.partial_file.shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(FetchError, match="512,000 bytes are needed, 1,000 are free"):
        fetch(publisher.file(), tmp_path, policy=HASTE)


def test_a_full_disk_keeps_the_partial_file(publisher: Publisher, tmp_path: Path) -> None:
    """A real failing write: the kernel's limit on file size stands for a full disk."""
    wanted = publisher.file()
    code = (
        "import resource, sys; from pathlib import Path; from model.data.download import *\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300000, resource.RLIM_INFINITY))\n"
        f"try: fetch({wanted!r}, Path({str(tmp_path)!r}))\n"
        "except FetchError as error: sys.exit(f'{error} | {error.hint}')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "cannot be written: File too large" in result.stderr and "continues the download" in result.stderr
    assert "Traceback" not in result.stderr
    partial_size = (tmp_path / "file.part").stat().st_size
    assert 0 < partial_size <= 300_000 and resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 300_000
    publisher.asked.clear()
    assert fetch(wanted, tmp_path, policy=HASTE).read_bytes() == CONTENT
    assert publisher.asked[0]["sent"] == len(CONTENT) - partial_size


def test_a_target_that_is_no_directory_is_reported(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(FetchError, match="cannot be written"):
        fetch(publisher.file(), tmp_path / "taken", policy=HASTE)


def test_two_downloads_at_once_do_not_mix(publisher: Publisher, tmp_path: Path) -> None:
    def during(request: BaseHTTPRequestHandler) -> None:
        publisher.start(request, 200)
        publisher.send(request, publisher.content[:100_000])
        with pytest.raises(FetchError, match="another process is downloading"):
            fetch(publisher.file(), tmp_path, policy=HASTE)
        held.append(True)
        publisher.send(request, publisher.content[100_000:])

    held: list[bool] = []
    publisher.faults = [during]
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT
    assert held == [True]


def test_an_interrupt_keeps_the_partial_file(publisher: Publisher, tmp_path: Path) -> None:
    def interrupt(done: int, _: int | None) -> None:
        if done > 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(publisher.file(), tmp_path, interrupt, HASTE)
    partial_size = (tmp_path / "file.part").stat().st_size
    assert partial_size > 100_000
    publisher.asked.clear()
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT
    assert publisher.asked[0]["sent"] == len(CONTENT) - partial_size


def test_a_proxy_of_the_environment_is_used(publisher: Publisher, tmp_path: Path, monkeypatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{publisher.port}")
    wanted = publisher.file(address="http://publisher.invalid/file")
    assert fetch(wanted, tmp_path, policy=HASTE).read_bytes() == CONTENT
