"""What `train`, `runs` and `teardown` share of a run on the GPU: what it stands on, its end, its results at home."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import scheduled_stop
from pneumoctl.gpu.signals import Interrupts, unheard
from pneumoctl.stack import audit, runs
from pneumoctl.stack.runs import Run
from pneumoctl.stack.stack import Stack
from pneumoctl.terminal.console import console
from pneumoctl.training import artifacts, finalize, spot
from pneumoctl.training import session as training
from pneumoctl.training.artifacts import Store
from pneumoctl.training.host_link import SshLink, at
from pneumoctl.training.outcome import Ended
from pneumoctl.training.progress import line
from pneumoctl.training.run_context import Closed, Done, Ground

PLAIN_S = 30.0  # between plain lines where there is no terminal


def training_host(aws: "Aws", stack: "Stack") -> "Instance":
    """The stack's GPU host as EC2 sees it. PneumoError (exit 4) if there is none, with the command that makes it."""
    known = stack.hosts()
    ids = {host.instance_id for host in known.hosts if host.role == "train"} if known else set()
    found = [one for one in aws.instances(stack.name) if one.role == "train" and one.id in ids]
    if not found:
        hint = "PNEUMO_GPU_HOST=true pneumoctl up   (it ends stopped; keep gpu_host = true in pneumo.toml)"
        raise PneumoError(f"stack {stack.name} has no GPU host yet", hint, Exit.PREFLIGHT)
    return found[0]


def host_of(aws: "Aws", stack: "Stack", run: "Run") -> "Instance":
    """Where a run is or was: the stack's GPU host, or the spot instance that was made for it."""
    if not run.spot:
        return training_host(aws, stack)
    return spot.of(aws, run) or spot.gone(run)


def ground(aws: "Aws", stack: "Stack", host: "Instance", run: "Run") -> "Ground":
    """What a session stands on. PneumoError if the stack's hosts are not known."""
    known = stack.hosts()
    if known is None:
        raise PneumoError(f"stack {stack.name} has no hosts yet", "pneumoctl up")

    def reach(host: "Instance") -> SshLink:
        return SshLink(stack, at(known, host.id, host.private_ip), aws.console_output, aws.off)

    shown, store = unheard(Shown(aws, run)), Store(aws, run.bucket, run.id)
    return Ground(aws, stack, host, reach(host), store, shown, unheard(console.note), reach)


@dataclass
class Shown:
    """Draws progress: beside a spinner on a terminal; elsewhere a line at each change of phase or epoch, or a while."""

    aws: "Aws"
    run: "Run"
    _told: tuple[Any, ...] = ()
    _at: float = 0.0

    def __call__(self, news: Mapping[str, Any]) -> None:
        from rich.markup import escape

        text, key = line(news, self._usd()), (news.get("phase"), news.get("epoch"), bool(news.get("gpu")))
        console.busy(escape(text))
        if key != self._told or time.monotonic() - self._at > PLAIN_S:
            if key != self._told or not console.rich(stderr=True).is_terminal:
                console.note(f"  {text}")
            self._told, self._at = key, time.monotonic()

    def _usd(self) -> float | None:
        since = datetime.fromisoformat(self.run.deadline) - timedelta(seconds=self.run.max_runtime_s)
        spent = (scheduled_stop.now(self.aws) - since).total_seconds() / 3600
        return None if self.run.usd_per_hour is None else self.run.usd_per_hour * spent


def collect(aws: "Aws", stack: "Stack", host: "Instance", run: "Run", verb: str = "") -> "Closed":
    """The receipt of a run whose end nobody here saw; the GPU is proven off. `verb`: what ends it if it goes on."""
    going_on = verb and host.state in ("pending", "running")
    ended = Ended("cancelled", f"by pneumoctl {verb}") if going_on else Ended("over")
    return finalize.close(ground(aws, stack, host, run), run, Done(starting=True, begun=True), ended)


def cancel(aws: "Aws", stack: "Stack", run: "Run") -> int:
    """End a run that goes on. Where its own pneumoctl follows it, that one does the rest."""
    host = host_of(aws, stack, run)
    lease = scheduled_stop.covering(scheduled_stop.listed(aws, stack.name), host.id, scheduled_stop.now(aws))
    if host.state in ("pending", "running") and lease and lease.run != run.id:
        raise PneumoError(f"it is run {lease.run} that goes on there", f"pneumoctl runs cancel {lease.run}", Exit.USAGE)
    stands = ground(aws, stack, host, run)
    session = training.Session(stands, run)
    session.done = Done(starting=True, begun=True)

    def wind_down() -> Ended:
        console.note("asking the run to stop with a checkpoint (100 s at most); Ctrl-C stops the GPU at once")
        session.wind_down()
        return Ended("cancelled", "by pneumoctl runs cancel", Exit.DONE)

    try:
        with stack.locked("runs cancel"), audit.kept(stack, "runs cancel", {"run": run.id}) as act:
            act.begin(audit.digest(run))
            with Interrupts(lambda text: console.note(text, "yellow")) as interrupts:
                closed = training.conduct(session, interrupts, wind_down)
            assert closed is not None  # only a course leaves a run alone
            return finish(stack, stands.store, run, closed)
    except PneumoError as error:
        if error.code != Exit.LOCKED:
            raise
    stands.link.stop_run()
    stands.link.close()
    console.result({"stack": stack.name, "run": run.id, "changed": ["asked to stop"]})
    console.text(f"run {run.id} is asked to stop with a checkpoint; who follows it stops the GPU")
    return 0


def finish(stack: "Stack", store: "Store", run: "Run", closed: "Closed") -> int:
    """What it made comes home, the GPU being off; then how it ended is the exit code."""
    receipt = closed.receipt
    told = {"run": run.id, "receipt": asdict(receipt)}
    if closed.trouble is not None:
        closed.trouble.details |= told
        raise closed.trouble
    good = receipt.exit == 0
    try:
        if not fetch(stack, store, run, good) and receipt.why == "done":
            raise PneumoError(f"run {run.id} is done, but left no bundle", "pneumoctl runs logs", Exit.TRAINING_FAILED)
    except PneumoError as error:
        if good:
            error.details |= told
            raise
    if good:
        return 0
    bill = "" if receipt.billed_s is None else f"; the GPU is off after {receipt.billed_s} s{_usd(receipt.usd)}"
    message = f"run {run.id}: {receipt.why}: {receipt.message or 'nothing more is known'}{bill}"
    hint = f"pneumoctl runs logs {run.id}; to go on from its checkpoint: pneumoctl train --gpu --resume"
    raise PneumoError(message, hint, receipt.exit, **told)


def _usd(usd: float | None) -> str:
    return "" if usd is None else f" and about ${usd:.2f}"


def fetch(stack: "Stack", store: "Store", run: "Run", tell: bool = True) -> bool:
    """Results to the run's directory here, the bundle verified; told as the result of the command.

    Whether there is a bundle.
    """
    folder = runs.results(stack, run.id)
    names = store.fetch(folder)
    bundle = artifacts.sound(folder)
    if not tell:
        return bundle is not None
    receipt = runs.receipt_of(stack, run.id)
    shown = asdict(receipt) if receipt else None
    console.result({"stack": stack.name, "run": asdict(run), "receipt": shown, "files": names, "bundle": bundle})
    if receipt and receipt.billed_s is not None:
        console.text(
            f"run {run.id}: {receipt.why}; the GPU is off, billed {receipt.billed_s} s{_usd(receipt.usd)}, "
            f"ended by: {receipt.guard}"
        )
    if bundle:
        console.text(f"model {bundle['name']} {bundle['version']}: {bundle['folder']}")
    console.text(f"{len(names)} files: {folder}")
    return bundle is not None
