"""The plan of a stack on aws as text."""

from pathlib import Path

import pytest

from pneumoctl.aws import bill
from pneumoctl.aws.prices import IPV4, Prices
from pneumoctl.aws.terraform.plan_json import Change, Planned
from pneumoctl.targets.aws import plan
from pneumoctl.terminal.console import console

PRICES = Prices("eu-west-1", "2026-01-19", "bundled price list", {IPV4: 0.005})


def planned(*changes: Change) -> Planned:
    return Planned(changes, (), Path("plan"), not changes)


def test_similar_resources_without_a_price_are_one_row(capsys: pytest.CaptureFixture[str]) -> None:
    rules = [Change(f'aws_rule.flow["{n}"]', "aws_rule", "create", {}, {}) for n in range(3)]
    eip = Change("aws_eip.nat", "aws_eip", "create", {}, {"domain": "vpc"})
    wider = Change("aws_rule.ssh", "aws_rule", "update", {"cidr": "a"}, {"cidr": "b"})
    whole = planned(*rules, eip, wider)
    console.show(plan.blocks(whole, bill.changed(whole.changes, PRICES)))
    output = capsys.readouterr().out
    assert "aws_rule.flow x 3" in output and "aws_rule.ssh: cidr" in output
    assert (
        "$0.0050" in output
        and "the price of the stack changes by +$0.0050 an hour, +$3.65 a month" in output
        and "2026-01-19" in output
    )
    assert "+4, ~1 resources" in output


def test_an_unchanged_plan_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    console.show(plan.blocks(planned(), bill.changed((), PRICES)))
    assert "nothing to do" in capsys.readouterr().out
