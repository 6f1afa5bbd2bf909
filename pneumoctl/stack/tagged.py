"""A stack for a command that asks AWS by tags: files of this machine, also damaged ones, prevent nothing."""

from contextlib import suppress
from dataclasses import replace

from pneumoctl.errors import PneumoError
from pneumoctl.stack.saved import Cloud
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack, find


def resolve(settings: Settings) -> tuple[Settings, Stack]:
    """The stack that the settings name, and the settings with target aws.

    The region and the profile that this machine has saved count only if the settings name no other region.
    """
    stack, region, profile = find(settings.stack), settings.region, settings.profile
    cloud = saved_cloud(stack)
    if cloud is not None and region in ("", cloud.region):
        region, profile = cloud.region, profile or cloud.profile
    return replace(settings, target="aws", region=region, profile=profile), stack


def saved_cloud(stack: Stack) -> Cloud | None:
    """The location of the stack on aws that this machine has saved; None also if it cannot be read."""
    with suppress(PneumoError):
        return stack.cloud()
    return None
