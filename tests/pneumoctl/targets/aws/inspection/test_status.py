"""The status of a stack on aws: the text of a healthy stack and of others, and the exit code."""

from typing import Any

import pytest

from tests.pneumoctl.targets.aws.inspection.status_documents import (
    APPLY,
    BEFORE,
    DOOR,
    GOOD,
    HOST,
    NEW,
    SILENT,
    TRAIN,
    UP,
    show,
)


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
