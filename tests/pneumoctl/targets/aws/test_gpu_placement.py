"""The GPU host is made where AWS has capacity: in another zone, of another type. Other failures end the apply."""

from dataclasses import replace
from typing import Any

import pytest

from pneumoctl.aws import prices
from pneumoctl.aws.terraform.plan_json import Saved
from pneumoctl.aws.terraform.state import Resource
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.targets.aws import gpu_placement, provision, quotas
from tests.pneumoctl.examples import aws_context

SUBNET = Resource("aws_subnet.train", "aws_subnet", "subnet-1", {"availability_zone": "eu-west-1a"})


class Applies:
    """Applies that fail in order; the options of the plans, the first one included."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *failures: PneumoError | None) -> None:
        self.failures, self.plans = list(failures), [()]
        monkeypatch.setattr(provision, "apply", self._apply)
        monkeypatch.setattr(provision, "save_plan", self._plan)
        zones = {"g5.xlarge": ["eu-west-1a", "eu-west-1b"], "g4dn.xlarge": ["eu-west-1a"]}
        monkeypatch.setattr(quotas, "zones", lambda _, kind: zones[kind])
        monkeypatch.setattr(quotas, "offered_gpus", lambda _: ["g4dn.xlarge", "g5.xlarge", "g6.xlarge"])
        monkeypatch.setattr(prices, "current", lambda *_: prices.bundled("eu-west-1"))
        context: Any = aws_context(None, gpu_types="g4dn.xlarge")
        self.context = replace(context, terraform=self)

    def resources(self) -> list[Resource]:
        return [SUBNET]

    def run(self) -> None:
        gpu_placement.apply(self.context, Saved(None, 1, False))  # type: ignore[arg-type]

    def _apply(self, *_: object) -> None:
        failure = self.failures.pop(0)
        if failure is not None:
            raise failure

    def _plan(self, _: object, options: tuple[str, ...]) -> str:
        self.plans.append(options)
        return "plan"


def failure(*addresses: str, kind: str = "capacity") -> PneumoError:
    failed = [{"address": address} for address in addresses or (provision.GPU_ADDRESS,)]
    return PneumoError("terraform apply failed", "", Exit.PARTLY, terraform=kind, failed=failed)


def test_an_apply_that_succeeds_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    applies = Applies(monkeypatch, None)
    applies.run()
    assert applies.plans == [()]


def test_the_other_zones_are_tried_and_then_the_other_types(monkeypatch: pytest.MonkeyPatch) -> None:
    applies = Applies(monkeypatch, failure(), failure(), None)
    applies.run()
    again = [("g5.xlarge", "eu-west-1b"), ("g4dn.xlarge", "eu-west-1a")]
    options = [(f"-var=gpu_type={kind}", f"-var=gpu_zone={zone}", "-replace=aws_subnet.train") for kind, zone in again]
    assert applies.plans == [(), *options]


def test_more_types_are_named_if_there_is_no_capacity_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    applies = Applies(monkeypatch, failure(), failure(), failure())
    with pytest.raises(PneumoError, match=r"no zone of .* has capacity for g5\.xlarge or g4dn\.xlarge now") as caught:
        applies.run()
    assert caught.value.code == Exit.PARTLY and "more types in gpu_types: g6.xlarge;" in caught.value.hint


@pytest.mark.parametrize(
    "other",
    [
        failure(kind="vcpu"),
        failure(provision.GPU_ADDRESS, "aws_nat_gateway.main"),
        failure('aws_instance.host["web-0"]'),
    ],
)
def test_another_failure_ends_the_apply(monkeypatch: pytest.MonkeyPatch, other: PneumoError) -> None:
    applies = Applies(monkeypatch, other)
    with pytest.raises(PneumoError) as caught:
        applies.run()
    assert caught.value is other and applies.plans == [()]
