"""The hash chain: changed, removed and truncated entries are detected; a kill during a write is accounted for."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.stack.hash_chain import Chain

WORDS = ("up", "teardown", "é\n\r\u2028 \x00", "")


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return Chain(tmp_path / "t.audit.jsonl")


def filled(chain: Chain, count: int = 6) -> list[bytes]:
    for number in range(count):
        chain.append({"command": WORDS[number % 4], "code": number, "changed": ["a", "b"], "none": None})
    return chain.path.read_bytes().splitlines(keepends=True)


def test_appended_entries_are_read_and_valid(chain: Chain) -> None:
    assert chain.entries() == [] and chain.verify().faults == ()
    filled(chain)
    verdict = chain.verify()
    assert verdict.faults == () and list(verdict.entries) == chain.entries()
    assert [entry["number"] for entry in verdict.entries] == [1, 2, 3, 4, 5, 6]
    assert [entry["command"] for entry in verdict.entries[:4]] == list(WORDS)
    assert verdict.head == verdict.entries[-1]["hash"] == json.loads(chain.head.read_bytes())["hash"]
    assert {file.stat().st_mode & 0o777 for file in (chain.path, chain.head)} == {0o600}


FIELDS = ("command", "code", "changed", "none", "number", "previous", "hash")


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("line", range(6))
def test_a_changed_field_is_reported_with_its_line(chain: Chain, field: str, line: int) -> None:
    lines = filled(chain)
    entry = json.loads(lines[line])
    entry[field] = {"number": 77, "previous": "0" * 64, "hash": "0" * 64}.get(field, "changed")
    lines[line] = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    chain.path.write_bytes(b"".join(lines))
    faults = chain.verify().faults
    assert faults and faults[0].startswith(f"line {line + 1}: ")
    chain.append({"command": "later"})  # and what follows hides nothing
    assert chain.verify().faults[0] == faults[0]


@pytest.mark.parametrize("line", range(6))
def test_a_removed_line_is_detected(chain: Chain, line: int) -> None:
    lines = filled(chain)
    chain.path.write_bytes(b"".join(lines[:line] + lines[line + 1 :]))
    (fault,) = chain.verify().faults
    if line < 5:
        assert fault == f"line {line + 1}: does not follow the entry before it: entry {line + 1} is missing"
    else:
        assert fault.startswith("the end: entry 6, the last one written, is missing")
    chain.append({"command": "later"})
    (fault,) = chain.verify().faults
    assert fault.endswith(f"entry {line + 1} is missing")


@pytest.mark.parametrize("left", range(6))
def test_a_truncated_end_is_detected_after_further_entries(chain: Chain, left: int) -> None:
    lines = filled(chain)
    chain.path.write_bytes(b"".join(lines[:left]))
    assert chain.verify().faults == ("the end: entry 6, the last one written, is missing or changed",)
    chain.append({"command": "later"})
    missing = f"entries {left + 1} to 6 are missing" if left < 5 else "entry 6 is missing"
    assert chain.verify().faults == (f"line {left + 1}: does not follow the entry before it: {missing}",)


def test_a_removed_record_is_detected(chain: Chain) -> None:
    filled(chain)
    chain.path.unlink()
    assert chain.verify().faults[0].startswith("the end: entry 6, the last one written, is missing")
    chain.head.unlink()
    filled(chain, 2)
    chain.head.unlink()
    assert "is missing" in chain.verify().faults[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [*lines[:3], lines[2], *lines[3:]],
        lambda lines: [*lines[:3], b"more\n", *lines[3:]],
        lambda lines: [*lines, b"more\n"],
        lambda lines: [*lines[:2], lines[2].replace(b'"code":2', b'"code":2,"code":2'), *lines[3:]],
        lambda lines: [*lines[:2], lines[2].replace(b":2,", b": 2,"), *lines[3:]],
        lambda lines: [*lines[:2], lines[2][:40] + b"\n", *lines[3:]],
        lambda lines: [*lines[:2], lines[2].rstrip(b"\n"), *lines[3:]],
    ],
    ids=["swapped", "doubled", "foreign", "foreign-end", "two-keys", "blank", "shortened", "joined"],
)
def test_any_other_change_is_detected(chain: Chain, change: Any) -> None:
    lines = filled(chain)
    chain.path.write_bytes(b"".join(change(lines)))
    assert chain.verify().faults
    chain.append({"command": "later"})
    assert chain.verify().faults or chain.entries()[-1]["torn"]["bytes"] == 4  # "more", which the later one owns up to


def test_every_flipped_byte_is_detected(chain: Chain) -> None:
    whole = b"".join(filled(chain, 3))
    for offset in range(len(whole)):
        chain.path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 1]) + whole[offset + 1 :])
        assert chain.verify().faults, offset


def test_a_line_truncated_by_a_kill_is_kept_and_noted_by_the_next_entry(chain: Chain) -> None:
    whole = filled(chain, 3)
    for length in range(1, len(whole[-1]) - 1):
        chain.path.write_bytes(b"".join(whole) + whole[-1][:length])  # as far as a fourth line came
        assert chain.verify().faults == ()
        entry = chain.append({"command": "next"})
        assert entry["torn"]["bytes"] == length and entry["number"] == 4
        assert whole[-1][:length] in chain.path.read_bytes()
        chain.append({"command": "after"})
        assert chain.verify().faults == () and len(chain.entries()) == 5
        (chain.head).write_bytes(json.dumps({"number": 3, "hash": json.loads(whole[-1])["hash"]}).encode())


def test_a_line_without_a_newline_is_complete(chain: Chain) -> None:
    whole = filled(chain, 3)
    chain.path.write_bytes(b"".join(whole).removesuffix(b"\n"))
    assert chain.verify().faults == () and len(chain.entries()) == 3
    assert "torn" not in chain.append({"command": "next"})
    assert chain.verify().faults == () and len(chain.entries()) == 4


def test_a_truncated_line_cannot_be_changed_later(chain: Chain) -> None:
    whole = filled(chain, 2)
    with chain.path.open("ab") as file:
        file.write(whole[0][:50])
    chain.append({"command": "next"})
    lines = chain.path.read_bytes().splitlines(keepends=True)
    for other in (lines[2].replace(b"c", b"d", 1), b"", lines[2] * 2):
        chain.path.write_bytes(b"".join([*lines[:2], other, lines[3]]))
        (fault,) = chain.verify().faults
        assert fault.endswith("an incomplete line was changed")


def test_any_sequence_of_kills_during_writes_is_accounted_for(tmp_path: Path) -> None:
    dice = random.Random(4)
    for course in range(60):
        chain = Chain(tmp_path / f"{course}.jsonl")
        written = 0
        for _ in range(12):
            before = chain.path.read_bytes() if chain.path.exists() else b""
            head = chain.head.read_bytes() if chain.head.exists() else None
            chain.append({"command": dice.choice(WORDS)})
            news = chain.path.read_bytes()[len(before) :]
            end = dice.randrange(2, len(news)) if dice.random() < 0.5 else len(news)
            chain.path.write_bytes(before + news[:end])
            if end < len(news) or dice.random() < 0.3:  # killed before the head was written, too
                chain.head.write_bytes(head) if head is not None else chain.head.unlink()
            written += end >= len(news) - 1
        if not chain.head.exists() and written > 1:
            continue  # this cannot be distinguished from a kill
        assert chain.verify().faults == () and len(chain.entries()) == written


WRITER = """
import resource, sys
from pathlib import Path
from pneumoctl.stack.hash_chain import Chain
chain = Chain(Path(sys.argv[1]))
if len(sys.argv) > 4:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), -1))
for number in range(int(sys.argv[2])):
    chain.append({"by": sys.argv[3], "at": number})
"""


def writer(chain: Chain, count: int, *words: str) -> "subprocess.Popen[bytes]":
    argv = [sys.executable, "-c", WRITER, str(chain.path), str(count), *words]
    return subprocess.Popen(argv, cwd=Path(__file__).parents[3])


def test_processes_that_write_at_once_make_one_chain(chain: Chain) -> None:
    children = [writer(chain, 40, name) for name in "abc"]
    assert [child.wait(120) for child in children] == [0, 0, 0]
    verdict = chain.verify()
    assert verdict.faults == () and len(verdict.entries) == 120
    for name in "abc":
        assert [entry["at"] for entry in verdict.entries if entry["by"] == name] == list(range(40))


def test_a_killed_writer_leaves_a_whole_chain(chain: Chain) -> None:
    for attempt in range(8):
        before = len(chain.entries())
        child = writer(chain, 100_000, "x")
        deadline = time.monotonic() + 600
        while len(chain.entries()) < before + 5 + attempt and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert chain.verify().faults == () and len(chain.entries()) >= before + 5


def test_a_full_disk_is_an_error_and_the_file_stays_valid(chain: Chain) -> None:
    filled(chain, 2)
    child = writer(chain, 2, "x", str(chain.path.stat().st_size + 50))
    assert child.wait(120) != 0
    assert len(chain.entries()) == 2 and chain.verify().faults == ()
    assert chain.append({"command": "next"})["torn"]["bytes"] == 50
    assert chain.verify().faults == ()
