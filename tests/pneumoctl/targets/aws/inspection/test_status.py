"""The status of a stack on aws: each fault with its next command, and the text of a healthy stack and of others."""

from typing import Any

import pytest

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


def test_a_stack_that_serves(capsys: pytest.CaptureFixture[str]) -> None:
    assert show(GOOD) == 0
    output = capsys.readouterr().out
    row = next(line for line in output.splitlines() if line.startswith("app-0"))
    for word in ("running", "2 run", "api 0123456789ab", "small-abc", "41 %", "17 %", "no"):
        assert word in row
    assert "good for 20 days" in output and "t in eu-west-1: up; $0.2500 an hour, without the unknown prices" in output


def test_a_host_without_an_answer_is_shown_as_not_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert show(GOOD | {"hosts": [HOST, SILENT]}) == 1
    output = capsys.readouterr().out
    assert "no answer within 4 s" in output and "DEGRADED" in output


def test_what_does_not_run_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    ill = HOST | {"units": {"redis-server": "failed"}, "failed": ["redis-server.service", "x.timer"], "good": False}
    assert show(GOOD | {"hosts": [ill | {"steps_pending": 3}]}) == 1
    output = capsys.readouterr().out
    assert "app-0: redis-server is failed; next: pneumoctl logs redis" in output
    assert "app-0: x.timer is failed; next: pneumoctl ssh app-0 -- sudo journalctl -n 50 -u x.timer" in output
    assert output.count("redis-server is failed") == 1 and "redis-server failed, x.timer failed" in output
    assert "3 steps" in output and "pneumoctl plan" in output


def test_a_timer_that_failed_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    ill = HOST | {"units": {"x.timer": "failed"}, "failed": ["x.timer"], "good": False}
    assert show(GOOD | {"hosts": [ill]}) == 1
    output = capsys.readouterr().out
    assert output.count("x.timer is failed") == 1 and output.count("x.timer failed") == 1


def test_an_unhealthy_front_door_and_an_unreachable_aws_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    gateway = {"error": "the front door answers 504", "next": "pneumoctl logs nginx"}
    door = DOOR | gateway | {"serves": False, "certificate_days": None}
    show(GOOD | {"front_door": door, "aws_error": "no answer within 4 s", "bill": None})
    output = capsys.readouterr().out
    assert "the front door answers 504; next: pneumoctl logs nginx" in output and "an hour" not in output
    assert "AWS: no answer within 4 s; next: pneumoctl doctor" in output


def test_a_running_gpu_host_is_shown_as_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    stray = {"instance": "i-9", "name": "old", "state": "running"}
    assert show(GOOD | {"strays": [stray], "gpu_running": ["train"]}) == 7
    captured = capsys.readouterr()
    assert "costs money; next: pneumoctl gpu stop" in captured.err and "i-9" in captured.out


def test_a_gpu_host_that_may_cost_money_is_exit_7(capsys: pytest.CaptureFixture[str]) -> None:
    unknown = {"aws_error": "it may be billing: no answer", "aws_next": "find it: aws ec2", "gpu_unknown": True}
    assert show(GOOD | {"hosts": [HOST, TRAIN | {"state": "?"}], "bill": None} | unknown) == 7
    output = capsys.readouterr().out
    assert "AWS: it may be billing: no answer; next: find it: aws ec2" in output
    assert "train: it is not known whether it is on and costs money; next: pneumoctl gpu stop" in output


UP = {"command": "pneumoctl up", "pid": 12, "since": "2026-01-01T00:00:00+00:00"}
APPLY = {"command": "terraform apply", "pid": 13, "since": "2026-01-01T00:00:01+00:00"}
BEFORE = GOOD | {"hosts": [], "bill": None, "front_door": DOOR | {"url": "", "serves": False, "certificate_days": None}}
NEW = {"instance": "i-9", "name": "web-0", "state": "pending"}
TRAIN = HOST | {"name": "train", "role": "train", "state": "stopped", "ssh": "", "units": {}}
REPAIRED = {"name": "nginx", "next": "pneumoctl up, which repairs its address and rules"}
STOPPED = {"units": {"pneumoctl-api": "inactive"}, "not_ready": {"api": "it does not run"}}
NEARLY_FULL = {"store_warning": "the store is 83 % full (850 of 1024 MB)"}
GATEWAY = {"serves": False, "error": "the front door answers 502", "next": "pneumoctl logs nginx"}
ENDED = {
    "serves": False,
    "error": "the certificate of the front door ended 2.0 days ago",
    "next": "pneumoctl configure",
}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (GOOD | {"hosts": [HOST, TRAIN, TRAIN | {"state": "running", "leased": True}]}, []),
        (
            GOOD | {"hosts": [HOST | {"not_ready": {"api": "uploads cannot be stored (Redis cannot be reached)"}}]},
            ["app-0: api is not ready: uploads cannot be stored (Redis cannot be reached); next: pneumoctl logs redis"],
        ),
        (
            GOOD | {"hosts": [HOST | NEARLY_FULL, HOST | NEARLY_FULL | {"name": "app-1"}]},
            ["app-0: the store is 83 % full (850 of 1024 MB); next: pneumoctl results export PATH, and: pneumoctl "],
        ),
        (
            GOOD | {"hosts": [HOST | NEARLY_FULL | {"not_ready": {"api": "uploads cannot be stored (full)"}}]},
            ["app-0: api is not ready: uploads cannot be stored (full); next: pneumoctl results export PATH, and: pn"],
        ),
        (
            GOOD | {"hosts": [HOST | {"failed": ["pneumoctl-backup.service"]}]},
            ["app-0: pneumoctl-backup is failed; next: pneumoctl ssh app-0 -- sudo journalctl -n 50 -u pneu"],
        ),
        (
            GOOD | {"hosts": [HOST | {"units": {"pneumoctl-api": "inactive", "redis-server": "inactive"}}]},
            [
                "app-0: pneumoctl-api is stopped and takes no uploads, as after a command that was killed; "
                "next: pneumoctl configure app-0",
                "app-0: redis-server is inactive; next: pneumoctl logs redis",
            ],
        ),
        (GOOD | {"hosts": [HOST | {"disk_percent": 89}]}, []),
        (
            GOOD | {"hosts": [HOST | {"disk_percent": 100}]},
            ["app-0: its disk is 100 % full; next: pneumoctl ssh app-0"],
        ),
        (GOOD | {"hosts": [HOST, SILENT]}, ["web-0: no answer within 4 s; next: pneumoctl ssh web-0"]),
        (
            GOOD | {"hosts": [SILENT | {"name": "app-0"}, SILENT | {"name": "nginx"}, SILENT]},
            ["nginx: no answer within 4 s; next: ", "app-0, web-0: not asked, because nginx does not answer; next: "],
        ),
        (GOOD | {"hosts": [HOST | {"units": {}}]}, ["app-0: it does not report its services"]),
        (GOOD | {"hosts": [HOST | {"state": "stopped"}]}, ["app-0: it is stopped in EC2; next: pneumoctl up"]),
        (GOOD | {"hosts": [TRAIN | {"state": "gone"}]}, ["train: it is gone in EC2, not stopped; next: pneumoctl up"]),
        (
            GOOD | {"hosts": [TRAIN | {"state": "running"}]},
            ["train: it is running in EC2, not stopped; next: pneumoctl gpu stop"],
        ),
        (
            GOOD | {"front_door": DOOR | ENDED},
            ["the certificate of the front door ended 2.0 days ago; next: pneumoctl c"],
        ),
        (
            GOOD | {"aws_error": "denied", "aws_next": "ask"},
            ["AWS: denied; next: ask"],
        ),
        (GOOD | {"working": [UP, APPLY]}, []),
        (GOOD | {"working": [APPLY | {"command": "terraform plan"}]}, []),
        (GOOD | {"working": [APPLY], "unfinished": True}, ["terraform: it still changes the stack, left by a command"]),
        (
            GOOD | {"unfinished": True},
            ["terraform: its last change of the stack was not completed; next: pneumoctl up"],
        ),
        (
            GOOD
            | {"hosts": [HOST | {"state": "gone"}, TRAIN | {"state": "running"}], "unfinished": True}
            | {"unfinished_teardown": {"exported": "/e/results", "directory": True}},
            [
                "train: it is running in EC2, not stopped; next: pneumoctl gpu stop",
                "a teardown was not completed; it has exported the results to /e/results; next: pneumoctl teardown, ",
            ],
        ),
        (
            GOOD
            | {"hosts": [HOST | {"disk_percent": 97, "units": {"pneumoctl-api": "inactive"}}, SILENT | REPAIRED]}
            | {"unfinished_teardown": {"exported": "", "directory": True}},
            [
                "a teardown was not completed",
                "app-0: its disk is 97 % full",
                "nginx: no answer within 4 s; next: pneumoctl teardown, which completes it",
            ],
        ),
        (
            GOOD
            | {"hosts": [HOST | {"state": "gone"}, SILENT, TRAIN | {"state": "running"}, TRAIN | {"state": "gone"}]}
            | {"working": [APPLY], "unfinished": True, "front_door": DOOR | GATEWAY}
            | {"unfinished_teardown": {"exported": "/e/results", "directory": True}},
            [
                "train: it is running in EC2, not stopped; next: pneumoctl gpu stop",
                "a teardown was killed, and its terraform still destroys the stack; it has exported the results to "
                "/e/results; next: pneumoctl teardown, which waits for it and completes the teardown",
            ],
        ),
        (
            GOOD
            | {"hosts": [HOST | STOPPED, HOST | {"state": "gone"}, SILENT | {"name": "nginx"}, SILENT]}
            | {"front_door": DOOR | GATEWAY, "strays": [NEW], "working": [UP | {"command": "pneumoctl teardown"}]},
            [],
        ),
        (
            GOOD
            | {"hosts": [HOST | STOPPED, HOST | {"units": {"redis-server": "failed"}}, SILENT]}
            | {"front_door": DOOR | GATEWAY, "working": [UP | {"command": "pneumoctl configure"}]},
            ["app-0: redis-server is failed; next: pneumoctl logs", "web-0: no answer within 4 s; next: pneumoctl ssh"],
        ),
        (GOOD | {"not_imported": "/a b"}, ["app-0: results in /a b were not imported into the new store; next: "]),
        (BEFORE | {"strays": [NEW], "working": [UP, APPLY], "unfinished": True}, []),
        (BEFORE | {"strays": [NEW], "unfinished": True}, ["terraform: its last", "not in the inventory: web-0 i-9"]),
        (
            BEFORE | {"strays": [NEW], "elsewhere": True},
            ["1 instance of this stack in eu-west-1, made from another mac"],
        ),
    ],
)
def test_every_fault_is_named_with_the_next_command(document: dict[str, Any], expected: list[str]) -> None:
    found = [str(fault) for fault in faults.of_stack(document)]
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected
    assert all("; next: " in line for line in found)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (
            BEFORE | {"strays": [NEW], "working": [UP, APPLY]},
            ["pneumoctl up (process 12, since 2026", "terraform apply ("],
        ),
        (BEFORE | {"working": [APPLY]}, ["terraform apply (process 13", "next: pneumoctl up, which waits for it"]),
        (BEFORE | {"strays": [NEW], "elsewhere": True}, ["web-0", "pending", "i-9", "use that machine"]),
    ],
    ids=["during the first up", "after a killed one", "another machine"],
)
def test_a_stack_without_an_inventory_is_not_up_and_says_why(
    document: dict[str, Any], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(document) == 1
    output = capsys.readouterr().out
    assert all(word in output for word in [*words, "stack t in eu-west-1: NOT UP"])


def test_a_certificate_that_ends_soon_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert show(GOOD | {"front_door": DOOR | {"certificate_days": 12.4}}) == 0
    assert "good for 12 days; renew it soon" in capsys.readouterr().out
