"""Create the GPU host in a zone that has capacity for it: each zone that offers its type is tried in turn."""

from typing import Any

from pneumoctl.aws.terraform.plan_json import Saved
from pneumoctl.errors import PneumoError
from pneumoctl.targets.aws import provision, quotas
from pneumoctl.targets.aws.context import Context
from pneumoctl.terminal.console import console

SUBNET = "aws_subnet.train"


def apply(context: Context, saved: Saved) -> None:
    """Apply a plan. If only the GPU host fails, for lack of capacity, move its subnet to the next zone and try again.

    Raises PneumoError. Another type, which has another price, is only named in the hint.
    """
    failure = _failure(context, saved)
    if failure is None:
        return
    kind, resources = context.settings.gpu_type, context.terraform.resources()
    tried = [str(resource.values["availability_zone"]) for resource in resources if resource.address == SUBNET]
    for zone in [zone for zone in quotas.zones(context.aws, kind) if zone not in tried]:
        console.note(f"AWS has no capacity for {kind} in {', '.join(tried)}: trying {zone}", "yellow")
        tried.append(zone)
        options = (f"-var=gpu_zone={zone}", f"-replace={SUBNET}")
        failure = _failure(context, provision.save_plan(context, options=options))
        if failure is None:
            return
    others = ", ".join(other for other in quotas.offered_gpus(context.aws) if other != kind)
    raise PneumoError(
        f"no zone of {context.settings.region} has capacity for {kind} now ({', '.join(tried)}): {failure.message}",
        f"run the same command later; or set gpu_type to another type: {others}; or gpu_host = false",
        failure.code,
        **failure.details,
    ) from failure


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
