"""The guard on the training host: the conditions to stay on, and each reason to power off."""

import json
import runpy
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

GUARD = Path(__file__).parents[2] / "terraform/user_data/guard.py"
NOW = 5000.0
ORDER = {"run": "b", "until_uptime": NOW + 3600, "until": 0, "stall_s": 300}


@pytest.fixture
def guard() -> dict[str, Any]:
    return runpy.run_path(str(GUARD))


def seen(**more: Any) -> dict[str, Any]:
    return {"began": NOW, "first": False, "changed": {}, **more}


def works(counter: int, phase: str = "train") -> dict[str, Any]:
    return {"counter": counter, "phase": phase}


def after(
    guard: dict[str, Any], seconds: float, training: bool | None, order: dict[str, Any], was: dict[str, Any]
) -> str:
    reason: str = guard["verdict"](was, NOW + seconds, order, training)
    return reason


@pytest.mark.parametrize(
    ("seconds", "first", "expected"), [(119, True, ""), (120, True, "idle"), (599, False, ""), (600, False, "idle")]
)
def test_an_idle_host_powers_off(guard: dict[str, Any], seconds: float, first: bool, expected: str) -> None:
    assert after(guard, seconds, False, {}, seen(first=first)) == expected


def test_a_renewed_lease_keeps_the_host_on(guard: dict[str, Any]) -> None:
    was = seen(first=True)
    for minute in range(60):
        was = guard["look"](was, NOW + 60 * minute, {"until": minute + 1}, {})
        assert after(guard, 60 * minute, False, {}, was) == ""
    assert after(guard, 59 * 60 + 599, False, {}, was) == ""
    assert after(guard, 59 * 60 + 600, False, {}, was) == "idle"


@pytest.mark.parametrize("training", [True, False])
def test_the_deadline_ends_a_healthy_run(guard: dict[str, Any], training: bool) -> None:
    was = guard["look"](seen(), NOW + 3599, {"until": 1}, works(7))
    assert after(guard, 3599, training, ORDER, was) == ""
    assert after(guard, 3600, training, ORDER, was) == "deadline"


def test_a_counter_that_does_not_grow_is_stalled(guard: dict[str, Any]) -> None:
    was = seen()
    for minute in range(10):
        was = guard["look"](was, NOW + 60 * minute, {}, works(minute))
        assert after(guard, 60 * minute, True, ORDER, was) == ""
    was = guard["look"](was, NOW + 540 + 300, {"until": 9}, works(9))  # a lease does not help it
    assert after(guard, 540 + 300, True, ORDER, was) == "stalled"


def test_a_run_without_progress_reports_is_stalled(guard: dict[str, Any]) -> None:
    was = guard["look"](seen(), NOW + 200, {}, {})
    assert after(guard, 200, True, ORDER, was) == ""
    assert after(guard, 499, True, ORDER, was) == ""
    assert after(guard, 500, True, ORDER, was) == "stalled"


def test_a_missing_gpu_ends_the_run(guard: dict[str, Any]) -> None:
    was = seen()
    for second in range(0, 180, 30):
        was = guard["look"](was, NOW + second, {}, works(second, "proof"))
        assert after(guard, second, True, ORDER, was) == ""
    assert after(guard, 180, True, ORDER, was) == "no GPU seen"


def test_a_tested_gpu_may_load_data_for_long(guard: dict[str, Any]) -> None:
    proven = {**works(3, "proof"), "gpu": {"name": "A10G"}}
    was = guard["look"](seen(), NOW, {}, works(2, "proof"))
    was = guard["look"](was, NOW + 20, {}, proven)
    assert after(guard, 20, True, ORDER, was) == after(guard, 290, True, ORDER, was) == ""


def test_without_an_answer_of_systemd_only_the_deadline_counts(guard: dict[str, Any]) -> None:
    was = guard["look"](seen(), NOW, {}, works(1))
    assert after(guard, 3599, None, ORDER, was) == ""
    assert after(guard, 3600, None, ORDER, was) == "deadline"


def test_a_run_that_has_just_ended_leaves_time_before_it_is_idle(guard: dict[str, Any]) -> None:
    was = guard["look"](seen(), NOW + 3000, {}, works(1))
    assert after(guard, 3000, True, ORDER, was) == ""
    assert after(guard, 3599, False, ORDER, was) == ""


def test_an_order_of_an_earlier_boot_lets_nothing_train(
    guard: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A complete check with the files of a host: the deadline of an earlier boot does not apply to this one."""
    space, reasons = guard["main"].__globals__, []
    for name in ("ORDER", "LEASE", "PROGRESS", "SEEN", "MARK", "BOOT"):
        monkeypatch.setitem(space, name, tmp_path / name)
    (tmp_path / "MARK").touch()
    monkeypatch.setitem(space, "off", lambda seen, now, reason: reasons.append(reason))
    monkeypatch.setitem(space, "METRICS", tmp_path / "none")
    state = {"value": "inactive"}
    monkeypatch.setattr(
        space["subprocess"], "run", lambda *_, **__: subprocess.CompletedProcess((), 0, f"{state['value']}\n")
    )
    (tmp_path / "BOOT").write_text("this\n")
    (tmp_path / "ORDER").write_text(json.dumps({**ORDER, "until_uptime": 1, "boot": "that"}))
    guard["main"]()
    assert reasons == []
    state["value"] = "active"
    guard["main"]()
    assert reasons == ["nothing was ordered"]
    (tmp_path / "ORDER").write_text(json.dumps({**ORDER, "until_uptime": 1, "boot": "this"}))
    guard["main"]()
    assert reasons == ["nothing was ordered", "deadline"]


@pytest.mark.parametrize("how", ["fails", "hangs"])
def test_a_failed_power_off_is_forced(
    guard: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    space, calls, clock = guard["main"].__globals__, list[list[str]](), [NOW]
    for name in ("ORDER", "LEASE", "PROGRESS", "SEEN", "MARK", "BOOT", "LOG"):
        monkeypatch.setitem(space, name, tmp_path / name)
    (tmp_path / "BOOT").write_text("this\n")
    (tmp_path / "ORDER").write_text(json.dumps({**ORDER, "until_uptime": 1, "boot": "this"}))
    monkeypatch.setattr(space["time"], "clock_gettime", lambda _: clock[0])

    def systemctl(argv: list[str], timeout: float, **_: Any) -> None:
        calls.append(argv[1:])
        if how == "hangs":
            raise subprocess.TimeoutExpired(argv, timeout)
        raise subprocess.CalledProcessError(1, argv)

    monkeypatch.setattr(space["subprocess"], "run", systemctl)
    for passed in (0, 290, 300, 360):
        clock[0] = NOW + passed
        with pytest.raises(subprocess.SubprocessError):
            guard["main"]()
    assert [call.count("--force") for call in calls if "poweroff" in call] == [0, 0, 1, 2]


@pytest.mark.parametrize("text", ["", "[]", "{", '"x"'])
def test_a_damaged_file_does_not_keep_the_host_on(guard: dict[str, Any], tmp_path: Path, text: str) -> None:
    (tmp_path / "guard.json").write_text(text)
    assert guard["read"](tmp_path / "guard.json") == guard["read"](tmp_path / "none") == {}


@pytest.mark.parametrize(("waited", "force"), [(0, []), (299, []), (300, ["--force"]), (361, ["--force", "--force"])])
def test_a_power_off_that_takes_long_is_forced(
    guard: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waited: float, force: list[str]
) -> None:
    calls: list[list[str]] = []
    space = guard["off"].__globals__
    monkeypatch.setitem(space, "LOG", tmp_path / "log")
    monkeypatch.setattr(space["subprocess"], "run", lambda argv, **_: calls.append(argv))
    was = seen(off=NOW)
    guard["off"](was, NOW + waited, "deadline")

    assert calls == [["systemctl", "poweroff", "--no-block", *force]]
    assert (tmp_path / "log").read_text() == "pneumoctl-guard: powering off: deadline\n"
    json.dumps(was)


def test_lease_steps_and_gpus_are_exported_to_prometheus(guard: dict[str, Any]) -> None:
    smi = "0, 97, 20000, 24000\n1, 0, 12, 24000\n"
    lease, *others = guard["figures"](ORDER, works(41), NOW, smi)

    assert abs(float(lease.split()[1]) - time.time() - 3600) < 60
    assert others == [
        "pneumoctl_training_steps_total 41",
        'pneumoctl_gpu_busy_ratio{gpu="0"} 0.97',
        f'pneumoctl_gpu_memory_ratio{{gpu="0"}} {20000 / 24000}',
        'pneumoctl_gpu_busy_ratio{gpu="1"} 0.0',
        f'pneumoctl_gpu_memory_ratio{{gpu="1"}} {12 / 24000}',
    ]
