"""The deadline of a run on the GPU follows from its limits of time and cost."""

from dataclasses import replace
from typing import Any

import pytest

from pneumoctl.aws import prices
from pneumoctl.aws.prices import Prices
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack import runs
from pneumoctl.stack.runs import Run
from pneumoctl.training import order as on_aws
from pneumoctl.training.request import TrainingRequest
from tests.pneumoctl.gpu_simulation import AT, FakeAws, GpuSimulation

REQUEST = TrainingRequest("", (), 7200, None, 1800, resume=False, detach=False)


def priced(monkeypatch: pytest.MonkeyPatch, usd: float | None) -> Any:
    price_list = {} if usd is None else {"g5.xlarge": usd}
    listed = Prices("eu-west-1", "2026-11-23", "test", price_list)
    monkeypatch.setattr(prices, "current", lambda *_: listed)
    return FakeAws(GpuSimulation())


def ordered(**more: Any) -> Run:
    return Run("20261123-060000-a1b2", "t", "gpu", runs.format_time(AT), [], 1800, 0, type="g5.xlarge", **more)


def test_the_deadline_is_whichever_of_time_and_cost_is_up_first(monkeypatch: pytest.MonkeyPatch) -> None:
    aws = priced(monkeypatch, 1.2)
    by_time = on_aws._with_limits(aws, ordered(), replace(REQUEST, max_cost=100.0), AT)
    assert (by_time.max_runtime_s, by_time.deadline) == (7200, "2026-11-23T08:00:00+00:00")
    by_cost = on_aws._with_limits(aws, ordered(), replace(REQUEST, max_cost=0.6), AT)
    assert (by_cost.max_runtime_s, by_cost.deadline) == (1800, "2026-11-23T06:30:00+00:00")
    with pytest.raises(PneumoError, match="less than a minute") as caught:
        on_aws._with_limits(aws, ordered(), replace(REQUEST, max_cost=0.01), AT)
    assert caught.value.code == Exit.PREFLIGHT


def test_an_unknown_price_refuses_a_cost_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    aws = priced(monkeypatch, None)
    assert on_aws._with_limits(aws, ordered(), REQUEST, AT).usd_per_hour is None
    with pytest.raises(PneumoError, match="is unknown") as caught:
        on_aws._with_limits(aws, ordered(), replace(REQUEST, max_cost=5.0), AT)
    assert caught.value.code == Exit.PREFLIGHT
