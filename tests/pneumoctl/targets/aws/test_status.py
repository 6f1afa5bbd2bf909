"""The status of a stack on aws as text, healthy and with problems."""

from typing import Any

import pytest

from pneumoctl.targets.aws import status
from pneumoctl.terminal.console import console


def show(document: dict[str, Any]) -> int:
    return console.report(status.report(document))


HOST: dict[str, Any] = {
    "name": "app-0",
    "instance": "i-1",
    "type": "t3.medium",
    "state": "running",
    "since": None,
    "private": "10.20.16.20",
    "public": "",
    "ssh": "booted",
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
    "ssh": "no answer within 4 s",
    "units": {},
    "releases": {},
    "disk_percent": None,
    "memory_percent": None,
    "steps_pending": None,
    "good": False,
}
DOOR = {"url": "https://198.51.100.1", "serves": True, "error": "", "certificate_days": 12.4}
BILL = {"usd_per_hour": 0.25, "usd_per_month": 182.5, "at_least": True}
GOOD: dict[str, Any] = {
    "stack": "t",
    "target": "aws",
    "region": "eu-west-1",
    "exists": True,
    "up": True,
    "address": "198.51.100.1",
    "front_door": DOOR,
    "hosts": [HOST],
    "strays": [],
    "gpu_running": [],
    "runs": [],
    "aws_error": "",
    "bill": BILL,
}


def test_a_stack_that_serves(capsys: pytest.CaptureFixture[str]) -> None:
    assert show(GOOD) == 0
    output = capsys.readouterr().out
    row = next(line for line in output.splitlines() if line.startswith("app-0"))
    for word in ("running", "2 run", "api 0123456789ab", "small-abc", "41 %", "17 %", "no"):
        assert word in row
    assert "good for 12 days" in output and "t in eu-west-1: up; at least $0.2500 an hour" in output


def test_a_host_without_an_answer_is_shown_as_not_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert show(GOOD | {"up": False, "hosts": [HOST, SILENT]}) == 1
    output = capsys.readouterr().out
    assert "no answer within 4 s" in output and "DEGRADED" in output


def test_what_does_not_run_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    ill = HOST | {"units": {"redis-server": "failed"}, "failed": ["redis-server.service", "x.timer"], "good": False}
    show(GOOD | {"up": False, "hosts": [ill | {"steps_pending": 3}]})
    output = capsys.readouterr().out
    assert "redis-server failed, x.timer failed" in output
    assert "3 steps" in output and "pneumoctl plan" in output


def test_an_unhealthy_front_door_and_an_unreachable_aws_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    door = DOOR | {"serves": False, "error": "the front door answers 504", "certificate_days": None}
    show(GOOD | {"up": False, "front_door": door, "aws_error": "no answer within 4 s", "bill": None})
    output = capsys.readouterr().out
    assert "the front door answers 504" in output and "an hour" not in output
    assert "AWS: no answer within 4 s; whether a GPU host costs money is not known" in output


def test_a_running_gpu_host_is_shown_as_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    stray = {"instance": "i-9", "name": "old", "state": "running"}
    assert show(GOOD | {"up": False, "strays": [stray], "gpu_running": ["train"]}) == 7
    captured = capsys.readouterr()
    assert "costs money" in captured.err and "i-9" in captured.out
