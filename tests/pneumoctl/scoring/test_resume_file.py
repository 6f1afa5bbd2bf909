"""The file of --resume: recorded results are reused, and a foreign file is not changed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from model.serving.prediction import Scoring
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.scoring.resume_file import ResumeFile, Scorer
from pneumoctl.scoring.score import score_all
from tests.predictions import EARLIER, FINDING

ROOT = Path(__file__).parents[3]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    names = []
    for number in range(8):
        path = tmp_path / f"{number:02d}.png"
        path.write_bytes(b"x" * number)
        names.append(str(path))
    return names


def counting(calls: list[str], version: str = "v1") -> Scorer:
    def score(content: bytes, file: str) -> dict[str, Any]:
        calls.append(file)
        return FINDING | {"file": file, "model": {"name": "m", "version": version}}

    return score


def test_recorded_files_are_not_scored_again(tmp_path: Path, files: list[str]) -> None:
    out, calls = tmp_path / "out.jsonl", []
    with ResumeFile(out, Scoring("v1")) as record:
        first = list(score_all(files[:5], record.scorer(counting(calls)), jobs=2))
    with ResumeFile(out, Scoring("v1")) as record:
        second = list(score_all(files[:8], record.scorer(counting(calls)), jobs=2))
        assert record.reused == 5
    assert sorted(calls) == files[:8] and second[:5] == first
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted(line["file"] for line in lines) == files[:8]
    assert set(lines[0]) == {"sha256", "file", "prediction"}


def test_a_pipe_cannot_be_resumed_and_the_error_says_so(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PneumoError, match="not seekable"), ResumeFile(tmp_path / "pipe", Scoring("v1")):
        pass


def test_changed_content_and_other_models_are_scored_again(tmp_path: Path, files: list[str]) -> None:
    out, calls = tmp_path / "out.jsonl", []
    with ResumeFile(out, Scoring("v1")) as record:
        list(score_all(files[:3], record.scorer(counting(calls)), jobs=1))
    Path(files[0]).write_bytes(b"another picture")
    with ResumeFile(out, Scoring("v1")) as record:
        list(score_all(files[:3], record.scorer(counting(calls)), jobs=1))
    assert calls == [*files[:3], files[0]]
    with ResumeFile(out, Scoring("v2")) as record:
        list(score_all(files[:3], record.scorer(counting(calls, "v2")), jobs=1))
    assert calls[4:] == files[:3]
    with ResumeFile(out, Scoring("v1")) as record:  # the former one again: its results are still there
        list(score_all(files[:3], record.scorer(counting(calls)), jobs=1))
    assert len(calls) == 7 and record.reused == 3


def test_results_without_cautions_are_read_and_scored_again(tmp_path: Path, files: list[str]) -> None:
    out, calls = tmp_path / "out.jsonl", []
    with ResumeFile(out, Scoring("v1")) as record:
        list(score_all(files[:2], record.scorer(counting(calls)), jobs=1))
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    lines[0]["prediction"] = EARLIER["finding"]
    out.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with ResumeFile(out, Scoring("v1")) as record:
        list(score_all(files[:2], record.scorer(counting(calls)), jobs=1))
    assert calls[2:] == files[:1]


def test_errors_are_not_recorded(tmp_path: Path, files: list[str]) -> None:
    def fail(content: bytes, file: str) -> dict[str, Any]:
        raise PneumoError("the API is away")

    out = tmp_path / "out.jsonl"
    with ResumeFile(out, Scoring("v1")) as record:
        list(score_all(files[:2], record.scorer(fail), jobs=1))
    assert out.read_bytes() == b""


def test_line_cut_off_by_a_kill_is_scored_again(tmp_path: Path, files: list[str]) -> None:
    out, calls = tmp_path / "out.jsonl", []
    with ResumeFile(out, Scoring("v1")) as record:
        list(score_all(files[:3], record.scorer(counting([])), jobs=1))
    out.write_bytes(out.read_bytes()[:-20])
    with ResumeFile(out, Scoring("v1")) as record:
        list(score_all(files[:3], record.scorer(counting(calls)), jobs=1))
    assert calls == [files[2]]
    assert len([json.loads(line) for line in out.read_text().splitlines()]) == 3


def whole_line(**fields: Any) -> str:
    return json.dumps({"sha256": "a" * 64, "file": "a.png", "prediction": FINDING | fields}) + "\n"


CONTRADICTORY = whole_line(finding="no pneumonia")
FOREIGN = {
    "words": "words\n",
    "words without an end": "my thesis, all of it",
    "two lines": "name,finding\na,b",
    "empty object": "{}\n",
    "other object": '{"sha256": 1}\n',
    "unhashable": '{"sha256": [], "file": {}, "prediction": {}}\n',
    "list": "[]\n",
    "deep": "[" * 100_000 + "\n",
    "blank": "\n\n",
    "object without an end": '{"some": "JSON", "of": "another program"}',
    "one brace": "{",
    "one long line": "x" * 1_200_000,
    "binary": "\0\1\2",
    "no digest": '{"sha256": "this is no digest',
    "other order": '{"sha256": "' + "a" * 64 + '", "size": 7',
    "contradictory": CONTRADICTORY,
    "foreign tail": whole_line() + "and a remark",
    "foreign line": whole_line() + "remark\n" + whole_line(),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_file_that_is_no_record_is_left_alone(tmp_path: Path, name: str) -> None:
    out = tmp_path / "precious.jsonl"
    out.write_text(FOREIGN[name])
    with pytest.raises(PneumoError, match=r"precious\.jsonl: line \d is not a result"), ResumeFile(out, Scoring("v")):
        pass
    assert out.read_text() == FOREIGN[name]


@pytest.mark.parametrize("length", [1, 11, 12, 13, 50, 76, 80, 87, 90, 200])
def test_our_own_line_may_be_cut_off_anywhere(tmp_path: Path, length: int) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text(whole_line() + whole_line()[:length])
    with ResumeFile(out, Scoring("v")):
        pass
    assert out.read_text() == whole_line()
    out.write_text(whole_line()[:length])
    if length >= 12:  # in a file without any whole line less than that could be anybody's
        with ResumeFile(out, Scoring("v")):
            pass
        assert out.read_text() == ""


def test_record_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(PneumoError, match="No such file"), ResumeFile(tmp_path / "no" / "out.jsonl", Scoring("v1")):
        pass


HOLD = """
import sys, time
from pathlib import Path
from model.serving.prediction import Scoring
from pneumoctl.scoring.resume_file import ResumeFile
with ResumeFile(Path(sys.argv[1]), Scoring("v1")):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_file_in_use_is_refused_until_its_process_is_killed(tmp_path: Path) -> None:
    """Two processes with one file scored every picture twice, and recorded both."""
    out = tmp_path / "out.jsonl"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(out)], stdout=subprocess.PIPE, cwd=ROOT) as other:
        try:
            assert other.stdout is not None and other.stdout.readline() == b"held\n"
            with pytest.raises(PneumoError, match="another pneumoctl") as refused, ResumeFile(out, Scoring("v1")):
                pass
            assert refused.value.code == Exit.LOCKED
        finally:
            other.kill()
    with ResumeFile(out, Scoring("v1")):
        pass


def test_an_incomplete_line_of_a_process_that_is_writing_is_not_removed(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with ResumeFile(out, Scoring("v1")):
        out.write_bytes(b'{"sha256": "0123')
        with pytest.raises(PneumoError), ResumeFile(out, Scoring("v1")):
            pass
        assert out.read_bytes() == b'{"sha256": "0123'
