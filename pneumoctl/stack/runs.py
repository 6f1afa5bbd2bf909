"""Training runs as they are kept here: what was ordered, its phases, and the receipt of what it cost and who ended it.

They lie beside the stack's directory, as its audit record does: teardown removes that directory, and what a GPU has
cost, and the model that came of it, must still be readable then.
"""

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import write_atomically
from pneumoctl.stack import ownership
from pneumoctl.stack.stack import Stack

ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4}")
RECORD, RECEIPT, RESULTS = "record.json", "receipt.json", "results"
GPU, HERE = "gpu", "here"
ON_DEMAND, SPOT = "on-demand", "spot"
MINIMUM_S = 60  # EC2 bills at least a minute of every start


class _Document:
    """Reads itself from JSON; what a newer pneumoctl added is left out."""

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Self:
        """TypeError if something is missing."""
        names = {one.name for one in fields(cls)}  # type: ignore[arg-type]
        return cls(**{name: value for name, value in found.items() if name in names})


@dataclass(frozen=True)
class Run(_Document):
    """One run as it was ordered. Times are ISO 8601 in UTC; `phases`: (name, when), in order."""

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
    pid: int = 0  # here: of the process that trains
    attempt: int = 1  # grows with each resumption
    market: str = ON_DEMAND  # or spot: then `instance` was made for this attempt, and is empty until it is there
    spot_retries: int = 0  # how often another is taken when AWS took one back
    fallback: bool = False  # whether then, or where there is none, the stack's own host goes on
    phases: list[list[str]] = field(default_factory=list)

    @property
    def spot(self) -> bool:
        """Whether its host is a spot instance."""
        return self.market == SPOT

    @property
    def phase(self) -> str:
        """The last that was reached."""
        return self.phases[-1][0] if self.phases else ""

    def with_phase(self, phase: str, at: datetime) -> "Run":
        """The same run, one phase on."""
        return replace(self, phases=[*self.phases, [phase, format_time(at)]])


@dataclass(frozen=True)
class Receipt(_Document):
    """How a run ended. `stopped` None: not confirmed. `guard`: which of the guards ended the GPU's bill."""

    run: str
    exit: int
    why: str  # done, failed, collapsed, stopped, stalled, deadline, no gpu, lost, interrupted, ..
    message: str = ""
    guard: str = ""
    started: str | None = None
    stopped: str | None = None
    billed_s: int | None = None
    usd: float | None = None
    schedule: str = ""  # deleted, or kept because nobody knows that the GPU is off
    attempt: int = 1  # of the run, that ended so
    earlier: list[dict[str, Any]] = field(default_factory=list)  # receipts of the same run before it was resumed


def billing_figures(started: datetime | None, stopped: datetime | None, usd_per_hour: float | None) -> dict[str, Any]:
    """The receipt's figures, from EC2's own times; the price is a list price without disk and traffic."""
    if started is None or stopped is None:
        return {"started": format_time(started) if started else None, "stopped": None}
    seconds = max(round((stopped - started).total_seconds()), 0)
    usd = None if usd_per_hour is None else round(max(seconds, MINIMUM_S) / 3600 * usd_per_hour, 4)
    return {"started": format_time(started), "stopped": format_time(stopped), "billed_s": seconds, "usd": usd}


def format_time(moment: datetime) -> str:
    """A time as the records spell it."""
    return moment.astimezone(UTC).isoformat("T", "seconds")


def new_id(now: datetime) -> str:
    """Sorts by time."""
    return f"{now.astimezone(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def runs_directory(stack: Stack) -> Path:
    """Where all runs of a stack are."""
    return stack.directory.with_name(f"{stack.name}.runs")


def run_directory(stack: Stack, run: str) -> Path:
    """Where one run is. PneumoError (usage) for what cannot be the name of one."""
    if not ID.fullmatch(run):
        raise PneumoError(f"{run!r} is no run's name", "pneumoctl runs ls", Exit.USAGE)
    return runs_directory(stack) / run


def results_directory(stack: Stack, run: str) -> Path:
    """What the run made: bundle, history, log, as it lay in the bucket or was written here."""
    return run_directory(stack, run) / RESULTS


def save(stack: Stack, run: Run) -> None:
    """Write the record, whole or not at all."""
    ownership.refuse_root(stack.directory)
    _write(run_directory(stack, run.id) / RECORD, asdict(run))


def save_receipt(stack: Stack, receipt: Receipt) -> None:
    """Write the receipt; that of an earlier attempt becomes a part of it."""
    before = load_receipt(stack, receipt.run)
    if before is not None and before.attempt == receipt.attempt:
        receipt = replace(receipt, earlier=before.earlier)
    elif before is not None:
        old = asdict(before)
        receipt = replace(receipt, earlier=[*old.pop("earlier"), old])
    _write(run_directory(stack, receipt.run) / RECEIPT, asdict(receipt))


def load(stack: Stack, run: str) -> Run:
    """PneumoError if there is none of that name, or its record is damaged."""
    found: Run | None = _read(run_directory(stack, run) / RECORD, Run.from_dict)
    if found is None:
        raise PneumoError(f"stack {stack.name} has no run {run}", "pneumoctl runs ls", Exit.USAGE)
    return found


def load_receipt(stack: Stack, run: str) -> Receipt | None:
    """The last, None where there is none."""
    found: Receipt | None = _read(run_directory(stack, run) / RECEIPT, Receipt.from_dict)
    return found


def final_receipt(stack: Stack, run: Run) -> Receipt | None:
    """The receipt of its last attempt; None: it goes on, or nobody saw its end yet."""
    found = load_receipt(stack, run.id)
    return found if found and found.attempt >= run.attempt else None


def load_all(stack: Stack) -> list[Run]:
    """All runs whose record can be read, oldest first."""
    names = sorted(one.name for one in runs_directory(stack).glob("*") if ID.fullmatch(one.name))
    found = (_read(runs_directory(stack) / name / RECORD, Run.from_dict) for name in names)
    return [one for one in found if one]


def is_closed(stack: Stack, run: Run) -> bool:
    """Whether its end was seen, and the GPU off after it; a receipt that knows neither is none to rest on."""
    found = final_receipt(stack, run)
    return found is not None and found.exit != Exit.GPU_NOT_STOPPED


def list_open(stack: Stack, where: str = GPU) -> list[Run]:
    """Runs whose end, or whose GPU off after it, nobody has seen; oldest first."""
    return [one for one in load_all(stack) if one.where == where and not is_closed(stack, one)]


def _write(path: Path, document: Mapping[str, Any]) -> None:
    write_atomically(path, (json.dumps(document, indent=2) + "\n").encode(), 0o600)


def _read(path: Path, kind: Any) -> Any:
    try:
        return kind(json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ownership.unreadable(path, error) from error
    except (ValueError, TypeError) as error:
        raise PneumoError(f"{path} is damaged: {error}", f"mend or move {path.parent}") from error
