"""What stopped a GPU host: pneumoctl, its own timer, the training unit, the schedule or somebody else."""

import re

from pneumoctl.ssh import serial_console

SCHEDULE, TIMER, UNIT, CLIENT, OTHER = "schedule", "host timer", "unit", "client", "somebody"


AWS = "AWS took it back"


BY_ITSELF = "Client.InstanceInitiatedShutdown"  # EC2's state reason of a host that powered itself off


_TAKES = "Server.SpotInstance"  # so begins that of one that AWS took back


_TIMER = re.compile(r"pneumoctl-guard: powering off: (.+)")


_UNIT = re.compile(r"pneumoctl-train: ended \((.*)\): powering off")


def stopper(console: str, reason: str, asked: bool, late: bool, over: bool) -> str:
    """Which guard ended the bill: who acted first, by the host's console, EC2's state reason and what we did.

    asked: it still ran when we stopped it. late: it went off when the account-side stop was due, or after. over: we
    heard that its unit had ended, or it wrote so to the bucket. "" where nobody can tell.
    """
    if _last(_TIMER, console):
        return TIMER
    if _last(_UNIT, console):
        return UNIT
    if asked:
        return CLIENT
    if reason.startswith(_TAKES):
        return AWS
    if reason == BY_ITSELF or (over and not reason):
        return UNIT if over else TIMER
    return "" if not reason else SCHEDULE if late else OTHER


def _last(pattern: re.Pattern[str], console: str) -> str:
    """What the last boot's console says of it; an earlier boot's word is none."""
    found = ""
    for line in serial_console.lines(console):
        if serial_console.begins(line):
            found = ""
        elif match := pattern.search(line):
            found = match[1].strip()
    return found
