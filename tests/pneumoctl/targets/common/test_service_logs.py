"""The last lines of a log are whole lines, however long they are."""

from pathlib import Path

import pytest

from pneumoctl.targets.common import service_logs


@pytest.mark.parametrize("length", [0, 10, 1200, 200_000])
@pytest.mark.parametrize("end", ["\n", ""])
def test_the_last_lines_are_whole(tmp_path: Path, length: int, end: str) -> None:
    written = [f"{number}: {'é' * length}" for number in range(9)]
    file = tmp_path / "pneumoctl.log"
    file.write_text("\n".join(written) + end)
    assert service_logs.tail(file, 3) == written[-3:]
    assert service_logs.tail(file, 9) == service_logs.tail(file, 100) == written


def test_a_file_without_a_line(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert service_logs.tail(tmp_path / "empty", 3) == []


def test_of_a_long_file_only_the_end_is_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10**12)
        file.seek(0, 2)
        file.write(b"\nfirst\nsecond\n")
    assert service_logs.tail(tmp_path / "sparse", 2) == ["first", "second"]
