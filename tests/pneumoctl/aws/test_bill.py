"""The cost of resources, of changes and until now, computed without AWS."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pneumoctl.aws.bill import BilledResource, BillLine, changed, money, so_far, sums
from pneumoctl.aws.prices import Prices
from pneumoctl.aws.terraform.plan_json import Change

USD = {"t3.micro": 0.01, "t3.small": 0.02, "g5.xlarge": 1.0, "nat": 0.045, "nat_gb": 0.05, "ipv4": 0.005}
PRICES = Prices("eu-west-1", "2026-01-19", "a table", {**USD, "gp3_gb_month": 0.073})


def resource(address: str, kind: str, values: dict[str, Any] | None = None) -> Change:
    """Something that is made."""
    return Change(address, kind, "create", {}, values or {})


def instance(kind: str, role: str = "web", gigabytes: int = 20, **more: object) -> dict[str, Any]:
    disk = [{"volume_size": gigabytes, "volume_type": "gp3"}]
    return {"instance_type": kind, "root_block_device": disk, "tags": {"pneumoctl:role": role}, **more}


def shown(lines: tuple[BillLine, ...]) -> list[tuple[str, float | None]]:
    return [(line.what, None if line.usd_per_hour is None else round(line.usd_per_hour, 5)) for line in lines]


def test_a_running_stack() -> None:
    bill = changed(
        [
            resource('aws_instance.host["web-0"]', "aws_instance", instance("t3.small")),
            resource("aws_nat_gateway.main", "aws_nat_gateway", {}),
            resource('aws_eip.host["nginx"]', "aws_eip", {}),
            resource("aws_vpc.main", "aws_vpc", {}),
            resource("aws_s3_bucket.main", "aws_s3_bucket", {}),
            resource("aws_flow_log.main", "aws_flow_log", {}),
        ],
        PRICES,
    )
    assert shown(bill.lines) == [
        ("t3.small", 0.02),
        ("disk 20 GB gp3", 0.002),
        ("NAT gateway", 0.045),
        ("public IPv4", 0.005),
        ("bucket", 0.0),
        ("flow logs", 0.0),
    ]
    assert bill.usd_per_hour == pytest.approx(0.072)
    assert bill.usd_per_month == pytest.approx(0.072 * 730)
    assert not bill.at_least
    assert bill.date == "2026-01-19"
    assert "per GB" in bill.of("aws_nat_gateway.main")[0].note
    assert bill.of("aws_s3_bucket.main")[0].note == "price unknown"


def test_a_stopped_host_costs_its_disk_only() -> None:
    (line, disk) = changed(
        [resource("h", "aws_instance", instance("t3.small", instance_state="stopped"))], PRICES
    ).lines
    assert (line.usd_per_hour, disk.usd_per_hour) == (0.0, pytest.approx(0.002))
    assert line.note == "stopped; $0.0200 an hour while it runs"


def test_the_training_host_ends_stopped_whatever_it_was_at_its_first_boot() -> None:
    planned = resource("t", "aws_instance", instance("g5.xlarge", "train", 100))
    assert shown(changed([planned], PRICES).lines) == [("g5.xlarge", 0.0), ("disk 100 GB gp3", 0.01)]

    before = instance("g5.xlarge", "train", 100, instance_state="running")
    after = instance("g5.xlarge", "train", 100)
    replaced = changed([Change("t", "aws_instance", "replace", before, after)], PRICES)
    assert replaced.usd_per_hour == 0  # it was stopped, and will be


def test_an_unknown_price_is_left_out_of_the_sums_and_said() -> None:
    bill = changed([resource("h", "aws_instance", instance("m9.huge")), resource("e", "aws_eip", {})], PRICES)
    assert bill.at_least
    assert bill.lines[0].usd_per_month is None
    assert money(bill.lines[0].usd_per_hour) == "unknown"
    assert sums(bill) == "$0.0070 an hour, $5.11 a month of 730 hours, without the unknown prices"
    assert bill.as_dict()["lines"][0]["usd_per_hour"] is None


def test_changes_can_raise_and_lower_the_bill() -> None:
    bill = changed(
        [
            Change("new", "aws_eip", "create", {}, {}),
            Change("old", "aws_nat_gateway", "delete", {}, {}),
            Change(
                "grown", "aws_instance", "update", instance("t3.micro"), instance("t3.micro", gigabytes=20, ami="x")
            ),
            Change("swapped", "aws_instance", "replace", instance("t3.micro"), instance("t3.small")),
        ],
        PRICES,
    )
    assert shown(bill.lines) == [
        ("public IPv4", 0.005),
        ("NAT gateway", -0.045),
        ("t3.micro", 0.0),
        ("disk 20 GB gp3", 0.0),
        ("t3.small", 0.02),
        ("disk 20 GB gp3", 0.0),
        ("t3.micro", -0.01),
    ]
    assert bill.usd_per_hour == pytest.approx(-0.03)
    assert money(bill.usd_per_hour) == "-$0.03"


def test_nothing_changed_costs_nothing() -> None:
    bill = changed([], PRICES)
    assert (bill.usd_per_hour, bill.at_least, money(bill.usd_per_hour)) == (0, False, "$0.00")


def test_the_cost_so_far_counts_from_each_creation() -> None:
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    things = [
        BilledResource(BillLine("web-0", "t3.small", 0.02), now - timedelta(hours=10)),
        BilledResource(BillLine("nat", "NAT gateway", 0.045), now - timedelta(hours=20)),
        BilledResource(BillLine("eip", "public IPv4", 0.005), None),  # AWS does not say: as old as the oldest
        BilledResource(BillLine("odd", "m9.huge", None), now - timedelta(hours=1)),
        BilledResource(BillLine("clock", "t3.micro", 0.01), now + timedelta(minutes=3)),  # their clock is ahead of ours
    ]
    spent = so_far(things, now)
    assert [usd for _, usd in spent.each] == [pytest.approx(0.2), pytest.approx(0.9), pytest.approx(0.1), None, 0.0]
    assert spent.usd == pytest.approx(1.2)
    assert spent.at_least
    assert "data transfer" in spent.leaves_out


def test_so_far_of_nothing() -> None:
    assert so_far([], datetime.now(UTC)).usd == 0
