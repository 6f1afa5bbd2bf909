"""Scoring many files: in order, few at a time, and remembered across a kill."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pneumoctl import scoring
from pneumoctl.errors import PneumoError
from pneumoctl.scoring import Record, score_all


def document(content: bytes, file: str, version: str = "v1") -> dict[str, Any]:
    return {
        "file": file,
        "finding": "pneumonia",
        "probability": 0.9,
        "model": {"version": version},
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
    together = threading.Barrier(3, timeout=20)

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


def test_huge_file_is_not_read_whole(files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "MAX_BYTES", 10)
    outcomes = list(score_all([files[10], files[11]], document, jobs=1))
    assert outcomes[0].document and "larger than" in outcomes[1].error


def counting(calls: list[str], version: str = "v1") -> scoring.Scorer:
    def score(content: bytes, file: str) -> dict[str, Any]:
        calls.append(file)
        return document(content, file, version)

    return score


def test_record_spares_what_is_done(tmp_path: Path, files: list[str]) -> None:
    out, calls = tmp_path / "out.jsonl", []
    with Record(out, "v1") as record:
        first = list(score_all(files[:5], record.scorer(counting(calls)), jobs=2))
    with Record(out, "v1") as record:
        second = list(score_all(files[:8], record.scorer(counting(calls)), jobs=2))
        assert record.reused == 5
    assert sorted(calls) == files[:8] and second[:5] == first
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted(line["file"] for line in lines) == files[:8]
    assert set(lines[0]) == {"sha256", "file", "prediction"}


def test_changed_content_and_other_models_are_scored_again(tmp_path: Path, files: list[str]) -> None:
    out, calls = tmp_path / "out.jsonl", []
    with Record(out, "v1") as record:
        list(score_all(files[:3], record.scorer(counting(calls)), jobs=1))
    Path(files[0]).write_bytes(b"another picture")
    with Record(out, "v1") as record:
        list(score_all(files[:3], record.scorer(counting(calls)), jobs=1))
    assert calls == [*files[:3], files[0]]
    with Record(out, "v2") as record:
        list(score_all(files[:3], record.scorer(counting(calls, "v2")), jobs=1))
    assert calls[4:] == files[:3]
    with Record(out, None) as record:  # the API's model, whichever it is
        list(score_all(files[:3], record.scorer(counting(calls)), jobs=1))
    assert len(calls) == 7


def test_errors_are_not_recorded(tmp_path: Path, files: list[str]) -> None:
    def fail(content: bytes, file: str) -> dict[str, Any]:
        raise PneumoError("the API is away")

    out = tmp_path / "out.jsonl"
    with Record(out, "v1") as record:
        list(score_all(files[:2], record.scorer(fail), jobs=1))
    assert out.read_bytes() == b""


def test_line_cut_off_by_a_kill_is_scored_again(tmp_path: Path, files: list[str]) -> None:
    out, calls = tmp_path / "out.jsonl", []
    with Record(out, "v1") as record:
        list(score_all(files[:3], record.scorer(counting([])), jobs=1))
    out.write_bytes(out.read_bytes()[:-20])
    with Record(out, "v1") as record:
        list(score_all(files[:3], record.scorer(counting(calls)), jobs=1))
    assert calls == [files[2]]
    assert len([json.loads(line) for line in out.read_text().splitlines()]) == 3


@pytest.mark.parametrize("line", ["words", "{}", '{"sha256": 1}', "[]"])
def test_file_that_is_no_record_is_left_alone(tmp_path: Path, line: str) -> None:
    out = tmp_path / "precious.jsonl"
    out.write_text(line + "\n")
    with pytest.raises(PneumoError, match="line 1 is no result"), Record(out, "v1"):
        pass
    assert out.read_text() == line + "\n"


def test_record_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(PneumoError, match="No such file"), Record(tmp_path / "no" / "out.jsonl", "v1"):
        pass


def test_default_jobs_are_no_more_than_files() -> None:
    assert scoring.default_jobs(1) == 1 and scoring.default_jobs(0) == 1
    assert 1 <= scoring.default_jobs(1000) <= 8
