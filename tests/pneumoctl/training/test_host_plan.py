"""The plan that starts a training run on the host: its order file, its steps and its unit."""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl.files import Tree, bundled
from pneumoctl.plan.steps import Put, Run, Step
from pneumoctl.training import host_plan
from pneumoctl.training.host_plan import Order, Release
from tests import needs

ORDER = Order("20261123-053100-a1b2", "demo", "bucket", "eu-west-1", "f" * 64, ("--epochs", "2"), stall_s=300)
RELEASE = Release("abc", "lock", Tree("/src/model", "d"))


@pytest.fixture
def begin() -> Step:
    return host_plan.plan(ORDER, RELEASE, 3600.5).steps[-1]


def put(step: Step, path: str) -> str:
    (content,) = [action.content for action in step.actions if isinstance(action, Put) and action.path == path]
    return content


def test_the_order_is_all_that_the_host_needs(begin: Step) -> None:
    assert json.loads(put(begin, host_plan.ORDER)) == {
        "run": "20261123-053100-a1b2",
        "stack": "demo",
        "bucket": "bucket",
        "region": "eu-west-1",
        "data": "f" * 64,
        "arguments": ["--epochs", "2"],
        "resume": False,
        "gpu": True,
        "stall_s": 300,
        "spot": False,
    }


def test_the_guard_knows_the_deadline_before_the_run_begins(begin: Step, tmp_path: Path) -> None:
    commands = [action.argv for action in begin.actions if isinstance(action, Run)]
    assert [command[:2] for command in commands] == [
        ("python3", "-c"),
        ("systemctl", "daemon-reload"),
        ("systemctl", "start"),
    ]
    _, _, script, path, text = commands[0]
    assert path == host_plan.GUARD
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "guard.json"), text], check=True)
    document = json.loads((tmp_path / "guard.json").read_text())

    assert (document["run"], document["stall_s"]) == (ORDER.run, 300)
    assert 3590 < document["until_uptime"] - time.clock_gettime(time.CLOCK_BOOTTIME) <= 3600.5
    assert 3590 < document["until"] - time.time() <= 3600.5


def test_another_deadline_or_release_starts_another_run(begin: Step) -> None:
    longer = host_plan.plan(ORDER, RELEASE, 7200).steps[-1]
    later = host_plan.plan(ORDER, replace(RELEASE, digest="abd"), 3600.5).steps[-1]

    assert len({begin.done_if, longer.done_if, later.done_if}) == 3
    assert begin.done_if == host_plan.plan(ORDER, RELEASE, 3600.5).steps[-1].done_if


def test_the_unit_ends_with_the_host_off_and_systemd_finds_no_fault(begin: Step, tmp_path: Path) -> None:
    unit = put(begin, f"/etc/systemd/system/{host_plan.UNIT}.service")
    lines = unit.splitlines()

    assert "RuntimeMaxSec=3600" in lines and "Restart=no" in lines and "[Install]" not in lines
    assert [line.partition("=")[0] for line in lines if "poweroff" in line] == ["ExecStopPost"]
    assert host_plan.PROGRESS.startswith("/run/pneumoctl-train/")
    # Each of these lets systemd take the GPU's devices away.
    keys = {line.partition("=")[0] for line in lines}
    assert not keys & {"DeviceAllow", "DevicePolicy", "PrivateDevices", "PrivateUsers", "ProtectClock"}
    (tmp_path / "pneumoctl-train.service").write_text(
        unit.replace(f"/srv/pneumoctl/train/releases/{RELEASE.digest}/venv/bin/python", sys.executable)
    )
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip(needs.SYSTEMD)
    result = subprocess.run(
        [verify, "verify", "--man=no", tmp_path / "pneumoctl-train.service"], capture_output=True, text=True
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_no_run_starts_on_a_host_without_its_guard() -> None:
    guard = host_plan.plan(ORDER, RELEASE, 60).steps[0]

    assert put(guard, "/usr/local/sbin/pneumoctl-guard") == (bundled("terraform") / "user_data/guard.py").read_text()
    asked = ("systemctl", "is-active", "--quiet", "pneumoctl-guard.timer")
    assert [probe.argv for probe in guard.verify] == [asked] and asked in [probe.argv for probe in guard.done_if]
