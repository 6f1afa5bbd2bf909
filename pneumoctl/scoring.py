"""Score files one after another or in threads, here or by a stack's API, remembering what is done."""

import hashlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pneumoctl.errors import PneumoError
from pneumoctl.pictures import STDIN

if TYPE_CHECKING:
    from model.predict import Classifier

MAX_BYTES = 256_000_000  # a film of 64 million values of 16 bits is half of that
Scorer = Callable[[bytes, str], dict[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """What became of one file: a prediction document, or the words of an error; never both."""

    file: str
    document: dict[str, Any] | None
    error: str | None = None


def default_jobs(files: int) -> int:
    """Threads for that many files: one a core, no more than there are files."""
    return max(1, min(files, len(os.sched_getaffinity(0)), 8))


def local(directory: Path | None, jobs: int, explain: Path | None) -> tuple[Scorer, str]:
    """A scorer on this machine and the version of its model; overlays go to `explain`, named by prediction."""
    try:
        from model.bundle import BundleError
        from model.predict import Classifier
    except ImportError as error:
        raise _missing(error) from error
    try:
        classifier = Classifier.open(directory, threads=0 if jobs == 1 else max(1, default_jobs(8) // jobs))
    except BundleError as error:
        raise PneumoError(f"the model cannot be used: {error}", "pneumoctl predict --model DIR") from error
    except ImportError as error:
        raise _missing(error) from error
    if explain:
        _make(explain)

    def score(content: bytes, file: str) -> dict[str, Any]:
        prediction, picture = classifier.examine(content, file)
        if explain and prediction.finding and picture:
            _draw_overlay(classifier, picture.grey, explain / f"{prediction.id}.png")
        return prediction.as_dict()

    return score, classifier.bundle.version


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PneumoError(f"{directory}: {error.strerror}", "--explain DIR names a folder to write into") from error


def _draw_overlay(classifier: "Classifier", grey: Any, path: Path) -> None:
    from model.explain import occlusion, overlay

    overlay(grey, occlusion(classifier, grey)).save(path, "PNG")


def _missing(error: ImportError) -> PneumoError:
    package = error.name or "a library"
    return PneumoError(f"scoring on this machine needs {package}", "pip install 'pneumoctl[predict]'")


def score_all(files: Iterable[str], scorer: Scorer, jobs: int) -> Iterator[Outcome]:
    """Score every file; outcomes come in the order of the files. Few files are in memory at a time."""
    if jobs == 1:
        yield from (_score(scorer, file) for file in files)
        return
    from collections import deque
    from concurrent.futures import Future, ThreadPoolExecutor

    pool = ThreadPoolExecutor(jobs)
    waiting: deque[Future[Outcome]] = deque()
    try:
        for file in files:
            waiting.append(pool.submit(_score, scorer, file))
            if len(waiting) > jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _score(scorer: Scorer, file: str) -> Outcome:
    try:
        return Outcome(file, {**scorer(_read(file), file), "file": file})
    except PneumoError as error:
        return Outcome(file, None, error.message)
    except OSError as error:
        return Outcome(file, None, f"its result cannot be written: {error.strerror or error}")
    except MemoryError:
        return Outcome(file, None, "too large for this machine's memory")
    except ArithmeticError as error:
        return Outcome(file, None, str(error))
    except ImportError as error:
        return Outcome(file, None, _missing(error).message)


def _read(file: str) -> bytes:
    try:
        if file == STDIN:
            content = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(file).open("rb") as stream:
                content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise PneumoError(f"cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise PneumoError(f"larger than {MAX_BYTES // 1_000_000} MB")
    return content


class Record:
    """A JSONL file of finished predictions: a later run takes from it what it need not score again.

    A line is {"sha256", "file", "prediction"}. What was scored by another model version is scored again.
    """

    def __init__(self, path: Path, version: str | None) -> None:
        self._path = path
        self._version = version  # None: the API's, whichever it is
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], dict[str, Any]] = {}
        self.reused = 0

    def __enter__(self) -> Self:
        try:
            self._file = self._path.open("a+b")
        except OSError as error:
            raise PneumoError(f"{self._path}: {error.strerror}", "--resume FILE names a file to write") from error
        try:
            self._load()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def scorer(self, scorer: Scorer) -> Scorer:
        """The same scorer, reading and writing this record."""

        def score(content: bytes, file: str) -> dict[str, Any]:
            sha256 = hashlib.sha256(content).hexdigest()
            known = self._known.get((sha256, file))
            if known and self._version in (None, known["model"]["version"]):
                with self._lock:
                    self.reused += 1
                return known
            document = scorer(content, file)
            self._append({"sha256": sha256, "file": file, "prediction": document})
            return document

        return score

    def _load(self) -> None:
        self._file.seek(0)
        end = 0
        for number, line in enumerate(self._file, 1):
            if not line.endswith(b"\n"):
                break  # cut off when an earlier run was killed: scored again
            end += len(line)
            try:
                entry = json.loads(line)
                self._known[entry["sha256"], entry["file"]] = dict(entry["prediction"])
            except (ValueError, KeyError, TypeError) as error:
                raise PneumoError(
                    f"{self._path}: line {number} is no result of an earlier run", "--resume another file"
                ) from error
        self._file.truncate(end)

    def _append(self, entry: dict[str, Any]) -> None:
        with self._lock:
            self._file.write(json.dumps(entry).encode() + b"\n")
            self._file.flush()
