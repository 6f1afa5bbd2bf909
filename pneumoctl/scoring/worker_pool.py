"""Score many files in worker processes, because threads of one process wait for the interpreter lock of each other."""

import json
import os
import signal
import warnings
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from stat import S_ISREG
from threading import Lock
from typing import BinaryIO, NamedTuple, Self, cast

from model.serving.prediction import Prediction
from pneumoctl.scoring import worker
from pneumoctl.scoring.find_files import STDIN
from pneumoctl.scoring.resume_file import ResumeFile, Scorer, Unwritten
from pneumoctl.scoring.score import HERE_BYTES, FileResult, Model, in_order, score_file
from pneumoctl.scoring.worker import Answer, Request

MANY = 64  # files; for fewer, starting processes takes longer than threads lose
PROCESS_BYTES = HERE_BYTES + 100_000_000  # a process has a network of its own
# Of a batch: large enough that messages take no time, small enough that results appear steadily.
_FILES, _BYTES = 16, 1_000_000


class WorkerPool:
    """Worker processes that score files; `here` scores what only this process can read: stdin, pipes, devices.

    record: where predictions are saved, or None. The processes end with this one, however it ends: then their input
    ends. They get no Ctrl-C from the terminal; the pool ends them after the batch that they work on.
    """

    def __init__(self, model: Model, here: Scorer, record: ResumeFile | None) -> None:
        self._model, self._record = model, record
        # A fork inherits the locks that other threads hold, e.g. of an import: nothing is scored here at that moment.
        self._forking = Lock()
        here = partial(_locked, self._forking, here)
        self._here = record.scorer(here) if record else here
        self._idle: SimpleQueue[_Process] = SimpleQueue()
        self._started: list[_Process] = []
        self._batches: Generator[list[FileResult], None, None] | None = None

    def __enter__(self) -> Self:
        for _ in range(self._model.jobs):
            self._idle.put(self._start())
        return self

    def __exit__(self, *exception: object) -> None:
        if self._batches is not None:
            self._batches.close()  # first, because its threads use the processes
        for process in self._started:
            process.end()

    def score_all(self, files: Iterable[str]) -> Iterator[FileResult]:
        """Score every file and yield the outcomes in the order of the files, a batch in each process at a time."""
        self._batches = in_order(_batches(files), self._score, self._model.jobs)
        return chain.from_iterable(self._batches)

    def _start(self) -> "_Process":
        with self._forking:
            process = _Process(self._model)
        self._started.append(process)
        return process

    def _score(self, batch: "_Batch") -> list[FileResult]:
        files = batch.files
        if batch.here:
            return [score_file(self._here, file) for file in files]
        process = self._idle.get()
        answers = process.ask([(file, self._record.digests(file) if self._record else None) for file in files])
        if answers is None:
            ending = process.end()
            with suppress(OSError):  # no memory: the next batch finds the ended process, and tries again
                process = self._start()
            self._idle.put(process)
            error = f"the process that scored it and {len(files) - 1} more ended ({ending}); try --jobs 1"
            return [FileResult(file, None, error) for file in files]
        self._idle.put(process)
        return [self._result(file, answer) for file, answer in zip(files, answers, strict=True)]

    def _result(self, file: str, answer: Answer) -> FileResult:
        document, error, sha256 = answer["document"], answer["error"], answer["sha256"]
        if self._record is None or sha256 is None or error is not None or answer["unwritten"] is not None:
            return FileResult(file, document, error, answer["unwritten"])
        try:
            return FileResult(file, self._record.saved_or_append(sha256, file, document))
        except Unwritten as failure:
            return FileResult(file, failure.document, unwritten=failure.reason)


class _Process:
    """One worker process."""

    def __init__(self, model: Model) -> None:
        requests, self._requests = _pipe()
        self._answers, answers = _pipe()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, worker.SIGNALS)
        try:
            with requests, answers:
                self._number = _fork()
                if self._number == 0:
                    worker.serve(model, requests.fileno(), answers.fileno())
        except OSError:
            self._requests.close()
            self._answers.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def ask(self, requests: list[Request]) -> list[Answer] | None:
        """The answers to a batch of requests; None if the process has ended."""
        if self._requests.closed:
            return None
        try:
            self._requests.write(json.dumps(requests).encode() + b"\n")
            self._requests.flush()
        except BrokenPipeError:  # it has ended: the next answer is none
            pass
        line = self._answers.readline()
        return cast(list[Answer], json.loads(line)) if line.endswith(b"\n") else None

    def end(self) -> str:
        """Let the process end after the batch that it works on; returns how it ended."""
        with suppress(BrokenPipeError):  # what it has not read
            self._requests.close()
        self._answers.close()
        return self._ending

    @cached_property
    def _ending(self) -> str:
        try:
            code = os.waitstatus_to_exitcode(os.waitpid(self._number, 0)[1])
        except ChildProcessError:  # whoever started the command has it ignore SIGCHLD: the kernel keeps no exit code
            return "exit code unknown"
        return f"signal {-code}" if code < 0 else f"exit {code}"


def _locked(lock: Lock, scorer: Scorer, content: bytes, file: str) -> Prediction:
    with lock:
        return scorer(content, file)


def _pipe() -> tuple[BinaryIO, BinaryIO]:
    reader, writer = os.pipe()
    return os.fdopen(reader, "rb"), os.fdopen(writer, "wb")


def _fork() -> int:
    with warnings.catch_warnings():
        # Python 3.12 warns of every other thread. Those of numpy survive a fork; a worker makes a network of its own,
        # and takes none of the locks that a thread of this pool holds: nothing is imported or scored at that moment.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


class _Batch(NamedTuple):
    """Files that are scored one after another; here: by this process, because no other can read them."""

    files: list[str]
    here: bool


def _batches(files: Iterable[str]) -> Iterator[_Batch]:
    """The files in order, in batches of at most _FILES files and about _BYTES; what is no regular file is alone.

    Each file is asked about once: it may vanish between two questions.
    """
    batch: list[str] = []
    size = 0
    for file in files:
        own = _size(file)
        if own is None:
            if batch:
                yield _Batch(batch, here=False)
            yield _Batch([file], here=True)
            batch, size = [], 0
            continue
        batch.append(file)
        size += own
        if len(batch) == _FILES or size >= _BYTES:
            yield _Batch(batch, here=False)
            batch, size = [], 0
    if batch:
        yield _Batch(batch, here=False)


def _size(file: str) -> int | None:
    """The bytes of a regular file; None for what only this process can read, and for a file that cannot be found."""
    if file == STDIN:
        return None
    try:
        found = Path(file).stat()
    except OSError:  # scoring reads it again and reports the error
        return None
    return found.st_size if S_ISREG(found.st_mode) else None
