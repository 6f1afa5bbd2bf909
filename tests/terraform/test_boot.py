"""The hosts' boot script, run in a temporary root directory with recorded system commands."""

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

GUARD = Path(__file__).parents[2] / "terraform/user_data/guard.py"
HOSTS = ("nginx", "web-0", "train")
ASKS = "systemctl start pneumoctl-guard.service"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHostKeyOfATest"


@dataclass(frozen=True)
class Boot:
    """The result of a boot."""

    script: list[str]
    root: Path
    calls: list[str]

    def read(self, name: str) -> str:
        return (self.root / name).read_text()

    @property
    def mark(self) -> str:
        return self.read("var/lib/pneumoctl/boot")


@pytest.fixture
def boot(evaluated: dict[str, Any], tmp_path: Path) -> Callable[..., Boot]:
    """Boots a host by name; the commands named in `failing` exit with 3."""

    def run(name: str, failing: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> Boot:
        root, bin_ = tmp_path / "root", tmp_path / "bin"
        for folder in (
            "dev",
            "etc/ssh",
            "etc/cloud/cloud.cfg.d",
            "etc/systemd/system",
            "usr/local/sbin",
            "var/lib",
            "var/log",
        ):
            (root / folder).mkdir(parents=True)
        (root / "etc/ssh/ssh_host_ed25519_key.pub").write_text(f"{KEY} root@ip-10-20-0-10\n")
        for lost in without:
            (root / lost).unlink()
        bin_.mkdir()
        for command in ("hostnamectl", "systemctl", "systemd-run"):
            stub = bin_ / command
            code = 3 if command in failing else 0
            stub.write_text(f'#!/bin/sh\necho "{command} $*" >>{tmp_path}/calls\nexit {code}\n')
            stub.chmod(0o755)
        script = tmp_path / "user-data"
        script.write_text(re.sub(r"(?<![\w/])/(?=(var|etc|dev/console|run|usr/local)\b)", f"{root}/", evaluated[name]))
        subprocess.run(["bash", script], env={"PATH": f"{bin_}:{os.environ['PATH']}"}, capture_output=True, timeout=600)
        calls = (tmp_path / "calls").read_text().splitlines() if (tmp_path / "calls").exists() else []
        return Boot(script.read_text().splitlines(), root, calls)

    return run


@pytest.mark.parametrize("name", HOSTS)
def test_is_a_script_that_ec2_takes(evaluated: dict[str, Any], name: str) -> None:
    script = evaluated[name]
    assert script.startswith("#!/bin/bash\n")
    assert len(script.encode()) < 16384
    checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("name", HOSTS)
def test_a_successful_boot(boot: Callable[..., Boot], name: str) -> None:
    result = boot(name)
    assert result.mark == "ok\n"
    assert result.read("dev/console") == f"pneumoctl-host-key: {KEY}\npneumoctl-boot: ok\n"
    assert f"first boot of {name}" in result.read("var/log/pneumoctl-boot.log")
    assert f"hostnamectl set-hostname {name}" in result.calls
    assert not any("poweroff" in call for call in result.calls)


@pytest.mark.parametrize("failing", [(), ("systemctl",)])
def test_the_clock_follows_the_link_local_address(boot: Callable[..., Boot], failing: tuple[str, ...]) -> None:
    """No security group filters it, and no host may reach another time server. An image has one of the two programs."""
    result = boot("web-0", failing=failing)
    assert result.read("etc/systemd/timesyncd.conf.d/pneumoctl.conf") == "[Time]\nNTP=169.254.169.123\n"
    assert result.read("etc/chrony/sources.d/pneumoctl.sources").startswith("server 169.254.169.123 prefer ")
    assert {"systemctl try-restart systemd-timesyncd", "systemctl try-restart chrony"} <= {*result.calls}
    assert result.mark == "ok\n"


def test_a_failed_boot_names_the_line(boot: Callable[..., Boot]) -> None:
    result = boot("web-0", failing=("hostnamectl",))
    line = 1 + result.script.index("hostnamectl set-hostname web-0")
    assert result.mark == f"failed line {line}: hostnamectl set-hostname web-0 (exit 3)\n"
    assert result.read("dev/console").endswith(f"\npneumoctl-boot: {result.mark}")


def test_a_failed_boot_without_a_host_key(boot: Callable[..., Boot]) -> None:
    result = boot("nginx", without=("etc/ssh/ssh_host_ed25519_key.pub",))
    assert re.fullmatch(r"failed line \d+: read -r kind key _ .*\(exit 1\)\n", result.mark)
    assert "No such file" in result.read("var/log/pneumoctl-boot.log")
    assert "host-key" not in result.read("dev/console")


def test_a_mark_is_one_line(boot: Callable[..., Boot]) -> None:
    result = boot("train", failing=("systemctl",))
    assert result.mark.count("\n") == 1


def test_the_gpu_host_arms_its_power_off_before_anything_else(boot: Callable[..., Boot]) -> None:
    result = boot("train")
    assert result.calls[:2] == ["systemctl daemon-reload", "systemctl enable --now pneumoctl-guard.timer"]
    assert result.calls[-1] == ASKS
    assert "OnUnitInactiveSec=30\n" in result.read("etc/systemd/system/pneumoctl-guard.timer")
    assert "OnFailure=poweroff.target\n" in result.read("etc/systemd/system/pneumoctl-guard.service")
    assert result.read("usr/local/sbin/pneumoctl-guard").replace(str(result.root), "") == GUARD.read_text()


def test_the_gpu_host_announces_its_key_at_every_later_boot(boot: Callable[..., Boot]) -> None:
    result = boot("train")
    unit = result.read("etc/systemd/system/pneumoctl-host-key.service")
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.M)
    result.root.joinpath("dev/console").write_text("")
    subprocess.run(shlex.split(command), check=True)
    assert result.read("dev/console") == f"pneumoctl-host-key: {KEY}\n"
    assert "systemctl enable pneumoctl-host-key.service" in result.calls


@pytest.mark.parametrize("failing", ["hostnamectl", "systemd-run"])
def test_the_gpu_host_asks_its_guard_after_a_failed_boot_too(boot: Callable[..., Boot], failing: str) -> None:
    assert boot("train", failing=(failing,)).calls[-1] == ASKS


def test_the_gpu_host_powers_off_at_once_when_it_has_no_guard(boot: Callable[..., Boot]) -> None:
    result = boot("train", failing=("systemctl",))
    assert result.mark.startswith("failed line ")
    assert result.calls[-2:] == [ASKS, "systemctl poweroff"]
