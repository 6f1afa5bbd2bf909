"""Create the GPU host where AWS has capacity: in any zone that offers its type, then of the next type allowed."""

from collections.abc import Iterator
from typing import Any

from pneumoctl.aws import prices
from pneumoctl.aws.bill import money
from pneumoctl.aws.terraform.plan_json import Saved
from pneumoctl.errors import PneumoError
from pneumoctl.stack.settings import gpu_choices
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.provisioning import provision, quotas
from pneumoctl.terminal.console import console

SUBNET = "aws_subnet.train"


def apply(context: Context, saved: Saved) -> None:
    """Apply a plan. If only the GPU host fails, for lack of capacity, move its subnet to another zone and try again.

    Raises PneumoError, also if there is no capacity for any type in any zone.
    """
    failure = _failure(context, saved)
    if failure is None:
        return
    for kind, zone in _alternatives(context):
        price = money(prices.current(context.aws, {kind}).of(kind), 4, "an hour")
        console.note(f"AWS has no capacity for the GPU host: trying {kind} in {zone} ({price})", "yellow")
        options = (f"-var=gpu_type={kind}", f"-var=gpu_zone={zone}", f"-replace={SUBNET}")
        failure = _failure(context, provision.save_plan(context, options=options))
        if failure is None:
            return
    choices = gpu_choices(context.settings)
    others = ", ".join(kind for kind in quotas.offered_gpus(context.aws) if kind not in choices)
    raise PneumoError(
        f"no zone of {context.settings.region} has capacity for {' or '.join(choices)} now: {failure.message}",
        f"run the same command later; or name more types in gpu_types: {others}; or set gpu_host = false",
        failure.code,
        **failure.details,
    ) from failure


def _alternatives(context: Context) -> Iterator[tuple[str, str]]:
    """The types and zones that were not tried yet."""
    resources, first = context.terraform.resources(), context.gpu_type
    tried = {(first, resource.values["availability_zone"]) for resource in resources if resource.address == SUBNET}
    for kind in dict.fromkeys((first, *gpu_choices(context.settings))):
        for zone in quotas.zones(context.aws, kind):
            if (kind, zone) not in tried:
                yield kind, zone


def _failure(context: Context, saved: Saved) -> PneumoError | None:
    """Apply a plan; returns the error if AWS only had no capacity for the GPU host, and raises any other."""
    try:
        provision.apply(context, saved)
    except PneumoError as error:
        failed: Any = error.details.get("failed", ())
        only_gpu = {each["address"] for each in failed} == {provision.GPU_ADDRESS}
        if error.details.get("terraform") != "capacity" or not only_gpu:
            raise
        return error
    return None
