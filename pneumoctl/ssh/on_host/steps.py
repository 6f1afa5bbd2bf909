"""Carry out a step completely or not at all.

A step that has begun continues when the connection is lost: it ends on the host, done or undone, and is recorded in
/var/lib/pneumoctl/steps.jsonl.
"""

from __future__ import annotations

import contextlib
import json
import os
import time

from pneumoctl.ssh import on_host
from pneumoctl.ssh.on_host import TYPE_CHECKING
from pneumoctl.ssh.on_host.commands import Failed, all_succeed, execute, run_or_fail
from pneumoctl.ssh.on_host.files import content, link, write
from pneumoctl.ssh.on_host.leases import is_valid, locked
from pneumoctl.ssh.on_host.operations import module
from pneumoctl.ssh.on_host.streams import Terminated, emit
from pneumoctl.ssh.on_host.undo import Undo

if TYPE_CHECKING:
    from pneumoctl.ssh.on_host import Document
    from pneumoctl.ssh.on_host.streams import Trees

LONGEST_RECORD = 1_000_000  # bytes; beyond that the older half is dropped


def probe(request: Document, _: Trees) -> Document:
    """Which of the steps are done."""
    return {"done": [already_done(step, probes) for step, probes in request["steps"]]}


def already_done(step: str, probes: list[Document]) -> bool:
    """Whether a step was completed and its probes still succeed."""
    return not Undo(step).pending() and all_succeed(probes)


def act(request: Document, stream: Trees) -> Document:
    """Carry out a step, or undo what it changed. Refused without a valid lease; waits for a step that still runs."""
    step = request["step"]
    entry = {"title": step["title"], "run": request["run"]}
    with locked("step.lock", wait=lambda: emit({"event": "waiting", "for": last_record()})):
        if not is_valid(request):
            return {"state": "lost"}
        if not step["check"] and already_done(step["id"], step["done_if"]):
            return {"state": "skip"}
        record({**entry, "event": "begin"})
        try:
            output = carry_out(step, stream)
        except (Failed, OSError, Terminated) as error:
            what, code, output = getattr(error, "details", (str(error), 1, ""))
            record({**entry, "event": "failed", "what": what})
            return {"state": "failed", "what": what, "code": code, "output": output}
        record({**entry, "event": "done"})
    return {"state": "done", "output": output}


def carry_out(step: Document, stream: Trees) -> str:
    """Run the actions of a step in order and verify the result; returns the last output. Undoes all if it raises."""
    if step["validate"]:
        module("staged_files").validate(step)
    undo = Undo(step["id"])
    output = ""
    try:
        for action in step["actions"]:
            output = do(action, undo, stream) or output
        for probe in step["verify"]:
            output = run_or_fail(probe)
    except BaseException:
        undo.restore()
        for action in step["actions"]:
            if action["do"] == "service":
                execute(action["argv"], action["timeout"])
        raise
    undo.discard()
    return output


def do(action: Document, undo: Undo, stream: Trees) -> str:
    """Carry out one action; returns the output of its command."""
    if action["do"] in ("run", "service"):
        return run_or_fail(action)
    if action["do"] == "copy":
        module("trees").copy(action, stream)
        return ""
    undo.save(action["path"])
    if action["do"] == "put":
        write(action["path"], action["text"].encode(), action["mode"], action["group"])
    else:
        link(action["path"], action["target"])
    return ""


def record(entry: Document) -> None:
    """Append a line about a step. A failure, for example on a full disk, is ignored."""
    path = f"{on_host.STATE}/steps.jsonl"
    with contextlib.suppress(OSError):
        if os.path.exists(path) and os.stat(path).st_size > LONGEST_RECORD:
            write(path, content(path)[LONGEST_RECORD // 2 :].partition(b"\n")[2], 0o600)
        entry["at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with open(path, "a") as file:
            file.write(json.dumps(entry) + "\n")


def last_record() -> Document:
    """The last line about a step."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        last: Document = json.loads(content(f"{on_host.STATE}/steps.jsonl").splitlines()[-1])
        return last
    return {}
