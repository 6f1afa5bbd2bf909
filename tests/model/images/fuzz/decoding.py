"""Decode damaged files in a process of their own, with limits of memory and CPU time, and judge each outcome."""

import ctypes
import os
import re
import resource
import signal
import tempfile
import time
import warnings
from collections.abc import Iterable
from io import BytesIO
from multiprocessing.connection import Connection
from typing import NamedTuple

from pydicom import dcmread
from pydicom.pixels import pixel_array

from model.images.decode import decode
from model.images.limits import WORKING_BYTES, Refused
from tests.model.images.fuzz.corpus import Whole
from tests.model.images.fuzz.damage import Twin

LIMIT_S = 2.0  # of CPU time for one file
_SLACK = 40_000_000  # bytes besides those of decoding: stacks, and what allocators keep
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_ALSO_GDCM = {"JPEG", "JPEG lossless", "JPEG-LS", "JPEG 2000"}
# libjpeg-turbo reads 8 bytes ahead: of so few before a restart it cannot tell that they are left over.
_READ_AHEAD = re.compile(r"(Corrupt JPEG data: [1-7] extraneous bytes before marker 0xd[0-7]\n?)+")


class Outcome(NamedTuple):
    """Of one file. `result`: "scored", or the code of its refusal, or "undecoded".

    `kind`: codec and damage. `failure`: what must not be, "" if all is well.
    """

    result: str
    cpu_s: float = 0.0
    kind: str = ""
    failure: str = ""
    is_same: bool = False  # the picture is that of the whole file


ASKING = Outcome("asking")  # another decoder is asked next, and may crash


class Printed:
    """What libraries write to the process' own stdout and stderr."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        for number in (1, 2):
            os.dup2(self._file.fileno(), number)
        self._flush = ctypes.CDLL(None).fflush

    def taken(self) -> str:
        """The text since the last call."""
        self._flush(None)
        size = os.fstat(self._file.fileno()).st_size
        if not size:
            return ""
        text = os.pread(self._file.fileno(), size, 0).decode(errors="replace")
        self._file.truncate(0)
        os.lseek(self._file.fileno(), 0, os.SEEK_SET)
        return text.strip()


def run(cases: Iterable[tuple[Whole, Twin, bytes]], outcomes: Connection) -> None:
    """Decode each twin and send its outcome; the third part of a case is the picture of the whole file."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    printed = Printed()
    _limit_memory()
    warnings.simplefilter("always")  # not only at the first file that gives one
    for whole, twin, picture in cases:
        _limit_time()
        outcome = _decoded(twin, picture, printed)._replace(kind=f"{whole.codec or 'other'}, {twin.kind}")
        if outcome.result == "scored" and not outcome.failure and twin.is_stream and whole.codec in _ALSO_GDCM:
            outcomes.send(ASKING)
            _limit_time()
            complaint = _complaint(whole, twin, printed)
            if _READ_AHEAD.fullmatch(complaint):
                outcome = outcome._replace(kind=f"{outcome.kind}, bytes left before a restart marker")
            elif complaint:
                outcome = outcome._replace(failure=f"scored, but GDCM says: {complaint}")
        outcomes.send(outcome)


def _limit_memory() -> None:
    with open("/proc/self/status") as file:  # noqa: PTH123
        used = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmData"))
    resource.setrlimit(resource.RLIMIT_DATA, (used + WORKING_BYTES + _SLACK,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_time() -> None:
    """The process is killed by SIGPROF once it has used this much CPU time from now on."""
    signal.setitimer(signal.ITIMER_PROF, LIMIT_S)


def _decoded(twin: Twin, picture: bytes, printed: Printed) -> Outcome:
    start, failure, is_same = time.process_time(), "", False
    try:
        grey = decode(twin.content).grey
        result, is_same = "scored", grey.tobytes() == picture
        if twin.shown:
            failure = "scored, but the stream shows the damage"
    except Refused as refused:
        result = refused.code
    except BaseException as error:
        result, failure = "undecoded", f"raised {error!r}"
    seconds = time.process_time() - start
    if text := printed.taken():
        failure = f"printed {text[:200]}"
    return Outcome(result, seconds, failure=failure, is_same=is_same)


def _complaint(whole: Whole, twin: Twin, printed: Printed) -> str:
    """What GDCM, which has decoders of its own, says of the damage; "" if it says so of the whole file, too."""
    said = _said(twin.content, printed)
    return "" if said and _said(whole.content, printed) else said


def _said(content: bytes, printed: Printed) -> str:
    failed = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pixel_array(dcmread(BytesIO(content)), raw=True, decoding_plugin="gdcm")
        except Exception as error:
            failed = repr(error)
    return printed.taken() or failed
