"""Scoring many files: results in order, with few files in memory."""

import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from model.images import limits
from pneumoctl.errors import PneumoError
from pneumoctl.scoring import score
from pneumoctl.scoring.score import score_all


def document(content: bytes, file: str) -> dict[str, Any]:
    return {
        "file": file,
        "finding": "pneumonia",
        "probability": 0.9,
        "model": {"version": "v1"},
        "size": len(content),
    }


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    names = []
    for number in range(30):
        path = tmp_path / f"{number:02d}.png"
        path.write_bytes(b"x" * number)
        names.append(str(path))
    return names


@pytest.mark.parametrize("jobs", [1, 3, 8])
def test_outcomes_come_in_the_order_of_the_files(files: list[str], jobs: int) -> None:
    def slow_first(content: bytes, file: str) -> dict[str, Any]:
        time.sleep(0.02 if len(content) % 5 == 0 else 0)
        return document(content, file)

    outcomes = list(score_all(files, slow_first, jobs))
    assert [outcome.file for outcome in outcomes] == files
    assert [outcome.document["size"] for outcome in outcomes] == list(range(30))


def test_few_files_are_read_ahead(files: list[str]) -> None:
    started: list[str] = []
    stream = score_all(files, lambda content, file: started.append(file) or document(content, file), jobs=2)
    next(stream)
    time.sleep(0.1)
    assert len(started) <= 4
    stream.close()
    assert len(started) <= 4


def test_threads_run_at_the_same_time(files: list[str]) -> None:
    together = threading.Barrier(3, timeout=120)

    def meet(content: bytes, file: str) -> dict[str, Any]:
        together.wait()
        return document(content, file)

    assert all(outcome.document for outcome in score_all(files[:3], meet, jobs=3))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PneumoError("the API is away"), "the API is away"),
        (ArithmeticError("the network gave no number"), "no number"),
        (MemoryError(), "memory"),
        (ImportError("x", name="pydicom"), "pydicom"),
        (OSError(28, "No space left on device"), "No space left"),
    ],
)
def test_failure_is_an_error_of_its_file_and_no_finding(files: list[str], error: Exception, words: str) -> None:
    def fail(content: bytes, file: str) -> dict[str, Any]:
        if file == files[1]:
            raise error
        return document(content, file)

    outcomes = list(score_all(files[:3], fail, jobs=1))
    assert [outcome.document is None for outcome in outcomes] == [False, True, False]
    assert words in outcomes[1].error and outcomes[0].error is None


def test_unreadable_and_vanished_files_are_errors(tmp_path: Path, files: list[str]) -> None:
    outcomes = list(score_all([str(tmp_path / "gone.png"), str(tmp_path)], document, jobs=1))
    assert ["cannot be read" in (outcome.error or "") for outcome in outcomes] == [True, True]


def test_a_small_file_takes_little_memory(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"12345")
    tracemalloc.start()
    assert score.read(str(tmp_path / "small")) == b"12345"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_file_that_states_no_size_is_read_whole() -> None:
    assert score.read("/proc/self/cmdline") == Path("/proc/self/cmdline").read_bytes() != b""


def test_huge_file_is_not_read_whole(files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "MAX_BYTES", 10)
    outcomes = list(score_all([files[10], files[11]], document, jobs=1))
    assert outcomes[0].document and "larger than" in outcomes[1].error


def test_default_jobs_are_no_more_than_files() -> None:
    assert score.default_jobs(1) == 1 and score.default_jobs(0) == 1
    assert 1 <= score.default_jobs(1000) <= 8


def test_default_jobs_fit_into_half_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight cores and 2 GB must not decode eight films at once."""
    monkeypatch.setattr(score, "_cores", lambda: 8)
    for free, jobs in ((0, 1), (500_000_000, 1), (2_000_000_000, 2), (16_000_000_000, 8)):
        monkeypatch.setattr(score, "free_memory", lambda free=free: free)
        assert score.default_jobs(1000) == jobs
    monkeypatch.setattr(score, "free_memory", lambda: 2_000_000_000)
    assert score.default_jobs(1000, score.MAX_BYTES) == 7  # a stack decodes elsewhere


def test_worst_case_covers_what_decoding_may_take() -> None:
    assert score.HERE_BYTES >= score.MAX_BYTES + 1.5 * limits.WORKING_BYTES
    assert score.MAX_BYTES > 3 * limits.MAX_PIXELS  # the largest film of 16 bits, and its header


def test_free_memory_is_that_of_the_control_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "_CGROUP", tmp_path)
    whole = score.free_memory()
    assert whole > 0
    for name, text in (
        ("memory.max", "50000000\n"),
        ("memory.current", "30000000\n"),
        ("memory.stat", "anon 1\ninactive_file 10000000\n"),
    ):
        (tmp_path / name).write_text(text)
    assert score.free_memory() == 30_000_000
    (tmp_path / "memory.current").write_text("90000000\n")
    assert score.free_memory() == 0
    (tmp_path / "memory.max").write_text("max\n")
    assert score.free_memory() > 30_000_000
