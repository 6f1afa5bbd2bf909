"""Answer one request on a host: run probes, read files, manage the lease, or carry out a step completely or not at all.

Reads a request (a line of JSON, then the bytes of the trees to be copied) from stdin and writes lines of JSON; the last
one is the answer. A step that has begun continues when the connection is lost: it ends on the host, done or undone, and
is recorded in /var/lib/pneumoctl/steps.jsonl.
"""

import contextlib
import grp
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pneumoctl.files import tree_digest
from pneumoctl.ssh.on_host import release_check
from pneumoctl.ssh.on_host.files import Trees, all_succeed, copy, link, run, text, write
from pneumoctl.ssh.on_host.leases import is_valid, lease, locked, release

Document = dict[str, Any]
STATE = Path("/var/lib/pneumoctl")  # records, and the earlier contents that an undo restores
LONGEST_RECORD = 1_000_000  # bytes; beyond that the older half is dropped
SHOWN = 20  # lines of a failed command's output that are returned


class Failed(Exception):
    """An action failed; `code` is its exit code."""

    def __init__(self, what: str, code: int, output: str) -> None:
        super().__init__(what)
        self.details = what, code, output


class Terminated(BaseException):
    """SIGTERM: the time limit was reached, or the host shuts down."""


def emit(document: Document) -> None:
    """Write one line of JSON; the reader may be gone."""
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps(document) + "\n")
        sys.stdout.flush()


class Undo:
    """The files and links before a step, saved on disk so that even a killed step can be undone."""

    def __init__(self, step: str) -> None:
        self.folder = STATE / "undo" / hashlib.sha256(step.encode()).hexdigest()[:16]

    def save(self, path: Path) -> None:
        """Save a file or link before it is changed. An older copy, which a killed attempt saved, is kept."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        saved = self.folder / hashlib.sha256(str(path).encode()).hexdigest()[:16]
        if saved.exists():
            return
        before: Document = {"path": str(path)}
        if path.is_symlink():
            before["target"] = str(path.readlink())
        elif path.exists():
            state = path.stat()
            before |= {"mode": state.st_mode & 0o7777, "group": grp.getgrgid(state.st_gid).gr_name}
            before["content"] = path.read_bytes().decode("latin-1")
        write(saved, json.dumps(before).encode(), 0o600)

    def pending(self) -> bool:
        """Whether the step was killed before its end, or still runs: its changes are not verified."""
        return any(self.folder.glob("[!.]*"))

    def restore(self) -> None:
        """Put every saved file and link back."""
        for saved in self.folder.glob("[!.]*"):
            before = json.loads(saved.read_text())
            path = Path(before["path"])
            if "target" in before:
                link(path, before["target"])
            elif "content" in before:
                write(path, before["content"].encode("latin-1"), before["mode"], before["group"])
            else:
                path.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def discard(self) -> None:
        """Delete the saved copies: the step succeeded, and its changes must not be undone later."""
        for saved in self.folder.glob("[!.]*"):
            for older in self.folder.parent.glob(f"*/{saved.name}"):
                older.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)


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
    validate(step)
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
                run(action["argv"], action["timeout"])
        raise
    undo.discard()
    return output


def validate(step: Document) -> None:
    """Write the files of a step into a temporary folder and check them there."""
    if not step["validate"]:
        return
    with tempfile.TemporaryDirectory(dir=STATE, prefix="staged.") as folder:
        for action in step["actions"]:
            if action["do"] == "put":
                staged = Path(folder + action["path"])
                write(staged, action["text"].encode(), action["mode"], action["group"])
        Path(folder).chmod(0o711)  # so that a service's user can read its own files
        for probe in step["validate"]:
            run_or_fail({**probe, "argv": [word.replace("{staged}", folder) for word in probe["argv"]]})


def do(action: Document, undo: Undo, stream: Trees) -> str:
    """Carry out one action; returns the output of its command."""
    if action["do"] in ("run", "service"):
        return run_or_fail(action)
    path = Path(action["path"])
    if action["do"] == "copy":
        if not (path.is_dir() and tree_digest(path) == action["digest"]):
            copy(path, action["digest"], action["size"], stream)
        else:
            stream.read(action["size"])
        return ""
    undo.save(path)
    if action["do"] == "put":
        write(path, action["text"].encode(), action["mode"], action["group"])
    else:
        link(path, action["target"])
    return ""


def run_or_fail(action: Document) -> str:
    """Run a command and return its stdout. Raises Failed if it exits with an error."""
    code, stdout, stderr = run(action["argv"], action["timeout"])
    if code:
        last = "\n".join((stdout + stderr).strip().splitlines()[-SHOWN:])
        raise Failed(action["title"] or " ".join(action["argv"]), code, last)
    return stdout


def record(entry: Document) -> None:
    """Append a line about a step. A failure, for example on a full disk, is ignored."""
    path = STATE / "steps.jsonl"
    with contextlib.suppress(OSError):
        if path.exists() and path.stat().st_size > LONGEST_RECORD:
            write(path, path.read_bytes()[LONGEST_RECORD // 2 :].partition(b"\n")[2], 0o600)
        entry["at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


def last_record() -> Document:
    """The last line about a step."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        last: Document = json.loads((STATE / "steps.jsonl").read_text().splitlines()[-1])
        return last
    return {}


def answer(request: Document, stream: Trees) -> Document:
    """The answer to a request."""
    match request["op"]:
        case "probe":
            return {"done": [already_done(step, probes) for step, probes in request["steps"]]}
        case "read":
            return {"texts": [text(path) for path in request["paths"]]}
        case "run":
            code, stdout, stderr = run(request["argv"], request["timeout"])
            return {"code": code, "stdout": stdout, "stderr": stderr}
        case "check_releases":
            return {"differences": release_check.differences(request["roots"])}
        case "lease":
            return lease(request)
        case "release":
            return release(request)
        case _:
            return act(request, stream)


def terminate(*_: object) -> None:
    """Handle SIGTERM."""
    raise Terminated("terminated by a signal")


def main() -> None:
    """Answer one request."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a step that has begun continues without the connection
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, terminate)
    os.umask(0o022)
    STATE.mkdir(mode=0o711, parents=True, exist_ok=True)
    request = json.loads(sys.stdin.buffer.readline())
    trees = Trees(sys.stdin.buffer, request.get("trees", 0))
    try:
        emit({"answer": answer(request, trees)})
    except OSError as error:
        emit({"answer": {"state": "failed", "what": "the host", "code": 1, "output": str(error)}})
    trees.read_rest()
