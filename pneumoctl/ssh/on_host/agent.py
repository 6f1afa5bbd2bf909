"""Answer one request on a host: run probes, read files, manage the lease, or carry out a step completely or not at all.

Reads a request (a line of JSON, then the bytes of the trees to be copied) from stdin and writes lines of JSON; the last
one is the answer.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from pneumoctl.ssh import on_host
from pneumoctl.ssh.on_host.operations import operation
from pneumoctl.ssh.on_host.streams import Terminated, Trees, emit


def terminate(*_: object) -> None:
    """Handle SIGTERM."""
    raise Terminated("terminated by a signal")


def main() -> None:
    """Answer one request."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a step that has begun continues without the connection
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, terminate)
    os.umask(0o022)
    os.makedirs(on_host.STATE, mode=0o711, exist_ok=True)
    request = json.loads(sys.stdin.buffer.readline())
    trees = Trees(sys.stdin.buffer, request.get("trees", 0))
    try:
        emit({"answer": operation(request["op"])(request, trees)})
    except OSError as error:
        emit({"answer": {"state": "failed", "what": "the host", "code": 1, "output": str(error)}})
    trees.read_rest()
