"""`pneumoctl runs` lists and shows runs, also without a stack."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pneumoctl.cli.main import run as pneumoctl
from pneumoctl.errors import Exit
from pneumoctl.stack import runs
from pneumoctl.stack.runs import Receipt, Run
from pneumoctl.stack.stack import Stack
from tests.pneumoctl.gpu_simulation import AT


def ordered(**more: Any) -> Run:
    return Run("20261123-060000-a1b2", "t", "gpu", runs.format_time(AT), [], 1800, 0, type="g5.xlarge", **more)


def test_runs_are_listed_and_shown_without_a_stack(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    run = ordered(instance="i-1", usd_per_hour=1.0).with_phase("armed", datetime.now(UTC))
    runs.save(stack, run)
    assert pneumoctl(["runs", "ls", "--stack", "t"]) == 0
    assert "open: armed" in capsys.readouterr().out
    runs.save_receipt(
        stack, Receipt(run.id, 9, "deadline", "its deadline is reached", "host timer", billed_s=3600, usd=1.0)
    )
    (runs.results_directory(stack, run.id)).mkdir(parents=True)
    (runs.results_directory(stack, run.id) / "train.log").write_text("one\ntwo\nthree\n")
    assert pneumoctl(["runs", "ls", "--stack", "t"]) == 0
    output = capsys.readouterr().out
    assert "deadline" in output and "3600 s" in output and "$1.00" in output and "host timer" in output
    assert pneumoctl(["runs", "show", "--stack", "t", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["receipt"]["billed_s"] == 3600 and document["files"] == ["train.log"]
    assert pneumoctl(["runs", "logs", run.id, "-n", "2", "--stack", "t"]) == 0
    assert capsys.readouterr().out == "two\nthree\n"
    assert pneumoctl(["runs", "cancel", run.id, "--stack", "t"]) == 0
    assert pneumoctl(["runs", "show", "20261123-060000-ffff", "--stack", "t"]) == Exit.USAGE
