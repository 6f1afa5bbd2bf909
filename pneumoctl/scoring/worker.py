"""The process that scores files for `worker_pool`: JSON lines on stdin and stdout; it ends when its stdin ends.

The first line says which model to use. Each further line is a batch of files, and is answered by one line.
"""

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any, TypedDict

from model.serving.prediction import Choices, Prediction
from pneumoctl.scoring.score import Model, local_scorer, score_file


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

    def answer(self, file: str, saved: list[str] | None) -> Answer:
        """Score a file, unless its contents have one of the digests `saved`."""
        sha256: str | None = None
        known = False

        def score(content: bytes, name: str) -> Prediction:
            nonlocal sha256, known
            sha256 = None if saved is None else hashlib.sha256(content).hexdigest()
            known = saved is not None and sha256 in saved
            nothing: Any = {}
            return nothing if known else self._scorer(content, name)

        result = score_file(score, file)
        return {"document": None if known else result.document, "error": result.error, "sha256": sha256}


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
    worker = Worker(_received(json.loads(sys.stdin.buffer.readline())))
    for line in sys.stdin.buffer:
        answers.write(json.dumps([worker.answer(*request) for request in json.loads(line)]).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
