"""A teardown that was interrupted or failed: `status` advises to complete it, and names what it has exported."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from pneumoctl.errors import Exit
from pneumoctl.results import transfer
from pneumoctl.stack import audit
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.common.faults import Fault

Document = Mapping[str, Any]
_WHAT = "a teardown was not completed"


def find(stack: Stack) -> dict[str, Any] | None:
    """A JSON document of the teardown that left the stack half removed; None if there is none.

    `exported`: the path of the results that it exported, empty if there is none; `directory`: whether the stack's
    directory is still complete, so that `up` can bring the stack back. Ask only while no other command holds the
    stack's lock; a terraform that a killed teardown left may still work. The audit record tells it: the last `up` or
    `teardown` is a teardown that did not end with success. One that failed before it changed anything does not count.
    """
    if not (stack.exists or stack.removed.exists()):
        return None
    entries = list[Document]()
    with suppress(OSError):
        entries = _without_unchanged(audit.chain(stack).entries())
    if not entries or entries[-1]["command"] != "teardown" or entries[-1].get("code") == Exit.DONE:
        return None
    begun = [entry["at"] for entry in entries if entry.get("run") == entries[-1].get("run")]
    return {"exported": _exported(stack, begun[0]), "directory": stack.exists}


def _without_unchanged(entries: Iterable[Document]) -> list[Document]:
    """The entries of `up` and `teardown`, without those that failed before they changed anything."""
    own = [entry for entry in entries if entry.get("command") in ("up", "teardown")]
    idle = {entry.get("run") for entry in own if entry.get("code") and entry.get("changed") == []}
    return [entry for entry in own if entry.get("run") not in idle]


def _exported(stack: Stack, since: str) -> str:
    """The last export, if it is not older than the teardown that began then."""
    left = stack if stack.exists else Stack(stack.name, stack.removed)
    export = transfer.last_export(left)
    with suppress(OSError, ValueError):
        if export and (left.directory / transfer.LAST).stat().st_mtime >= datetime.fromisoformat(since).timestamp():
            return str(export["path"])
    return ""


def fault(document: Document, destroys: bool = False) -> Fault:
    """The fault, from the document of `find`. `destroys`: terraform, left by the teardown, still destroys the stack."""
    what = "a teardown was killed, and its terraform still destroys the stack" if destroys else _WHAT
    if document["exported"]:
        what += f"; it has exported the results to {document['exported']}"
    if destroys:
        return Fault("", what, "pneumoctl teardown, which waits for it and completes the teardown")
    back = " (or pneumoctl up, which brings the stack back)" if document["directory"] else ""
    return Fault("", what, f"pneumoctl teardown, which completes it{back}")
