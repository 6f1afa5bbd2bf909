"""Scoring many files in worker processes: the same results in the same order, and no process that stays."""

import errno
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from model import phantom
from pneumoctl.errors import Exit
from pneumoctl.scoring import worker, worker_pool
from pneumoctl.scoring.resume_file import ResumeFile
from pneumoctl.scoring.score import FileResult, Model, local_scorer, score_all
from pneumoctl.scoring.worker_pool import WorkerPool

ROOT = Path(__file__).parents[3]


@pytest.fixture
def films(tmp_path: Path) -> list[str]:
    """32 paths: drawings, of which some are damaged or no pictures, one that is missing, and a pipe's name."""
    folder = tmp_path / "films"
    folder.mkdir()
    names = [folder / f"{number:02d}.png" for number in range(32)]
    for number, name in enumerate(names):
        content = phantom.png(100 + number, 96, opacity=number % 2 == 0)
        name.write_bytes(content[:700] if number % 7 == 3 else b"no picture" if number % 7 == 5 else content)
    names[9].unlink()
    return [str(name) for name in names]


@pytest.fixture
def model(tiny_bundle: Path) -> Model:
    return Model(tiny_bundle, 2, None)


def comparable(results: list[FileResult]) -> list[Any]:
    """The results without what differs each time."""
    left_out = ("created", "elapsed_ms")
    documents = [
        result.document and {k: v for k, v in result.document.items() if k not in left_out} for result in results
    ]
    return [(result.file, document, result.error) for result, document in zip(results, documents, strict=True)]


def test_results_are_those_of_one_thread_bit_by_bit(films: list[str], model: Model) -> None:
    scorer, _, _ = local_scorer(*model)
    expected = comparable(list(score_all(films, scorer, jobs=1)))
    with WorkerPool(model, scorer, None) as pool:
        assert comparable(list(pool.score_all(films))) == expected
    kinds = [(document and document["refusal"] is None, error is None) for _, document, error in expected]
    assert {(True, True), (False, True), (None, False)} == set(kinds)


def test_what_only_this_process_can_read_is_scored_here(films: list[str], model: Model) -> None:
    reader, writer = os.pipe()  # the number means nothing in another process
    os.write(writer, Path(films[0]).read_bytes())
    os.close(writer)
    scorer, _, _ = local_scorer(*model)
    with WorkerPool(model, scorer, None) as pool:
        results = list(pool.score_all([films[0], f"/dev/fd/{reader}", films[1]]))
    os.close(reader)
    assert [result.error for result in results] == [None] * 3
    assert results[1].document["probability"] == results[0].document["probability"]


def test_saved_predictions_are_not_made_again(films: list[str], model: Model, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    scorer, scoring, _ = local_scorer(*model)
    with ResumeFile(out, scoring) as record, WorkerPool(model, scorer, record) as pool:
        first = list(pool.score_all(films[:20]))
    Path(films[0]).write_bytes(phantom.png(7, 96))
    with ResumeFile(out, scoring) as record, WorkerPool(model, scorer, record) as pool:
        second = list(pool.score_all(films))
        assert record.reused == 18  # without the changed and the missing file
    assert second[1:20] == first[1:] and second[0].document["id"] != first[0].document["id"]
    lines = [json.loads(line)["file"] for line in out.read_text().splitlines()]
    assert sorted(lines) == sorted([*(film for film in films if film != films[9]), films[0]])


def workers(pool: WorkerPool) -> list[psutil.Process]:
    """The processes of a pool; other tests may have begun further children of this process."""
    return [psutil.Process(process._number) for process in pool._started]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_process_is_an_error_of_its_files_alone(
    number: signal.Signals, films: list[str], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_pool, "_FILES", 8)
    scorer, _, _ = local_scorer(*model)
    with WorkerPool(model, scorer, None) as pool:
        (first, *_) = children = workers(pool)
        first.send_signal(number)
        results = list(pool.score_all(films))
    errors = [result for result in results if result.error and f"signal {number}" in result.error]
    assert [result.file for result in results] == films
    assert 1 <= len(errors) <= worker_pool._FILES and not any(result.document for result in errors)
    assert not any(child.is_running() for child in children)


def test_a_process_is_replaced_while_a_pipe_is_scored(
    films: list[str], model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork during an import inherits the lock of the module: its own import of that module would never end."""
    importing = threading.Event()
    monkeypatch.setattr(sys, "importing", importing.set, raising=False)
    (tmp_path / "slow_import.py").write_text("import sys, time\nsys.importing()\ntime.sleep(1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    scorer, _, _ = local_scorer(*model)

    def score_here(content: bytes, file: str) -> Any:
        importlib.import_module("slow_import")
        return scorer(content, file)

    def open_there(*arguments: Any) -> Any:
        importlib.import_module("slow_import")
        return local_scorer(*arguments)

    def end(process: worker_pool._Process) -> str:
        importing.wait()
        return ended(process)

    ended = worker_pool._Process.end
    reader, writer = os.pipe()
    os.write(writer, Path(films[0]).read_bytes())
    os.close(writer)
    with WorkerPool(model, score_here, None) as pool:
        monkeypatch.setattr(worker, "local_scorer", open_there)
        monkeypatch.setattr(worker_pool._Process, "end", end)
        for child in workers(pool):
            child.kill()
        results = list(pool.score_all([f"/dev/fd/{reader}", *films]))
    os.close(reader)
    assert len(results) == 1 + len(films) and results[0].document and results[-1].document


def test_a_process_that_cannot_be_replaced_is_an_error_of_each_file(
    films: list[str], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory() -> int:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    scorer, _, _ = local_scorer(*model)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with WorkerPool(model, scorer, None) as pool:
        monkeypatch.setattr(worker_pool, "_fork", no_memory)
        for child in workers(pool):
            child.kill()
        results = list(pool.score_all(films))
        assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert [result.file for result in results] == films
    assert all("ended (signal 9)" in str(result.error) for result in results if result.file != films[9])


def test_a_command_may_be_started_with_ignored_ends_of_processes(films: list[str], model: Model) -> None:
    handler = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        scorer, _, _ = local_scorer(*model)
        with WorkerPool(model, scorer, None) as pool:
            workers(pool)[0].kill()
            results = list(pool.score_all(films))
    finally:
        signal.signal(signal.SIGCHLD, handler)
    assert [result.file for result in results] == films
    assert any("ended (exit code unknown)" in str(result.error) for result in results)
    assert any(result.document for result in results)


def test_a_process_keeps_nothing_that_its_parent_has_open(
    films: list[str], model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sysconf", lambda name: 4)  # the limit of descriptors was lowered
    scorer, scoring, _ = local_scorer(*model)
    with ResumeFile(tmp_path / "out.jsonl", scoring) as record, WorkerPool(model, scorer, record) as pool:
        assert len(list(pool.score_all(films))) == len(films)
        children = workers(pool)
        assert len(children) == 2
        assert all(len(list(Path(f"/proc/{child.pid}/fd").iterdir())) == 4 for child in children)
        assert os.getsid(0) not in [os.getsid(child.pid) for child in children]


def test_a_model_that_a_process_cannot_load_is_an_error_of_each_file(
    films: list[str], model: Model, capfd: pytest.CaptureFixture[str]
) -> None:
    scorer, _, _ = local_scorer(*model)
    with WorkerPool(model._replace(directory=Path("/nowhere")), scorer, None) as pool:
        results = list(pool.score_all(films))
    assert all("ended (exit 1)" in str(result.error) for result in results if result.file != films[9])
    assert "BundleError" in capfd.readouterr().err


def test_a_file_that_vanishes_while_batches_are_made_is_an_error_of_its_own(
    films: list[str], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer, _, _ = local_scorer(*model)
    expected = comparable(list(score_all(films, scorer, jobs=1)))
    look, asked = Path.stat, Counter[str]()

    def look_and_remove(path: Path, **options: Any) -> os.stat_result:
        found = look(path, **options)
        asked[str(path)] += 1
        if str(path) in (films[4], films[8]):  # in a batch, and the first one of the next
            path.unlink()
        return found

    monkeypatch.setattr(Path, "stat", look_and_remove)
    with WorkerPool(model, scorer, None) as pool:
        results = comparable(list(pool.score_all(films)))
    assert {asked[film] for film in films if film != films[9]} == {1}  # two answers could contradict each other
    gone = "cannot be read: No such file or directory"
    assert [(file, error) for file, _, error in results if error == gone] == [(films[n], gone) for n in (4, 8, 9)]
    assert [each for each in results if each[2] != gone] == [expected[n] for n in range(32) if n not in (4, 8, 9)]


def test_a_file_named_like_stdin_is_not_read_in_its_place(
    films: list[str], model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "-").write_bytes(b"no picture")
    monkeypatch.chdir(tmp_path)
    with Path(films[0]).open("rb") as stream:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=stream))
        scorer, _, _ = local_scorer(*model)
        with WorkerPool(model, scorer, None) as pool:
            results = list(pool.score_all(["-", films[0]]))
    assert [result.error for result in results] == [None] * 2
    assert results[0].document["probability"] == results[1].document["probability"]


def test_batches_are_small(tmp_path: Path) -> None:
    sizes = [10] * 20 + [3_000_000] * 3
    files = [str(tmp_path / f"{number:02d}") for number in range(len(sizes))]
    for file, size in zip(files, sizes, strict=True):
        with Path(file).open("wb") as stream:
            stream.truncate(size)
    assert [len(batch.files) for batch in worker_pool._batches(files)] == [16, 5, 1, 1]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, Exit.INTERRUPTED), (signal.SIGKILL, -signal.SIGKILL)])
def test_no_process_outlives_an_ended_command(number: int, code: int, tiny_bundle: Path, tmp_path: Path) -> None:
    for file in range(worker_pool.MANY):
        (tmp_path / f"{file:03d}.png").write_bytes(phantom.png(file, 96))
    os.mkfifo(tmp_path / "pipe")  # nobody writes into it: the command waits there
    command = [sys.executable, "-m", "pneumoctl", "predict", str(tmp_path), str(tmp_path / "pipe")]
    words = ["--model", str(tiny_bundle), "--jobs", "2", "--csv"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*command, *words], cwd=ROOT, text=True, **streams) as process:  # type: ignore[call-overload]
        for _ in range(worker_pool.MANY // 2):
            assert process.stdout.readline()
        workers = psutil.Process(process.pid).children()
        assert len(workers) == 2
        writer = os.open(tmp_path / "pipe", os.O_RDWR)  # its reader is a thread, which ends with its input
        process.send_signal(number)
        os.close(writer)
        _, error = process.communicate(timeout=120)
    assert process.returncode == code and "Traceback" not in error
    _, alive = psutil.wait_procs(workers, timeout=120)
    assert alive == []
