"""What is run on a host over SSH, by its own Python alone: probes, and steps that happen whole or not at all.

Sent with every request, behind the modules it imports: nothing of it is installed there. Reads a request (a line of
JSON, then the bytes of the trees that are to be copied) from stdin and says lines of JSON; the last one is the answer.
A step goes on when the link is cut: it ends there, well or undone, and leaves a line in
/var/lib/pneumoctl/steps.jsonl.
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
from typing import IO, Any

from pneumoctl.ssh.on_host.files import copy, holds, link, listing, run, text, write
from pneumoctl.ssh.on_host.leases import lease, locked, ours, release

Document = dict[str, Any]
KEPT = Path("/var/lib/pneumoctl")  # records, and what a step would undo
LONGEST_RECORD = 1_000_000  # bytes; then the older half goes
SAID = 20  # lines of a failed command that are told


class Failed(Exception):
    """An action failed; `code` is its exit code."""

    def __init__(self, what: str, code: int, said: str) -> None:
        super().__init__(what)
        self.told = what, code, said


class Ended(BaseException):
    """We were told to end (SIGTERM): the time is up, or the host goes down."""


def say(document: Document) -> None:
    """One line of JSON; nobody may be listening any more."""
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps(document) + "\n")
        sys.stdout.flush()


class Undo:
    """What files and links were before a step; kept on disk, so that a step that was killed can still be undone."""

    def __init__(self, title: str) -> None:
        self.folder = KEPT / "undo" / hashlib.sha256(title.encode()).hexdigest()[:16]

    def keep(self, path: Path) -> None:
        """Remember a file or link once; a killed attempt may have done so before us."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = self.folder / hashlib.sha256(str(path).encode()).hexdigest()[:16]
        if kept.exists():
            return
        was: Document = {"path": str(path)}
        if path.is_symlink():
            was["target"] = str(path.readlink())
        elif path.exists():
            state = path.stat()
            was |= {"mode": state.st_mode & 0o7777, "group": grp.getgrgid(state.st_gid).gr_name}
            was["content"] = path.read_bytes().decode("latin-1")
        write(kept, json.dumps(was).encode(), 0o600)

    def left(self) -> bool:
        """Whether the step was killed half-way, or runs now: nobody has judged yet what it wrote."""
        return any(self.folder.glob("[!.]*"))

    def back(self) -> None:
        """Everything as it was."""
        for kept in self.folder.glob("[!.]*"):
            was = json.loads(kept.read_text())
            path = Path(was["path"])
            if "target" in was:
                link(path, was["target"])
            elif "content" in was:
                write(path, was["content"].encode("latin-1"), was["mode"], was["group"])
            else:
                path.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def forget(self) -> None:
        """The step ended well: what it wrote is not to be undone, neither by another that was killed before it."""
        for kept in self.folder.glob("[!.]*"):
            for older in self.folder.parent.glob(f"*/{kept.name}"):
                older.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)


def stands(title: str, probes: list[Document]) -> bool:
    """Whether a step was done to its end and still holds."""
    return not Undo(title).left() and holds(probes)


def act(request: Document, stream: IO[bytes]) -> Document:
    """Do a step, or undo what was done of it. Refused without a lease; waits for a step that still runs here."""
    step = request["step"]
    note = {"title": step["title"], "run": request["run"]}
    with locked("step.lock", wait=lambda: say({"event": "waiting", "for": last_record()})):
        if not ours(request):
            return {"state": "lost"}
        if not step["check"] and stands(step["title"], step["unless"]):
            return {"state": "skip"}
        record({**note, "event": "begin"})
        try:
            said = carry_out(step, stream)
        except (Failed, OSError, Ended) as error:
            what, code, said = getattr(error, "told", (str(error), 1, ""))
            record({**note, "event": "failed", "what": what})
            return {"state": "failed", "what": what, "code": code, "said": said}
        record({**note, "event": "done"})
    return {"state": "done", "said": said}


def carry_out(step: Document, stream: IO[bytes]) -> str:
    """The actions of a step in order; returns what its last command said. When it raises, all is as before."""
    stage(step)
    undo = Undo(step["title"])
    said = ""
    try:
        for action in step["actions"]:
            said = do(action, undo, stream) or said
        for probe in step["good"]:
            said = must(probe)
    except BaseException:
        undo.back()
        for action in step["actions"]:
            if action["do"] == "service":
                run(action["argv"], action["timeout"])
        raise
    undo.forget()
    return said


def stage(step: Document) -> None:
    """Write the files of a step into a folder of their own, and have them judged there."""
    if not step["valid"]:
        return
    with tempfile.TemporaryDirectory(dir=KEPT, prefix="staged.") as folder:
        for action in step["actions"]:
            if action["do"] == "put":
                staged = Path(folder + action["path"])
                write(staged, action["text"].encode(), action["mode"], action["group"])
        Path(folder).chmod(0o711)  # a service's user may judge its own files
        for probe in step["valid"]:
            must({**probe, "argv": [word.replace("{staged}", folder) for word in probe["argv"]]})


def do(action: Document, undo: Undo, stream: IO[bytes]) -> str:
    """One action; returns what a command said."""
    if action["do"] in ("run", "service"):
        return must(action)
    path = Path(action["path"])
    if action["do"] == "copy":
        if not (path.is_dir() and listing(path) == action["digest"]):
            copy(path, action["digest"], action["size"], stream)
        else:
            stream.read(action["size"])
        return ""
    undo.keep(path)
    if action["do"] == "put":
        write(path, action["text"].encode(), action["mode"], action["group"])
    else:
        link(path, action["target"])
    return ""


def must(action: Document) -> str:
    """Run a command; Failed unless it succeeds."""
    code, out, err = run(action["argv"], action["timeout"])
    if code:
        last = "\n".join((out + err).strip().splitlines()[-SAID:])
        raise Failed(action["title"] or " ".join(action["argv"]), code, last)
    return out


def record(entry: Document) -> None:
    """A line about a step; a full disk keeps us from writing it, but from nothing else."""
    path = KEPT / "steps.jsonl"
    with contextlib.suppress(OSError):
        if path.exists() and path.stat().st_size > LONGEST_RECORD:
            write(path, path.read_bytes()[LONGEST_RECORD // 2 :].partition(b"\n")[2], 0o600)
        entry["at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


def last_record() -> Document:
    """The last line about a step."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        last: Document = json.loads((KEPT / "steps.jsonl").read_text().splitlines()[-1])
        return last
    return {}


def answer(request: Document, stream: IO[bytes]) -> Document:
    """What is asked for, as a document."""
    match request["op"]:
        case "probe":
            return {"done": [stands(title, probes) for title, probes in request["steps"]]}
        case "read":
            return {"texts": [text(path) for path in request["paths"]]}
        case "run":
            code, out, err = run(request["argv"], request["timeout"])
            return {"code": code, "stdout": out, "stderr": err}
        case "lease":
            return lease(request)
        case "release":
            return release(request)
        case _:
            return act(request, stream)


def end(*_: object) -> None:
    """The signal's handler."""
    raise Ended("told to end")


def main() -> None:
    """Answer one request."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the link may go; what was begun is ended
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end)
    os.umask(0o022)
    KEPT.mkdir(mode=0o711, parents=True, exist_ok=True)
    try:
        say({"answer": answer(json.loads(sys.stdin.buffer.readline()), sys.stdin.buffer)})
    except OSError as error:
        say({"answer": {"state": "failed", "what": "the host", "code": 1, "said": str(error)}})
