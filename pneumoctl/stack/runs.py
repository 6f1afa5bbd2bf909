"""The records of training runs on this machine: the order, its phases, and the receipt with the cost and the outcome.

Like the audit record they lie beside the stack's directory. Teardown removes that directory, but the cost of a GPU run
and its model must stay readable.
"""

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import write_atomically
from pneumoctl.stack import documents, ownership
from pneumoctl.stack.documents import Damaged
from pneumoctl.stack.stack import Stack

ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4}")
RECORD, RECEIPT, RESULTS = "record.json", "receipt.json", "results"
GPU, HERE = "gpu", "here"
ON_DEMAND, SPOT = "on-demand", "spot"
MINIMUM_S = 60  # EC2 bills at least a minute of every start


@dataclass(frozen=True)
class Run:
    """One run as ordered. Times are ISO 8601 in UTC; `phases`: (name, time), in order."""

    id: str
    stack: str
    where: str  # gpu or here
    created: str
    arguments: list[str]
    stall_s: int
    max_runtime_s: int
    data: str = ""  # digest of the data set's manifest
    max_cost_usd: float | None = None
    usd_per_hour: float | None = None
    deadline: str = ""
    instance: str = ""
    address: str = ""  # of a spot instance
    type: str = ""
    region: str = ""
    bucket: str = ""
    detached: bool = False
    pid: int = 0  # of the training process, if `where` is here
    attempt: int = 1  # increases with each resumption
    market: str = ON_DEMAND  # or spot: then `instance` was created for this attempt and is empty until it exists
    spot_retries: int = 0  # how many replacements are started after AWS reclaims an instance
    fallback: bool = False  # whether the stack's own host continues after the last retry, or without spot capacity
    phases: list[list[str]] = field(default_factory=list)

    @property
    def spot(self) -> bool:
        """Whether its host is a spot instance."""
        return self.market == SPOT

    @property
    def phase(self) -> str:
        """The name of the last phase reached."""
        return self.phases[-1][0] if self.phases else ""

    def with_phase(self, phase: str, at: datetime) -> "Run":
        """The same run with one more phase."""
        return replace(self, phases=[*self.phases, [phase, format_time(at)]])


@dataclass(frozen=True)
class Receipt:
    """How a run ended. `stopped` is None if the stop is not confirmed; `guard` names the guard that stopped the GPU."""

    run: str
    exit: int
    why: str  # done, failed, collapsed, not resumable, stopped, stalled, deadline, no gpu, lost, interrupted, ..
    message: str = ""
    guard: str = ""
    started: str | None = None
    stopped: str | None = None
    billed_s: int | None = None
    usd: float | None = None
    schedule: str = ""  # deleted; or kept, because the stop of the GPU is not confirmed
    attempt: int = 1  # the attempt that ended
    earlier: list[dict[str, Any]] = field(default_factory=list)  # receipts of earlier attempts


def billing_figures(started: datetime | None, stopped: datetime | None, usd_per_hour: float | None) -> dict[str, Any]:
    """The times and the cost of a receipt, from EC2's own times and the list price without disk and traffic."""
    if started is None or stopped is None:
        return {"started": format_time(started) if started else None, "stopped": None}
    seconds = max(round((stopped - started).total_seconds()), 0)
    usd = None if usd_per_hour is None else round(max(seconds, MINIMUM_S) / 3600 * usd_per_hour, 4)
    return {"started": format_time(started), "stopped": format_time(stopped), "billed_s": seconds, "usd": usd}


def format_time(moment: datetime) -> str:
    """A time as the records store it: ISO 8601 in UTC, whole seconds."""
    return moment.astimezone(UTC).isoformat("T", "seconds")


def new_id(now: datetime) -> str:
    """A new run id; ids sort by time."""
    return f"{now.astimezone(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def runs_directory(stack: Stack) -> Path:
    """The directory of all runs of a stack."""
    return stack.directory.with_name(f"{stack.name}.runs")


def run_directory(stack: Stack, run: str) -> Path:
    """The directory of one run. Raises PneumoError (usage) if `run` is not a valid run id."""
    if not ID.fullmatch(run):
        raise PneumoError(f"{run!r} is not a run id", "pneumoctl runs ls", Exit.USAGE)
    return runs_directory(stack) / run


def results_directory(stack: Stack, run: str) -> Path:
    """The results of a run: bundle, history and log, from the bucket or written on this machine."""
    return run_directory(stack, run) / RESULTS


def save(stack: Stack, run: Run) -> None:
    """Write the record atomically."""
    ownership.require_writable(stack.directory)
    _write(run_directory(stack, run.id) / RECORD, asdict(run))


def save_receipt(stack: Stack, receipt: Receipt) -> None:
    """Write the receipt; the receipt of an earlier attempt is appended to its `earlier`."""
    previous = load_receipt(stack, receipt.run)
    if previous is not None and previous.attempt == receipt.attempt:
        receipt = replace(receipt, earlier=previous.earlier)
    elif previous is not None:
        old = asdict(previous)
        receipt = replace(receipt, earlier=[*old.pop("earlier"), old])
    path = run_directory(stack, receipt.run) / RECEIPT
    if previous is None and path.exists():  # damaged
        path.replace(path.with_name(f"{RECEIPT}.damaged"))
    _write(path, asdict(receipt))


def load(stack: Stack, run: str) -> Run:
    """Read a run. Raises PneumoError if there is no such run, or its record is damaged."""
    record = _read_run(run_directory(stack, run))
    if record is None:
        raise PneumoError(f"stack {stack.name} has no run {run}", "pneumoctl runs ls", Exit.USAGE)
    return record


def load_receipt(stack: Stack, run: str) -> Receipt | None:
    """The receipt of the last attempt that has one, None if no attempt has.

    A damaged receipt counts as none: then the run is open, and the next command that ends it writes a new one.
    """
    path = run_directory(stack, run) / RECEIPT
    try:
        return documents.load(path, partial(documents.parse, Receipt))
    except Damaged as error:
        documents.warn_once(f"{error.message}; the run counts as open: pneumoctl runs show {run}")
        return None


def final_receipt(stack: Stack, run: Run) -> Receipt | None:
    """The receipt of the run's last attempt; None if it is still running, or its end has not been recorded."""
    receipt = load_receipt(stack, run.id)
    return receipt if receipt and receipt.attempt >= run.attempt else None


def load_all(stack: Stack) -> list[Run]:
    """All runs that have a record, oldest first. A damaged one is left out with a warning: the others must go on."""
    records = []
    for folder in sorted(path for path in runs_directory(stack).glob("*") if ID.fullmatch(path.name)):
        try:
            records.append(_read_run(folder))
        except Damaged as error:
            documents.warn_once(f"{error.message}; left out. Whether a GPU costs money: pneumoctl gpu status")
    return [run for run in records if run]


def is_closed(stack: Stack, run: Run) -> bool:
    """Whether the run has ended and its GPU is confirmed stopped; a receipt without that confirmation is not enough."""
    receipt = final_receipt(stack, run)
    return receipt is not None and receipt.exit != Exit.GPU_NOT_STOPPED


def list_open(stack: Stack, where: str = GPU) -> list[Run]:
    """Runs that have not ended, or whose GPU is not confirmed stopped; oldest first."""
    return [run for run in load_all(stack) if run.where == where and not is_closed(stack, run)]


def _write(path: Path, document: Mapping[str, Any]) -> None:
    write_atomically(path, (json.dumps(document, indent=2) + "\n").encode(), 0o600)


def _read_run(folder: Path) -> Run | None:
    hint = f"restore it from a backup; the receipt and results beside it stay, and other runs do not need it: {folder}"
    return documents.load(folder / RECORD, partial(documents.parse, Run), hint)
