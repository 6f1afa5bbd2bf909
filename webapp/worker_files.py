"""The files in which the workers of one application share their metrics. They survive a full disk or a damaged file."""

import errno
import fcntl
import logging
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import values
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

log = logging.getLogger(__name__)
DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
# The size in bytes of a worker's two files. One histogram series takes 3,100 bytes; there are at most about 250 series.
# A counter takes about 150 bytes, and there are some 25 of them for each version of the model that has results.
SIZES = {"counter": 1 << 17, "histogram": 1 << 20}
_UNREADABLE = (OSError, ValueError, TypeError, AttributeError, LookupError, RuntimeError, struct.error)


def reserve() -> None:
    """Allocate this worker's files before anything is counted.

    The files are mapped into memory. If the disk is full when a process first writes to a page of such a file, Linux
    kills the process (SIGBUS). If the disk is already full now, this worker counts in its own memory only.
    """
    directory = os.environ.get(DIRECTORY)
    if directory is None:
        return
    with _locked(Path(directory)):
        _shrink(Path(directory))
        try:
            for kind, size in SIZES.items():
                _allocate(Path(directory) / f"{kind}_{os.getpid()}.db", size)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            log.warning("%s is full: the counts of this worker stay in its memory and are in no metrics", directory)
            values.ValueClass = values.MutexValue


def _allocate(path: Path, size: int) -> None:
    with path.open("ab") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError:
            path.unlink()
            raise


def _shrink(directory: Path) -> None:
    """Truncate the files of ended workers to the size in use: a worker that keeps ending must not fill the disk."""
    for file in directory.glob("*_*.db"):
        pid = file.stem.rpartition("_")[2]
        if pid.isdecimal() and not Path("/proc", pid).exists():
            with file.open("r+b") as left:
                used = int.from_bytes(left.read(4), "little")
                if used < file.stat().st_size:
                    left.truncate(used)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold a lock, so that no worker truncates the file of a worker that is starting."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


class WorkerFiles(MultiProcessCollector):
    """Adds up the files of all workers, and leaves out those that cannot be read."""

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client's Collector."""
        return self.merge([str(file) for file in sorted(Path(self._path).glob("*.db")) if self._readable(file)])

    def _readable(self, file: Path) -> bool:
        try:
            if not file.stat().st_size:  # what a worker leaves that was killed in its first instants
                return False
            self.merge([str(file)])
        except _UNREADABLE as error:
            log.warning("%s is left out of the metrics: %s: %s", file, type(error).__name__, error)
            return False
        return True
