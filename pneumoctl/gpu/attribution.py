"""Which guard stopped a GPU host: this client, the host's timer, the training unit, the schedule or somebody else."""

import re

from pneumoctl.ssh import serial_console

SCHEDULE, TIMER, UNIT, CLIENT, OTHER = "schedule", "host timer", "unit", "client", "somebody"
AWS = "AWS reclaimed it"
# EC2's state reasons: of a host that powered itself off, and the prefix of those of a reclaimed spot instance.
BY_ITSELF = "Client.InstanceInitiatedShutdown"
SPOT_RECLAIM = "Server.SpotInstance"
# Lines that the guards write to the host's console.
TIMER_LINE = re.compile(r"pneumoctl-guard: powering off: (.+)")
UNIT_LINE = re.compile(r"pneumoctl-train: ended \((.*)\): powering off")


def stopped_by(console: str, reason: str, stopped_here: bool, late: bool, unit_ended: bool) -> str:
    """The guard that acted first and so ended the billing; empty if it is unknown.

    console: the host's. reason: EC2's, for the state. stopped_here: it still ran when this client stopped it. late: it
    went off when the account-side stop was due, or after. unit_ended: the training unit is known to have ended.
    """
    if last_match(TIMER_LINE, console):
        return TIMER
    if last_match(UNIT_LINE, console):
        return UNIT
    if stopped_here:
        return CLIENT
    if reason.startswith(SPOT_RECLAIM):
        return AWS
    if reason == BY_ITSELF or (unit_ended and not reason):
        return UNIT if unit_ended else TIMER
    return "" if not reason else SCHEDULE if late else OTHER


def last_match(pattern: re.Pattern[str], console: str) -> str:
    """The text that the pattern's group matches on the console of the last boot; earlier boots are ignored."""
    text = ""
    for line in serial_console.lines(console):
        if serial_console.begins(line):
            text = ""
        elif match := pattern.search(line):
            text = match[1].strip()
    return text
