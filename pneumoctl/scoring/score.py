"""Score files one after another or in threads, on this machine or through a stack's API."""

import errno
import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar

from model.bundle import BundleError
from model.serving.explain import heat_map
from model.serving.operating_points import Point
from model.serving.predict import DEFAULTS, Classifier, Prepared
from model.serving.prediction import Choices, Prediction, Scoring
from pneumoctl import installation
from pneumoctl.atomic import replace_file
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.scoring.find_files import STDIN
from pneumoctl.scoring.resume_file import Scorer, Unwritten

if TYPE_CHECKING:
    from concurrent.futures import Future

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_BYTES = 128_000_000  # a film of 40 million values of 16 bits has 80 million
# The peak memory of scoring one file on this machine: its bytes, what decoding adds (model.images.WORKING_BYTES), and
# what the allocator has not returned from the file before.
HERE_BYTES = 480_000_000
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class FileResult:
    """The outcome of one file: a prediction document or an error message, never both.

    unwritten: why a prediction has no heat map, report or line of --resume that was asked for; the prediction stands.
    """

    file: str
    document: Prediction | None
    error: str | None = None
    unwritten: str | None = None


class Model(NamedTuple):
    """The arguments of `local_scorer`."""

    directory: Path | None
    jobs: int
    explain: Path | None
    choices: Choices = DEFAULTS


def default_jobs(files: int, each: int = HERE_BYTES) -> int:
    """The number of threads or processes: one a core, at most one a file, within half the free memory.

    `each` is the peak memory of one file in bytes.
    """
    most = min(files, _cores())
    return max(1, min(most, free_memory() // 2 // each)) if most > 1 else 1


def _cores() -> int:
    return min(len(os.sched_getaffinity(0)), 8)


def free_memory() -> int:
    """Bytes of memory that are free on this machine and in this process's control group."""
    import psutil

    free = int(psutil.virtual_memory().available)
    try:
        limit, used = (int((_CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        lines = (_CGROUP / "memory.stat").read_text().splitlines()
        cached = next(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    except (OSError, ValueError, StopIteration):  # no control groups, or "max"
        return free
    return max(0, min(free, limit - used + cached))


def local_scorer(
    directory: Path | None, jobs: int, explain: Path | None, choices: Choices = DEFAULTS
) -> tuple["LocalScorer", Scoring, Point]:
    """A scorer on this machine, what it depends on, and its operating point or threshold.

    jobs: how many pictures are scored at the same time, whose networks share the cores. Overlays go to the folder
    `explain`, named by prediction.
    ONNX Runtime is loaded here and pydicom with the first DICOM file; neither belongs to the base install.
    """
    try:
        classifier = Classifier.open(directory, 0 if jobs == 1 else max(1, _cores() // jobs), choices)
        scoring, point = classifier.scoring, classifier.point
    except BundleError as error:
        raise PneumoError(f"the model cannot be used: {error}", "pneumoctl predict --model DIR") from error
    except ImportError as error:
        raise _missing(error) from error
    except ValueError as error:  # no such operating point
        raise PneumoError(str(error), "pneumoctl predict --help", Exit.USAGE) from error
    if explain:
        _make(explain)

    return LocalScorer(classifier, explain), scoring, point


class LocalScorer:
    """Scores on this machine: at once, or in two steps, which `Classifier.prepare` explains."""

    def __init__(self, classifier: Classifier, explain: Path | None) -> None:
        self._classifier, self.explain = classifier, explain

    def __call__(self, content: bytes, file: str) -> Prediction:
        """The prediction of a file's bytes."""
        return self.finish(self.prepare(content, file))

    def prepare(self, content: bytes, file: str) -> Prepared:
        """Do what comes before the network; the picture is kept only for a heat map."""
        prepared = self._classifier.prepare(content, file)
        return prepared if self.explain else prepared._replace(picture=None)

    def finish(self, prepared: Prepared) -> Prediction:
        """The prediction of a prepared file, and its heat map in the folder `explain`; raises Unwritten without one."""
        prediction = self._classifier.finish(prepared)
        if self.explain and prediction["finding"] and prepared.picture:
            grey, path = prepared.picture.grey, self.explain / f"{prediction['id']}.png"
            _, error = attempt(lambda: _draw_overlay(self._classifier, grey, path))
            if error is not None:
                raise Unwritten(prediction, f"no heat map: {error}")
        return prediction


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PneumoError(
            f"{directory}: {error.strerror}", "name a folder that can be written: --explain DIR"
        ) from error


def _draw_overlay(classifier: Classifier, grey: Any, path: Path) -> None:
    drawn = BytesIO()
    heat_map(classifier, grey).save(drawn, "PNG")
    replace_file(path, drawn.getvalue(), 0o644)


def _missing(error: ImportError) -> PneumoError:
    return installation.missing_package("scoring on this machine", error, "predict")


def score_all(files: Iterable[str], scorer: Scorer, jobs: int) -> Iterator[FileResult]:
    """Score every file in threads and yield the outcomes in the order of the files, with few files in memory."""
    return in_order(files, partial(score_file, scorer), jobs)


def in_order(items: Iterable[Item], function: Callable[[Item], Result], jobs: int) -> Generator[Result, None, None]:
    """The results of a function in the order of its items, computed in `jobs` threads, few of them ahead."""
    if jobs == 1:
        yield from map(function, items)
        return

    from concurrent.futures import ThreadPoolExecutor  # which loads logging: not for a single file

    pool = ThreadPoolExecutor(jobs)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def score_file(scorer: Scorer, file: str) -> FileResult:
    """Read and score a file; whatever fails is the error of this file."""
    try:
        document, error = attempt(lambda: scorer(read(file), file))
    except Unwritten as failure:
        return FileResult(file, as_document_of(file, failure.document), unwritten=failure.reason)
    return FileResult(file, document and as_document_of(file, document), error)


def as_document_of(file: str, document: Prediction) -> Prediction:
    """A copy of the document with this name of its file."""
    document = document.copy()
    document["file"] = file
    return document


def attempt(function: Callable[[], Result]) -> tuple[Result | None, str | None]:
    """The result of a function that reads or scores a file, or None and why it failed."""
    try:
        return function(), None
    except PneumoError as error:
        return None, error.message
    except OSError as error:
        return None, f"it cannot be written: {error.strerror or error}"
    except MemoryError:
        return None, "too large for this machine's memory"
    except ArithmeticError as error:
        return None, str(error)
    except ImportError as error:
        missing = _missing(error)
        return None, f"{missing.message}: {missing.hint}"


def read(file: str) -> bytes:
    """The bytes of a file, or of stdin. Raises PneumoError if it cannot be read or is too large."""
    try:
        if file == STDIN:
            content = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(file).open("rb") as stream:
                content = _content(stream)
    except OSError as error:
        closed = file == STDIN and error.errno == errno.EBADF
        why = "standard input is closed" if closed else error.strerror or str(error)
        raise PneumoError(f"cannot be read: {why}") from error
    if len(content) > MAX_BYTES:
        raise PneumoError(f"larger than {MAX_BYTES // 1_000_000} MB")
    return content


def _content(stream: BinaryIO) -> bytes:
    """All bytes, at most MAX_BYTES + 1. To ask for as many at once would allocate them for every small file."""
    expected = min(os.fstat(stream.fileno()).st_size, MAX_BYTES) + 1
    content = stream.read(expected)
    return content if len(content) < expected else content + stream.read(MAX_BYTES + 1 - expected)
