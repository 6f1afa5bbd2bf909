"""The cost of a stack as priced lines: the difference made by terraform's changes, and the cost so far. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from pneumoctl.aws.ec2 import ROLE_TAG
from pneumoctl.aws.prices import DISK, IPV4, LOGS, NAT, NAT_GB, S3, Prices
from pneumoctl.aws.terraform.plan_json import Change

HOURS = 730  # of a month, as AWS counts
LEFT_OUT = (
    "data transfer, requests, stored objects, flow logs, CPU credits, taxes, and hours before a host's last start"
)
RUNNING = ("pending", "running")


@dataclass(frozen=True)
class BillLine:
    """A priced resource; `usd_per_hour` is None if the price is unknown. `note`: additional costs, or when it bills."""

    address: str
    what: str
    usd_per_hour: float | None
    note: str = ""

    @property
    def usd_per_month(self) -> float | None:
        """The price of 730 hours."""
        return None if self.usd_per_hour is None else self.usd_per_hour * HOURS


@dataclass(frozen=True)
class Bill:
    """Priced lines; their total is a lower bound where `at_least`. The prices are of `date`, from `source`."""

    lines: tuple[BillLine, ...]
    date: str
    source: str

    @property
    def usd_per_hour(self) -> float:
        """The sum of the lines with a known price."""
        return sum(line.usd_per_hour or 0.0 for line in self.lines)

    @property
    def usd_per_month(self) -> float:
        """The price of 730 hours."""
        return self.usd_per_hour * HOURS

    @property
    def at_least(self) -> bool:
        """Whether a price is missing."""
        return any(line.usd_per_hour is None for line in self.lines)

    def of(self, address: str) -> list[BillLine]:
        """The lines of one resource."""
        return [line for line in self.lines if line.address == address]

    def as_dict(self) -> dict[str, Any]:
        """The JSON value."""
        lines = [{**asdict(line), **_sums(line)} for line in self.lines]
        prices = {"date": self.date, "source": self.source}
        return {"lines": lines, **_sums(self), "at_least": self.at_least, "prices": prices}


def _sums(item: BillLine | Bill) -> dict[str, float | None]:
    sums = {"usd_per_hour": item.usd_per_hour, "usd_per_month": item.usd_per_month}
    return {name: None if usd is None else round(usd, 6) for name, usd in sums.items()}


def changed(changes: Iterable[Change], prices: Prices) -> Bill:
    """The difference that each change makes: positive for what is created, negative for what is destroyed."""
    lines: list[BillLine] = []
    for change in changes:
        address, kind = change.address, change.type
        before = _by_what(_lines(address, kind, change.before, prices) if change.action != "create" else ())
        after = _by_what(_lines(address, kind, change.after, prices) if change.action != "delete" else ())
        for what in {**after, **before}:
            lines.append(_difference(before.get(what), after.get(what)))
    return Bill(tuple(lines), prices.date, prices.source)


def money(usd: float | None, digits: int = 2, per: str = "", plus: str = "") -> str:
    """A sum as text: `$1.01`, `$1.01 an hour`, `unknown`, or `price unknown`.

    `per`: what it is the price of, such as "an hour". `plus`: the sign of a positive sum.
    """
    if usd is None:
        return "price unknown" if per else "unknown"
    sign = "-" if round(usd, digits) < 0 else plus
    return f"{sign}${abs(usd):.{digits}f}" + (f" {per}" if per else "")


def sums(bill: Bill, plus: str = "") -> str:
    """The sums of a bill as text: per hour and per month, and whether prices are missing. `plus`: see money."""
    hour, month = money(bill.usd_per_hour, 4, "an hour", plus), money(bill.usd_per_month, 2, "a month", plus)
    return f"{hour}, {month} of {HOURS} hours{without(bill.at_least)}"


def without(at_least: bool) -> str:
    """What follows a sum of prices. `at_least`: whether a price is missing in it."""
    return ", without the unknown prices" if at_least else ""


@dataclass(frozen=True)
class BilledResource:
    """A resource that costs money now. `since`: its start; None: assume that of the stack's oldest resource."""

    line: BillLine
    since: datetime | None


@dataclass(frozen=True)
class CostSoFar:
    """An estimate of the cost so far, and what it leaves out."""

    usd: float
    at_least: bool
    each: tuple[tuple[BilledResource, float | None], ...]
    leaves_out: str = LEFT_OUT


def so_far(billed: Sequence[BilledResource], now: datetime) -> CostSoFar:
    """The hours since each resource was created, times its price."""
    oldest = min((item.since for item in billed if item.since), default=now)
    each = []
    for item in billed:
        hours = max((now - (item.since or oldest)).total_seconds(), 0.0) / 3600
        rate = item.line.usd_per_hour
        each.append((item, None if rate is None else rate * hours))
    total = sum(usd for _, usd in each if usd is not None)
    return CostSoFar(total, any(usd is None for _, usd in each), tuple(each))


def instance_line(address: str, kind: str, running: bool, prices: Prices) -> BillLine:
    """An instance; a stopped one bills its disk only."""
    usd = prices.of(kind)
    if running:
        return BillLine(address, kind, usd)
    return BillLine(address, kind, 0.0, f"stopped; {money(usd, 4, 'an hour')} while it runs")


def disk_line(address: str, gigabytes: float, kind: str, prices: Prices) -> BillLine:
    """An EBS volume, which bills while it exists."""
    usd = prices.of(DISK) if kind == "gp3" else None
    return BillLine(address, f"disk {gigabytes:g} GB {kind}", None if usd is None else usd * gigabytes / HOURS)


def nat_line(address: str, prices: Prices) -> BillLine:
    """A NAT gateway's hours; its traffic is billed in addition."""
    traffic = money(prices.of(NAT_GB), 3, "per GB")
    return BillLine(address, "NAT gateway", prices.of(NAT), f"its traffic in addition: {traffic}")


def address_line(address: str, prices: Prices) -> BillLine:
    """A public IPv4 address, in use or not."""
    return BillLine(address, "public IPv4", prices.of(IPV4))


def _lines(address: str, kind: str, values: Mapping[str, Any], prices: Prices) -> Iterator[BillLine]:
    match kind:
        case "aws_instance":
            yield instance_line(address, values.get("instance_type", "?"), _runs(values), prices)
            for disk in values.get("root_block_device") or ():
                yield disk_line(address, disk.get("volume_size") or 0, disk.get("volume_type") or "gp3", prices)
        case "aws_nat_gateway":
            yield nat_line(address, prices)
        case "aws_eip":
            yield address_line(address, prices)
        case "aws_s3_bucket":
            yield BillLine(address, "bucket", 0.0, money(prices.of(S3), 4, "per GB and month stored"))
        case "aws_flow_log":
            yield BillLine(address, "flow logs", 0.0, money(prices.of(LOGS), 2, "per GB written"))


def _runs(values: Mapping[str, Any]) -> bool:
    """Whether the instance will run: a plan lacks the state of a new host, and `up` stops the training host."""
    if (values.get("tags") or {}).get(ROLE_TAG) == "train":
        return False
    return (values.get("instance_state") or "running") in RUNNING


def _by_what(lines: Iterable[BillLine]) -> dict[str, BillLine]:
    return {line.what: line for line in lines}


def _difference(before: BillLine | None, after: BillLine | None) -> BillLine:
    line = after or before
    assert line is not None  # at least one of them exists
    if after is None:
        return replace(line, usd_per_hour=None if line.usd_per_hour is None else -line.usd_per_hour, note="")
    if before is None:
        return line
    both_priced = before.usd_per_hour is not None and after.usd_per_hour is not None
    moved = (after.usd_per_hour or 0.0) - (before.usd_per_hour or 0.0)
    return replace(line, usd_per_hour=moved if both_priced else None)
