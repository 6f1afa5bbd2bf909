"""What AWS says about a stack, for the overview; or why it says nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pneumoctl.aws import prices, spending
from pneumoctl.aws.bill import Bill
from pneumoctl.aws.ec2 import HALTED, HALTING, Instance
from pneumoctl.errors import PneumoError
from pneumoctl.gpu import orphans, stop
from pneumoctl.gpu.scheduled_stop import Lease
from pneumoctl.stack import runs
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import context


@dataclass(frozen=True)
class CloudState:
    """The instances of a stack, the leases of its GPU hosts by instance id, and its bill.

    `error`: why AWS did not answer, or None. `gpu_unknown`: whether there may be a GPU host that it did not tell about.
    """

    region: str
    instances: Sequence[Instance] = ()
    leases: Mapping[str, Lease] = field(default_factory=dict)
    bill: Bill | None = None
    error: PneumoError | None = None
    gpu_unknown: bool = False

    def document(self) -> dict[str, Any]:
        """The part of the overview that only AWS knows."""
        return {
            "gpu_running": self._unguarded(),
            "gpu_unknown": self.gpu_unknown,
            "runs": [{"run": lease.run, "until": runs.format_time(lease.until)} for lease in self.leases.values()],
            "aws_error": self.error.message if self.error else "",
            "aws_next": self.error.hint if self.error else "",
            "bill": _priced(self.bill),
        }

    def _unguarded(self) -> list[str]:
        """The GPU hosts that are billed without a run."""
        hosts = [instance for instance in self.instances if instance.role == "train"]
        return [host.name for host in hosts if host.state not in HALTING | HALTED and host.id not in self.leases]


def ask(settings: Settings, stack: Stack) -> CloudState:
    """Ask AWS. The bill is by the bundled prices, because AWS's own price list may be slow."""
    aws, _ = context.login(settings, stack)
    instances = aws.instances(settings.stack)
    leases = orphans.leases(aws, instances, settings.stack)
    listed = prices.bundled(aws.region)
    lines = tuple(resource.line for resource in spending.billed(aws, settings.stack, listed))
    return CloudState(aws.region, instances, leases, Bill(lines, listed.date, listed.source))


def without_answer(settings: Settings, stack: Stack, error: PneumoError) -> CloudState:
    """The state if AWS did not answer. Its error is that with exit code 7 if there may be a GPU host."""
    may_have_gpu = context.may_have_gpu(stack)
    prevented = stop.prevented(settings, stack.name, error) if may_have_gpu else error
    return CloudState(settings.region, error=prevented, gpu_unknown=may_have_gpu)


def _priced(total: Bill | None) -> dict[str, Any] | None:
    if total is None:
        return None
    document = total.as_dict()
    return {name: document[name] for name in ("usd_per_hour", "usd_per_month", "at_least", "prices")}
