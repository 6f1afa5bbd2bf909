"""smoke.sh refuses whatever could cost money unseen; tests/lab/aws/test_smoke.py runs it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tests
from tests.aws import stand_ins

SMOKE = Path(tests.__file__).parent / "aws/smoke.sh"
GIVEN = ("--account", "123456789012", "--region", "us-east-1", "--max-usd", "2")


NAMES = ("doctor", "up, GPU stopped (0)", "prediction", "data push", "red line (guard 5)", "schedule (guard 1)")
NAMES += ("host timer (guard 2)", "unit (guard 3)", "client (guard 4)", "results export", "teardown")


def run(folder: Path, *arguments: str, fail: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """Run it with stand-ins for pneumoctl and AWS. `fail`: the commands of pneumoctl that fail, as a pattern."""
    here = stand_ins.environment(folder, fail, **more)
    return subprocess.run(
        ["bash", SMOKE, *arguments], capture_output=True, text=True, env=here, cwd=folder, timeout=120, check=False
    )


def results(folder: Path) -> dict[str, str]:
    """Name of a check -> proven, failed or not tried, from the receipt."""
    lines = (folder / "work/receipt.txt").read_text().splitlines()
    return {name: line[:9].strip() for name in NAMES for line in lines if line[11:].startswith(name)}


def without(name: str) -> tuple[str, ...]:
    at = GIVEN.index(name)
    return (*GIVEN[:at], *GIVEN[at + 2 :])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "--account names"),
        (without("--account"), "--account names"),
        (without("--region"), "--region names"),
        (without("--max-usd"), "--max-usd names"),
        ((*GIVEN, "--account", "12"), "--account names"),
        ((*GIVEN, "--max-usd", "2.01"), "more than 0, and 2 at most"),
        ((*GIVEN, "--max-usd", "0"), "more than 0, and 2 at most"),
        ((*GIVEN, "--max-usd", "1; true"), "--max-usd names"),
        ((*GIVEN, "--force"), "unknown option --force"),
        (("--account",), "--account needs a value"),
    ],
)
def test_it_refuses_without_an_account_a_region_and_a_cap(tmp_path: Path, arguments: tuple[str, ...], why: str) -> None:
    refused = run(tmp_path, *arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"smoke.sh: {why}") or why in refused.stderr.splitlines()[0]
    assert "--max-usd USD" in refused.stderr and not (tmp_path / "work").exists()


def test_it_refuses_another_account_than_that_of_the_credentials(tmp_path: Path) -> None:
    refused = run(tmp_path, *GIVEN, "--yes", ACCOUNT="210987654321")
    assert refused.returncode == 2 and "those of account 210987654321, not 123456789012" in refused.stderr
    assert not (tmp_path / "calls").exists()


def test_it_refuses_if_the_estimate_is_above_the_cap(tmp_path: Path) -> None:
    refused = run(tmp_path, *GIVEN, "--max-usd", "0.5", "--yes")
    assert refused.returncode == 2 and "is above --max-usd 0.5" in refused.stderr
    assert "about USD" in refused.stdout and (tmp_path / "calls").read_text() == "cost --json\n"


def test_it_begins_only_when_told_to(tmp_path: Path) -> None:
    assert run(tmp_path, *GIVEN).returncode == 1
    assert (tmp_path / "calls").read_text() == "cost --json\n"


def test_it_leaves_a_stack_alone_that_it_did_not_make(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("stopped")
    refused = run(tmp_path, *GIVEN, "--yes")
    assert refused.returncode == 1 and "has a stack smoke, which this did not begin here: i-1" in refused.stderr
    assert (tmp_path / "state").exists() and not (tmp_path / "calls").exists()


def test_an_account_that_cannot_be_asked_is_not_taken_for_one_with_a_stack(tmp_path: Path) -> None:
    refused = run(tmp_path, *GIVEN, "--yes", DENIED="1")
    assert refused.returncode == 1 and "what the account has of a stack smoke is not known" in refused.stderr
    assert "teardown" not in refused.stderr and not (tmp_path / "calls").exists()


@pytest.mark.parametrize(
    ("fail", "name"),
    [
        ("predict *", "prediction"),
        *(
            pytest.param(fail, name, marks=pytest.mark.repeat)
            for fail, name in (
                ("nothing", ""),
                ("data *", "data push"),
                ("status", "red line (guard 5)"),
                ("gpu guard --drill schedule *", "schedule (guard 1)"),
                ("gpu guard --drill idle *", "host timer (guard 2)"),
                ("train *--resume*", "unit (guard 3)"),
                ("runs show *", "client (guard 4)"),
                ("results *", "results export"),
            )
        ),
    ],
)
def test_whatever_fails_is_named_and_all_else_is_proven(tmp_path: Path, fail: str, name: str) -> None:
    done = run(tmp_path, *GIVEN, "--yes", fail=fail)
    assert results(tmp_path) == {each: "failed" if each == name else "proven" for each in NAMES}, done.stdout
    assert done.returncode == (1 if name else 0), done.stdout + done.stderr
    assert not (tmp_path / "state").exists()

    if name:  # again: it repeats what was not proven, and what the new stack needs
        (tmp_path / "calls").unlink()
        again = run(tmp_path, *GIVEN, "--yes")
        assert again.returncode == 0 and set(results(tmp_path).values()) == {"proven"}, again.stdout
        assert again.stdout.count("proven before") == 7 - (name not in ("data push",))


@pytest.mark.parametrize(("fail", "code", "name"), [("doctor", 4, "doctor"), ("up *", 1, "up, GPU stopped (0)")])
def test_without_a_stack_nothing_else_is_tried(tmp_path: Path, fail: str, code: int, name: str) -> None:
    done = run(tmp_path, *GIVEN, "--yes", fail=fail)
    calls = (tmp_path / "calls").read_text()
    assert done.returncode == code and "predict" not in calls
    assert ("teardown -y" in calls) == (name != "doctor")  # `up` may have made a part of it


def test_what_a_teardown_leaves_is_named_and_exit_7(tmp_path: Path) -> None:
    done = run(tmp_path, *GIVEN, "--yes", fail="teardown *")
    assert done.returncode == 7 and results(tmp_path)["teardown"] == "failed"
    assert "STILL THERE, and it may cost money: pneumoctl teardown --stack smoke; i-1" in done.stdout
    assert (tmp_path / "calls").read_text().count("teardown -y") == 3

    assert run(tmp_path, *GIVEN, "--yes", fail="doctor").returncode == 4  # the next run tears it down in any case
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_however_it_is_interrupted_it_tears_down(tmp_path: Path, number: int, code: int) -> None:
    here, calls = stand_ins.environment(tmp_path), tmp_path / "calls"
    argv = ["bash", str(SMOKE), *GIVEN, "--yes"]
    with subprocess.Popen(argv, env=here, cwd=tmp_path, stdout=subprocess.PIPE, start_new_session=True) as child:
        while not calls.exists() or "data push" not in calls.read_text():
            assert child.poll() is None
            time.sleep(0.05)
        os.killpg(child.pid, number)  # as a terminal does: to the script and to what it runs
        child.communicate(timeout=60)
    assert child.returncode == code and "teardown -y" in calls.read_text() and not (tmp_path / "state").exists()
    log = tmp_path / "work/hangup.log"  # a closed terminal can show nothing, and writing to it fails
    assert ("RECEIPT" in log.read_text()) if number == signal.SIGHUP else not log.exists()


def test_shellcheck_finds_nothing() -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([shellcheck, SMOKE], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
