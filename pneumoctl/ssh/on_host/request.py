"""The process that answers one request: it ends by itself, whatever becomes of the agent and of the connection."""

from __future__ import annotations

import os
import signal

from pneumoctl.ssh.on_host import TYPE_CHECKING
from pneumoctl.ssh.on_host.frames import ANSWER
from pneumoctl.ssh.on_host.operations import operation
from pneumoctl.ssh.on_host.streams import Output, Terminated, connect

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import IO, NoReturn

    from pneumoctl.ssh.on_host import Document
    from pneumoctl.ssh.on_host.streams import Trees

KILL_AFTER_S = 20  # between the time limit, at which a step is undone, and the end of the process by force


def start(number: int, request: Document, trees: IO[bytes], others: Collection[int]) -> tuple[int, int]:
    """Start the process; returns its id and the pipe with its frames. `others`: pipes that are not for it."""
    reading, writing = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # the agent's handler is not for this process
    pid = os.fork()
    if pid == 0:
        for pipe in (reading, *others):
            os.close(pipe)
        _answer(Output(writing, number), request, trees)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    os.close(writing)
    return pid, reading


def _answer(output: Output, request: Document, trees: Trees) -> NoReturn:
    """Answer the request, and end this process."""
    try:
        _separate()
        _limit(request["limit"])
        connect(output)
        output.write(ANSWER, _carry_out(request, trees))
    finally:
        os._exit(0)


def _carry_out(request: Document, trees: Trees) -> Document:
    try:
        return operation(request["op"])(request, trees)
    except OSError as error:
        what, why = "the host", str(error)
    except Terminated:
        what, why = "the host", f"it was killed, or did not end within {request['limit']:.0f} s"
    except Exception as error:  # a bug; it must not be taken for the end of the host
        what, why = "the agent", f"unexpected error, please report it ({type(error).__name__}: {error})"
    return {"state": "failed", "what": what, "code": 1, "output": why}


def _separate() -> None:
    """Leave the agent's session and its input and output: commands of this request cannot write into its frames."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)


def _limit(seconds: float) -> None:
    """At the time limit, end this process and its commands, as `timeout -k` does."""

    def late(*_: object) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(KILL_AFTER_S)
        os.killpg(0, signal.SIGTERM)

    signal.signal(signal.SIGALRM, late)
    signal.signal(signal.SIGTERM, _terminate)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _terminate(*_: object) -> None:
    raise Terminated("terminated by a signal")
