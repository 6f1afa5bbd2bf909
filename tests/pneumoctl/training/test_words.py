"""Messages about a run: progress, stalls, its outcome, and the guard that stopped the host."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import attribution
from pneumoctl.training import host_link, outcome
from pneumoctl.training import progress as training_progress
from pneumoctl.training.host_link import HostEvent
from pneumoctl.training.progress import Contact, ProgressWatch

OFF = "Linux version 6\npneumoctl-guard: powering off: {}\n"
ENDED = "Linux version 6\npneumoctl-train: ended (success, 0): powering off\n"


def test_the_line_that_a_person_reads() -> None:
    news = {
        "phase": "train",
        "epoch": 3,
        "epochs": 20,
        "step": 120,
        "steps": 800,
        "loss": 0.12345,
        "sensitivity": 0.97,
        "images_per_second": 85.4,
        "eta_s": 700,
    }
    assert training_progress.describe(news, 0.341) == (
        "train  epoch 3/20  step 120/800  loss 0.1235  sensitivity 0.970  85 images/s  12 min left  $0.34"
    )
    late = training_progress.describe({"phase": "train", "step": 9, "upload_error": "AccessDenied"}, None)
    assert late == "train  step 9  the last checkpoint is not in the bucket yet: AccessDenied"
    early = {"phase": "train", "epoch": 0, "step": 1, "sensitivity": None, "loss": None}
    assert training_progress.describe(early, None) == "train  epoch 0  step 1"
    assert training_progress.describe({"phase": "data", "files": 3, "files_total": 9}, None) == "data  3/9 files"
    gpu = {"name": "CPU", "count": 1, "stand_in": True, "matmul_s": 0.05}
    line = training_progress.describe({"phase": "proof", "gpu": gpu}, None)
    assert line == "proof  GPU proven: 1 x CPU (stand-in), matrix product 0.050 s"


def test_only_a_growing_counter_counts_as_progress() -> None:
    watch = ProgressWatch("a", 60, moved=0)
    assert watch.update({"run": "a", "counter": 1}, 10)
    assert not watch.update({"run": "a", "counter": 1}, 50)
    assert not watch.update({"run": "another", "counter": 2}, 60)
    assert not watch.stalled(69) and watch.stalled(70)


def test_each_lost_connection_is_checked_with_ec2_and_reported_once() -> None:
    contact = Contact(checked=0)
    assert not contact.check_due(59) and contact.check_due(60) and not contact.host_is_on()
    contact.update("no answer")
    assert contact.check_due(61) and not contact.host_is_on(), "at once, and nothing is told: it may be powering off"
    assert not contact.check_due(65) and contact.check_due(66) and contact.host_is_on()
    assert contact.check_due(71) and not contact.host_is_on(), "told once"
    contact.update("")
    assert not contact.check_due(130) and contact.check_due(131) and not contact.host_is_on()
    contact.update("no answer")
    assert contact.check_due(132) and not contact.host_is_on()
    assert contact.check_due(137) and contact.host_is_on(), "a second loss is told, too"


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("30m", 1800), ("2h", 7200), ("1.5h", 5400)])
def test_times_as_they_are_typed(text: str, seconds: int) -> None:
    assert training_progress.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "0", "-1h", "2d", "nan", "inf", "1e99h"])
def test_no_times(text: str) -> None:
    with pytest.raises((ValueError, OverflowError)):
        training_progress.parse_duration(text)


@pytest.mark.parametrize(
    ("console", "reason", "asked", "late", "over", "guard"),
    [
        (OFF.format("deadline"), "", True, True, False, "host timer"),
        (ENDED, "", True, False, True, "unit"),
        ("", "Client.UserInitiatedShutdown", True, True, False, "client"),
        ("", "Client.UserInitiatedShutdown", False, True, False, "schedule"),
        ("", "Client.UserInitiatedShutdown", False, False, False, "somebody"),
        ("", attribution.BY_ITSELF, False, False, True, "unit"),
        ("", attribution.BY_ITSELF, False, False, False, "host timer"),
        ("", attribution.BY_ITSELF, False, True, True, "unit"),
        ("", "Client.UserInitiatedShutdown", True, False, True, "client"),
        # EC2 gives no reason: the facts about the run decide; without any, no guard is named.
        ("", "", False, True, True, "unit"),
        ("", "", False, True, False, ""),
        # A report of an earlier boot does not count.
        (ENDED + "Linux version 6\n", "Client.UserInitiatedShutdown", True, False, False, "client"),
    ],
)
def test_the_guard_that_stopped_the_host_is_identified(
    console: str, reason: str, asked: bool, late: bool, over: bool, guard: str
) -> None:
    assert attribution.stopped_by(console, reason, asked, late, over) == guard


@pytest.mark.parametrize(
    ("transition", "asked", "ended", "off"),
    [
        ("User initiated (2026-11-23 06:10:00 GMT)", False, None, 10),
        ("User initiated (2026-11-23 06:10:00 GMT)", False, 8 * 60, 10),
        ("User initiated (2026-11-22 06:10:00 GMT)", False, 8 * 60, 9),  # of an earlier start
        ("", False, 8 * 60, 9),
        ("", False, 59.5 * 60, 60),  # no later than the account's stop
        ("", False, -6 * 3600, 60),  # the host's clock is wrong
        ("", False, 6 * 3600, 60),
        ("", False, "no number", 60),
        ("", False, None, 60),
        ("", True, 8 * 60, 180),  # it ran until we stopped it
    ],
)
def test_the_power_off_time_is_reconstructed_later(
    transition: str, asked: bool, ended: float | str | None, off: int
) -> None:
    launched = datetime(2026, 11, 23, 6, tzinfo=UTC)
    end = None if ended is None else {"at": launched.timestamp() + ended if isinstance(ended, float | int) else ended}
    now, deadline = launched + timedelta(hours=3), launched + timedelta(hours=1)
    switched_off = outcome.switched_off_at(transition, asked, end, launched, now, deadline)
    assert switched_off == launched + timedelta(minutes=off)


def test_the_outcome_without_a_report_of_the_host() -> None:
    assert outcome.outcome_from_host(None, False).why == "lost"
    assert outcome.outcome_from_host(None, True).code == Exit.CAP_REACHED
    assert outcome.outcome_from_host(None, False, OFF.format("stalled")).why == "stalled"
    assert outcome.outcome_from_host(None, False, OFF.format("no GPU seen")).why == "no gpu"
    assert outcome.outcome_from_host(None, False, OFF.format("deadline")).code == Exit.CAP_REACHED
    assert outcome.outcome_from_host({"why": "stopped"}, True).why == "deadline"
    assert outcome.outcome_from_host({"why": "stopped"}, False).code == Exit.TRAINING_FAILED


def test_an_error_is_the_run_s_once_the_gpu_was_started() -> None:
    denied = PneumoError("denied", "", Exit.PREFLIGHT)
    assert outcome.outcome_from_error(denied, started=False).code == Exit.PREFLIGHT
    assert outcome.outcome_from_error(denied, started=True).code == Exit.TRAINING_FAILED
    assert outcome.outcome_from_error(ZeroDivisionError("x"), started=True).message.endswith("(ZeroDivisionError: x)")


def test_the_stop_time_is_read_from_ec2() -> None:
    stopped = outcome.transition_time("User initiated (2026-11-23 06:10:00 GMT)")
    assert stopped and stopped.isoformat() == "2026-11-23T06:10:00+00:00"
    assert outcome.transition_time("") is None and outcome.transition_time("Server.SpotInstanceTermination") is None


def test_the_hosts_output_is_read_until_its_unit_has_ended(tmp_path: Path) -> None:
    """The real script, with a systemctl that reports active twice and then failed with exit code 5."""
    progress = tmp_path / "progress.json"
    progress.write_text(json.dumps({"run": "a", "counter": 1}))
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(
        '#!/bin/sh\nif [ "$1" = show ]; then echo 5; exit; fi\n'
        f'echo x >>{tmp_path}/asked; test "$(wc -l <{tmp_path}/asked)" -gt 2 && echo failed || echo active\n'
    )
    systemctl.chmod(0o755)
    result = subprocess.run(
        ["sh", "-c", host_link._FOLLOW_SCRIPT, "sh", str(progress), "pneumoctl-train.service"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        timeout=30,
        check=True,
    ).stdout
    events: SimpleQueue[HostEvent] = SimpleQueue()
    sink = host_link._EventParser(events)
    for at in range(0, len(result), 7):  # as a network cuts it
        sink.write(result[at : at + 7])
    heard = [events.get() for _ in range(events.qsize())]
    assert [event.progress for event in heard[:-1]] == [{"run": "a", "counter": 1}] * 3
    assert heard[-1] == HostEvent(ended=True, exit_code=5)
