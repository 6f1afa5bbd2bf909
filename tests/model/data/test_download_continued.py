"""A download that was cut, killed or changed is continued where it ended, or restarted."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from model.data.download import fetch
from tests.model.data.publisher import CONTENT, HASTE, Publisher, cut, only


@pytest.mark.parametrize("headers", [{"ETag": '"one"'}, {"Last-Modified": "Sat, 01 Nov 2025 10:00:00 GMT"}, {}])
def test_a_cut_connection_is_continued_where_it_ended(publisher: Publisher, tmp_path: Path, headers: dict) -> None:
    publisher.headers = headers
    publisher.faults = [cut(publisher, 200_000)]
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT
    assert publisher.asked[1]["range"] == "bytes=200000-"
    assert publisher.asked[1]["if"] == (next(iter(headers.values())) if headers else None)
    assert publisher.asked[1]["sent"] == len(CONTENT) - 200_000


def test_a_weak_etag_is_not_used_to_continue(publisher: Publisher, tmp_path: Path) -> None:
    publisher.headers = {"ETag": 'W/"one"'}
    publisher.faults = [cut(publisher, 100_000)]
    fetch(publisher.file(), tmp_path, policy=HASTE)
    assert publisher.asked[1]["if"] is None


def killed_after(publisher: Publisher, directory: Path, count: int) -> None:
    """Download in a separate process from a slow server, and SIGKILL it once the part has `count` bytes."""
    reached = threading.Event()

    def slow(request: BaseHTTPRequestHandler) -> None:
        publisher.start(request, 200)
        for offset in range(0, len(publisher.content), 10_000):
            publisher.send(request, publisher.content[offset : offset + 10_000])
            time.sleep(0.01)
            if reached.is_set():
                return

    publisher.faults = [slow]
    wanted = publisher.file()
    code = f"from pathlib import Path; from model.data.download import *; fetch({wanted!r}, Path({str(directory)!r}))"
    child = subprocess.Popen([sys.executable, "-c", code])
    part = directory / "file.part"
    try:
        until = time.monotonic() + 600
        while not (part.exists() and part.stat().st_size >= count):
            assert time.monotonic() < until and child.poll() is None
            time.sleep(0.01)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        reached.set()


def test_after_sigkill_only_the_rest_is_transferred(publisher: Publisher, tmp_path: Path) -> None:
    killed_after(publisher, tmp_path, 150_000)
    partial_size = (tmp_path / "file.part").stat().st_size
    assert 150_000 <= partial_size < len(CONTENT) and not (tmp_path / "file").exists()
    publisher.asked.clear()
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT
    assert [request["sent"] for request in publisher.asked] == [len(CONTENT) - partial_size]
    assert only(tmp_path, "file")


def begun(directory: Path, publisher: Publisher, content: bytes, **note: object) -> None:
    """The remains of a killed process: the part and its description."""
    (directory / "file.part").write_bytes(content)
    state = {"address": publisher.file().address, "validator": '"one"', "total": len(CONTENT), **note}
    (directory / "file.part.json").write_text(json.dumps(state))


def test_a_kill_after_the_last_byte_needs_no_further_request(publisher: Publisher, tmp_path: Path) -> None:
    begun(tmp_path, publisher, CONTENT)
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT
    assert publisher.asked == []


def test_a_file_changed_at_the_publisher_is_restarted(publisher: Publisher, tmp_path: Path) -> None:
    """The part is of another version: If-Range makes the server send all of the new one."""
    begun(tmp_path, publisher, b"x" * 99_999, validator='"zero"')
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT
    assert publisher.asked[0]["range"] == "bytes=99999-" and publisher.asked[0]["sent"] == len(CONTENT)


def test_a_file_of_another_size_is_restarted_without_a_validator(publisher: Publisher, tmp_path: Path) -> None:
    publisher.headers = {}
    begun(tmp_path, publisher, b"x" * 99_999, validator="", total=600_000)
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT
    assert [request["range"] for request in publisher.asked] == ["bytes=99999-", None]


def test_a_part_longer_than_the_file_is_restarted(publisher: Publisher, tmp_path: Path) -> None:
    begun(tmp_path, publisher, b"x" * 600_000, total=700_000)
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT  # after 416


@pytest.mark.parametrize("note", ["", "{", "[]", '{"else": 1}', '{"address": "http://other/", "total": 512000}'])
def test_a_part_of_unknown_origin_is_restarted(publisher: Publisher, tmp_path: Path, note: str) -> None:
    (tmp_path / "file.part").write_bytes(b"x" * 1000)
    (tmp_path / "file.part.json").write_text(note)
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT
    assert publisher.asked[0]["range"] is None


def test_a_server_without_ranges_restarts_the_download(publisher: Publisher, tmp_path: Path) -> None:
    publisher.ranges, publisher.faults = False, [cut(publisher, 200_000)]
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT
    assert publisher.asked[1]["sent"] == len(CONTENT)


def test_a_range_with_the_wrong_offset_is_rejected(publisher: Publisher, tmp_path: Path) -> None:
    def shifted(request: BaseHTTPRequestHandler) -> None:
        publisher.start(request, 206, first=5)
        publisher.send(request, publisher.content[5:])

    publisher.faults = [cut(publisher, 200_000), shifted]
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT


def test_a_range_shorter_than_asked_is_continued(publisher: Publisher, tmp_path: Path) -> None:
    """A server may answer less than the rest, and say so."""

    def some(request: BaseHTTPRequestHandler) -> None:
        request.send_response(206)
        request.send_header("Content-Range", f"bytes 200000-299999/{len(CONTENT)}")
        request.send_header("Content-Length", "100000")
        request.end_headers()
        publisher.send(request, CONTENT[200_000:300_000])

    publisher.faults = [cut(publisher, 200_000), some]
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT
    assert publisher.asked[2]["range"] == "bytes=300000-"
