"""Documents of `status` for stacks on aws: one that serves, and parts of others; and their text."""

from typing import Any

from pneumoctl.targets.aws.inspection import faults, status
from pneumoctl.targets.common.faults import as_dicts
from pneumoctl.terminal.console import console


def show(document: dict[str, Any]) -> int:
    found = list(faults.of_stack(document))
    up = {"up": bool(document["hosts"]) and not found, "faults": as_dicts(found)}
    return console.report(status.report({**document, **up}))


HOST: dict[str, Any] = {
    "name": "app-0",
    "role": "app",
    "instance": "i-1",
    "type": "t3.medium",
    "state": "running",
    "since": None,
    "private": "10.20.16.20",
    "public": "",
    "ssh": "booted",
    "next": "",
    "not_ready": {},
    "store_warning": "",
    "clock_warning": "",
    "received_warning": "",
    "leased": False,
    "units": {"pneumoctl-api": "active", "redis-server": "active"},
    "failed": [],
    "releases": {"api": "0123456789ab", "model": "small-abc"},
    "disk_percent": 41,
    "memory_percent": 17,
    "steps_pending": 0,
    "good": True,
}
SILENT = HOST | {
    "name": "web-0",
    "role": "web",
    "ssh": "no answer within 4 s",
    "next": "pneumoctl ssh web-0",
    "units": {},
    "releases": {},
    "disk_percent": None,
    "memory_percent": None,
    "steps_pending": None,
    "good": False,
}
DOOR = {"url": "https://198.51.100.1", "serves": True, "error": "", "next": "", "certificate_days": 20.4}
BILL = {"usd_per_hour": 0.25, "usd_per_month": 182.5, "at_least": True}
GOOD: dict[str, Any] = {
    "stack": "t",
    "target": "aws",
    "region": "eu-west-1",
    "exists": True,
    "address": "198.51.100.1",
    "front_door": DOOR,
    "hosts": [HOST],
    "strays": [],
    "elsewhere": False,
    "directory": "/state/t",
    "working": [],
    "unfinished": False,
    "unfinished_teardown": None,
    "not_imported": "",
    "gpu_running": [],
    "gpu_unknown": False,
    "runs": [],
    "aws_error": "",
    "aws_next": "",
    "bill": BILL,
}


UP = {"command": "pneumoctl up", "pid": 12, "since": "2026-01-01T00:00:00+00:00"}
APPLY = {"command": "terraform apply", "pid": 13, "since": "2026-01-01T00:00:01+00:00"}
BEFORE = GOOD | {"hosts": [], "bill": None, "front_door": DOOR | {"url": "", "serves": False, "certificate_days": None}}
NEW = {"instance": "i-9", "name": "web-0", "state": "pending"}
TRAIN = HOST | {"name": "train", "role": "train", "state": "stopped", "ssh": "", "units": {}}
