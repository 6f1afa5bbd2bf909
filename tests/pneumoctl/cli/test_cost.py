"""`pneumoctl cost` before the first `up`: what the plan will cost, and nothing so far."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.aws import prices
from pneumoctl.aws.prices import IPV4, Prices
from pneumoctl.aws.terraform.plan_json import Change, Planned
from pneumoctl.cli.main import run
from pneumoctl.errors import Exit
from pneumoctl.targets.aws import plan
from pneumoctl.targets.aws.provisioning import provision
from tests.pneumoctl.examples import aws_context

PRICES = Prices("eu-west-1", "2026-01-19", "bundled price list", {IPV4: 0.005, "t3.small": 0.02})
CHANGES = (
    Change("aws_eip.nat", "aws_eip", "create", {}, {"domain": "vpc"}),
    Change('aws_instance.host["web-0"]', "aws_instance", "create", {}, {"instance_type": "t3.small"}),
    Change("aws_vpc.main", "aws_vpc", "create", {}, {}),
)


@pytest.fixture(autouse=True)
def _nothing_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plan, "prepared", lambda *_: nullcontext(aws_context(None)))
    monkeypatch.setattr(provision, "plan", lambda _: Planned(CHANGES, (), Path("p"), no_op=False))
    monkeypatch.setattr(prices, "current", lambda *_: PRICES)


def test_before_the_first_up_the_plan_is_priced(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cost", "--target", "aws", "--json"]) == Exit.DONE
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["usd_so_far"] == 0 and document["usd_per_hour"] == 0.025
    assert [line["address"] for line in document["lines"]] == ["aws_eip.nat", 'aws_instance.host["web-0"]']


def test_the_text_says_that_nothing_is_billed_yet(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PNEUMO_TARGET", "aws")
    assert run(["cost"]) == Exit.DONE
    output = capsys.readouterr().out
    assert "$0.0250 an hour, $18.25 a month" in output and "nothing so far" in output


def test_a_stack_on_this_machine_still_costs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cost"]) == Exit.FAILED
    assert "pneumoctl up --target aws" in capsys.readouterr().err
