"""The process that scores files for `worker_pool`: JSON lines on stdin and stdout; it ends when its stdin ends.

The first line says which model to use. Each further line is a batch of files, and is answered by one line.
"""

import hashlib
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TypedDict

from model.serving.predict import Prepared
from model.serving.prediction import Choices, Prediction
from pneumoctl.scoring.score import Model, as_document_of, attempt, local_scorer, read


class Answer(TypedDict):
    """The outcome of a file: a document, an error, or neither if the file has one of the digests that were sent.

    sha256: of the bytes of the file; null if no digests were sent, or if the file could not be read.
    """

    document: Prediction | None
    error: str | None
    sha256: str | None


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
            return None, {"document": None, "error": error, "sha256": None}
        sha256 = None if saved is None else hashlib.sha256(content).hexdigest()
        if saved is not None and sha256 in saved:
            return None, {"document": None, "error": None, "sha256": sha256}
        prepared, error = attempt(lambda: self._scorer.prepare(content, file))
        return prepared, {"document": None, "error": error, "sha256": sha256}

    def _finish(self, file: str, prepared: Prepared | None, answer: Answer) -> Answer:
        if prepared is None:
            return answer
        document, error = attempt(lambda: self._scorer.finish(prepared))
        return {**answer, "document": document and as_document_of(file, document), "error": error}


def sent(model: Model) -> list[Any]:
    """The first line that a worker reads, as JSON."""
    paths = (None if path is None else str(path) for path in (model.directory, model.explain))
    return [*paths, model.jobs, model.choices]


def _received(line: list[Any]) -> Model:
    directory, explain, jobs, choices = line
    return Model(directory and Path(directory), jobs, explain and Path(explain), Choices(*choices))


def main() -> None:
    """Answer each batch of requests until stdin ends."""
    # Whatever a library prints must not be taken for an answer.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    first = sys.stdin.buffer.readline()
    if not first:  # the command was killed before it sent anything
        return
    worker = Worker(_received(json.loads(first)))
    with suppress(BrokenPipeError):  # the command was killed, and nobody reads the answer
        for line in sys.stdin.buffer:
            answers.write(json.dumps(worker.answers(json.loads(line))).encode() + b"\n")
            answers.flush()
    os._exit(0)  # without flushing an answer that nobody reads


if __name__ == "__main__":
    main()
