"""Following a file that grows."""

import time
from pathlib import Path

from pneumoctl.aws.terraform.tail import Lines, follow


def test_whole_lines_once_each_and_the_rest_at_the_end(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "said")
    assert list(lines.more(False)) == []  # nothing there yet
    with (tmp_path / "said").open("wb", buffering=0) as file:
        file.write(b"one\ntw")
        assert list(lines.more(False)) == ["one"]
        file.write(b"o\n\xc3")
        file.write(b"\xa4\xff")
        assert list(lines.more(False)) == [
            "one",
            "two",
        ]  # not taken out: nothing is lost when the reader is interrupted
        lines.waiting.clear()
        assert list(lines.more(True)) == ["ä\N{REPLACEMENT CHARACTER}"]
        assert list(lines.more(True)) == ["ä\N{REPLACEMENT CHARACTER}"]


def test_waiting_for_the_end_times_out(tmp_path: Path) -> None:
    started = time.monotonic()
    assert not follow(Lines(tmp_path / "said"), lambda: False, print, timeout=0.2)
    assert time.monotonic() - started >= 0.2
    assert follow(Lines(tmp_path / "said"), lambda: True, print)
