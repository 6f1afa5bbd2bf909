"""The process that scores files for `worker_pool`: JSON lines in and out, until its input ends.

It is a fork of the command, which has imported all that scoring needs: a new interpreter would import it once more.
Each line is a batch of files, and is answered by one line.
"""

import hashlib
import json
import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TypedDict

from model.serving.predict import Prepared
from model.serving.prediction import Prediction
from pneumoctl.scoring.resume_file import Unwritten
from pneumoctl.scoring.score import Model, as_document_of, attempt, local_scorer, read

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STDIN, _STDOUT, _STDERR, _ANSWERS = range(4)  # descriptors


class Answer(TypedDict):
    """The outcome of a file: a document, an error, or neither if the file has one of the digests that were sent.

    sha256: of the bytes of the file; null if no digests were sent, or if the file could not be read.
    unwritten: as in FileResult.
    """

    document: Prediction | None
    error: str | None
    sha256: str | None
    unwritten: str | None


# A file, and the digests of the contents whose predictions are saved; None if no prediction is to be saved.
Request = tuple[str, list[str] | None]


class Worker:
    """A loaded model that answers requests."""

    def __init__(self, model: Model) -> None:
        self._scorer, _, _ = local_scorer(*model)

    def answers(self, batch: list[Request]) -> list[Answer]:
        """Score files, except those whose contents have one of the digests that are saved."""
        if self._scorer.explain:  # a heat map needs the picture: not those of a whole batch
            return [self._finish(request[0], *self._prepare(*request)) for request in batch]
        prepared = [self._prepare(*request) for request in batch]
        return [self._finish(file, *begun) for (file, _), begun in zip(batch, prepared, strict=True)]

    def _prepare(self, file: str, saved: list[str] | None) -> tuple[Prepared | None, Answer]:
        content, error = attempt(lambda: read(file))
        if content is None:
            return None, _unscored(error)
        sha256 = None if saved is None else hashlib.sha256(content).hexdigest()
        if saved is not None and sha256 in saved:
            return None, _unscored(None, sha256)
        prepared, error = attempt(lambda: self._scorer.prepare(content, file))
        return prepared, _unscored(error, sha256)

    def _finish(self, file: str, prepared: Prepared | None, answer: Answer) -> Answer:
        if prepared is None:
            return answer
        try:
            document, error = attempt(lambda: self._scorer.finish(prepared))
        except Unwritten as failure:
            return {**answer, "document": as_document_of(file, failure.document), "unwritten": failure.reason}
        return {**answer, "document": document and as_document_of(file, document), "error": error}


def _unscored(error: str | None, sha256: str | None = None) -> Answer:
    return {"document": None, "error": error, "sha256": sha256, "unwritten": None}


def serve(model: Model, requests: int, answers: int) -> NoReturn:
    """Answer the batches from the pipe `requests` until it ends. To be called in a fork with blocked SIGNALS.

    It never returns or raises, because the code that called it is the parent's.
    """
    code = 1
    try:
        _detach(requests, answers)
        _answer(Worker(model))
        code = 0
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(code)  # without flushing what the parent is about to print


def _answer(worker: Worker) -> None:
    # Nobody reads an answer if the command was killed.
    with suppress(BrokenPipeError), os.fdopen(_STDIN, "rb") as batches, os.fdopen(_ANSWERS, "wb") as answers:
        for batch in batches:
            answers.write(json.dumps(worker.answers(json.loads(batch))).encode() + b"\n")
            answers.flush()


def _detach(requests: int, answers: int) -> None:
    """Keep nothing of the parent that matters to others: locked files, pipes to other workers, handlers, its terminal.

    Whatever a library prints goes to stderr. Its stream is new: another thread may have locked the parent's.
    """
    os.dup2(requests, _STDIN)
    os.dup2(answers, _ANSWERS)
    for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:  # a limit may have been lowered
        if descriptor > _ANSWERS:
            with suppress(OSError):  # that of the listing
                os.close(descriptor)
    if sys.stderr is not None:
        os.dup2(_STDERR, _STDOUT)
        sys.stdout = sys.stderr = open(_STDERR, "w", buffering=1, closefd=False)  # noqa: SIM115
    os.setsid()
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
