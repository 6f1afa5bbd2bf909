"""Save finished predictions in a JSONL file, so that a later run does not score the same pictures again."""

import fcntl
import hashlib
import json
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from model.serving.prediction import Prediction, Scoring, checked_prediction, current
from pneumoctl.errors import Exit, PneumoError

Scorer = Callable[[bytes, str], Prediction]
_LONGEST_LINE = 1_000_000  # bytes; usual lines have some hundred, but a path of 4096 characters can take 50 thousand
_HEAD, _MIDDLE = b'{"sha256": "', b'", "file": "'


class Unwritten(Exception):
    """A prediction stands, but its heat map or its line in the file of --resume could not be written."""

    def __init__(self, document: Prediction, reason: str) -> None:
        super().__init__(reason)
        self.document, self.reason = document, reason


class ResumeFile:
    """A JSONL file of finished predictions; a line is {"sha256", "file", "prediction"}.

    Pictures scored by another model version, with another setting, or before there were cautions, are scored again.
    Raises PneumoError, and leaves the file unchanged, if it contains any other line. The only exception is an
    incomplete last line, as a killed run leaves it: it is removed. Raises PneumoError (exit 5) while another process
    uses the file; the kernel releases its lock however that process ends.
    """

    def __init__(self, path: Path, scoring: Scoring) -> None:
        self._path = path
        self._scoring = scoring
        self._lock = threading.Lock()
        self._saved: dict[str, dict[str, Prediction]] = {}  # by file and by SHA-256 of its contents
        self.reused = 0

    def __enter__(self) -> Self:
        try:
            self._file = self._path.open("a+b")
        except OSError as error:
            raise PneumoError(
                f"{self._path}: {error.strerror or error}", "name a file that can be written: --resume FILE"
            ) from error
        try:
            self._lock_file()
            self._load()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(OSError):  # the rest of a line that is Unwritten; the next run removes its beginning
            self._file.close()

    def scorer(self, scorer: Scorer) -> Scorer:
        """A scorer that returns saved predictions, and calls `scorer` and saves the result for other pictures."""

        def score(content: bytes, file: str) -> Prediction:
            sha256 = hashlib.sha256(content).hexdigest()
            known = sha256 in self.digests(file)
            return self.saved_or_append(sha256, file, None if known else scorer(content, file))

        return score

    def digests(self, file: str) -> list[str]:
        """The SHA-256 digests of the contents of `file` whose predictions are saved."""
        return list(self._saved.get(file, ()))

    def saved_or_append(self, sha256: str, file: str, document: Prediction | None) -> Prediction:
        """Save a document, or return the saved one if `document` is None. Returns the prediction of the file.

        Raises Unwritten if it cannot be saved.
        """
        with self._lock:
            if document is None:
                self.reused += 1
                return self._saved[file][sha256]
            try:
                self._file.write(json.dumps({"sha256": sha256, "file": file, "prediction": document}).encode() + b"\n")
                self._file.flush()
            except OSError as error:
                raise Unwritten(document, f"not saved in the file of --resume: {error.strerror or error}") from error
        return document

    def _lock_file(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "run the same command again when that one has ended, or name another file: --resume FILE"
            raise PneumoError(f"{self._path}: another pneumoctl is using this file", hint, Exit.LOCKED) from None
        except OSError as error:
            message = f"{self._path}: cannot be locked: {error.strerror or error}"
            raise PneumoError(message, "name a file on another disk: --resume FILE") from error

    def _load(self) -> None:
        self._file.seek(0)
        end, number = 0, 0
        while line := self._file.readline(_LONGEST_LINE):
            number += 1
            if not line.endswith(b"\n"):
                if len(line) == _LONGEST_LINE or not _cut_off(line, alone=number == 1):
                    raise self._foreign(number)
                break
            end += len(line)
            try:
                entry = json.loads(line)
                sha256, file, document = (
                    entry["sha256"],
                    entry["file"],
                    checked_prediction(current(entry["prediction"])),
                )
                hash((sha256, file))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise self._foreign(number) from error
            if self._scoring.made(document):
                self._saved.setdefault(file, {})[sha256] = document
        self._file.truncate(end)

    def _foreign(self, number: int) -> PneumoError:
        return PneumoError(
            f"{self._path}: line {number} is not a result of an earlier run", "name another file: --resume FILE"
        )


def _cut_off(tail: bytes, alone: bool) -> bool:
    """Whether this is an incomplete line of this class. `alone`: the only line of the file, checked more strictly."""
    if alone and len(tail) < len(_HEAD):
        return False
    digits = tail[len(_HEAD) :][:64]
    ours = _HEAD + digits + _MIDDLE
    length = min(len(tail), len(ours))
    return re.fullmatch(rb"[0-9a-f]*", digits) is not None and tail[:length] == ours[:length]
