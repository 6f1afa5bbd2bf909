"""The GPU host is made in the first zone with capacity; other failures and those of other resources end the apply."""

from dataclasses import replace
from typing import Any

import pytest

from pneumoctl.aws.terraform.plan_json import Saved
from pneumoctl.aws.terraform.state import Resource
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.targets.aws import gpu_zones, provision, quotas
from tests.pneumoctl.examples import aws_context

SUBNET = Resource("aws_subnet.train", "aws_subnet", "subnet-1", {"availability_zone": "eu-west-1a"})


class Applies:
    """Applies that fail in order; the options of the plans, the first one included."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *failures: PneumoError | None) -> None:
        self.failures, self.plans = list(failures), [()]
        monkeypatch.setattr(provision, "apply", self._apply)
        monkeypatch.setattr(provision, "save_plan", self._plan)
        monkeypatch.setattr(quotas, "zones", lambda *_: ["eu-west-1a", "eu-west-1b", "eu-west-1c"])
        monkeypatch.setattr(quotas, "offered_gpus", lambda _: ["g4dn.xlarge", "g5.xlarge"])
        context: Any = aws_context(None)
        self.context = replace(context, terraform=self)

    def resources(self) -> list[Resource]:
        return [SUBNET]

    def run(self) -> None:
        gpu_zones.apply(self.context, Saved(None, 1, False))  # type: ignore[arg-type]

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


def test_the_other_zones_are_tried_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    applies = Applies(monkeypatch, failure(), failure(), None)
    applies.run()
    again = [(f"-var=gpu_zone=eu-west-1{letter}", "-replace=aws_subnet.train") for letter in "bc"]
    assert applies.plans == [(), *again]


def test_another_type_is_named_if_no_zone_has_capacity(monkeypatch: pytest.MonkeyPatch) -> None:
    applies = Applies(monkeypatch, failure(), failure(), failure())
    with pytest.raises(PneumoError, match=r"for g5\.xlarge now \(eu-west-1a, eu-west-1b, eu-west-1c\)") as caught:
        applies.run()
    assert caught.value.code == Exit.PARTLY and "another type: g4dn.xlarge;" in caught.value.hint


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
