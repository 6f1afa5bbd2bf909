"""The units on hosts: systemd accepts them, they are sandboxed, and their environment files are read correctly."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from pneumoctl.hosts.service_files import MAX_PENDING, MAX_READS, MAX_THUMBNAILS, THREADS
from pneumoctl.plan.render import render
from pneumoctl.stack.secrets import Secrets
from tests import needs

SERVICES = ("api", "ui")
EXPOSURE = 1.1  # of 10, by systemd's own count; what is left is a network, which they serve
TO_S3 = 1.2  # the backup reaches S3, whose addresses are not known beforehand
ODD = '/srv/a b/$HOME/it\'s/"q"/100%/back\\slash/#x'


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """All units, rendered into a folder."""
    for name in SERVICES:
        service = render(
            f"systemd/pneumoctl-{name}.service", root="/srv/pneumoctl", workers=2, threads=24, memory="80%"
        )
        socket = render(f"systemd/pneumoctl-{name}.socket", address="10.0.0.7", port=5000)
        (tmp_path / f"pneumoctl-{name}.service").write_text(service)
        (tmp_path / f"pneumoctl-{name}.socket").write_text(socket)
    backup = render("systemd/pneumoctl-backup.service", root="/srv/pneumoctl", bucket="b", region="eu-west-1")
    (tmp_path / "pneumoctl-backup.service").write_text(backup)
    (tmp_path / "pneumoctl-backup.timer").write_text(render("systemd/pneumoctl-backup.timer", minutes=60))
    return tmp_path


def analyze(*words: str) -> str:
    if not shutil.which("systemd-analyze"):
        pytest.skip(needs.SYSTEMD)
    result = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True)
    assert result.returncode == 0 and not result.stderr, result.stderr
    return result.stdout


def test_systemd_accepts_the_units_without_warnings(units: Path) -> None:
    analyze("verify", "--man=no", *map(str, sorted(units.iterdir())))


def test_a_setting_that_systemd_does_not_know_is_detected(units: Path) -> None:
    file = units / "pneumoctl-api.service"
    file.write_text(file.read_text().replace("NoNewPrivileges=", "NoNewPrivilege="))
    with pytest.raises(AssertionError, match="NoNewPrivilege"):
        analyze("verify", "--man=no", str(file))


@pytest.mark.parametrize(("name", "exposure"), [("api", EXPOSURE), ("ui", EXPOSURE), ("backup", TO_S3)])
def test_the_services_are_sandboxed(name: str, exposure: float, units: Path) -> None:
    last = analyze("security", "--offline=true", str(units / f"pneumoctl-{name}.service")).splitlines()[-1]
    match = re.search(r"exposure level for \S+: ([0-9.]+)", last)
    assert match and float(match[1]) <= exposure, last


def test_a_weakened_unit_is_detected(units: Path) -> None:
    file = units / "pneumoctl-api.service"
    file.write_text(re.sub("SystemCallFilter=.*\n", "", file.read_text()))
    last = analyze("security", "--offline=true", str(file)).splitlines()[-1]
    assert float(last.split(": ")[1].split()[0]) > EXPOSURE


@pytest.mark.parametrize("name", SERVICES)
def test_the_command_runs_the_current_release(name: str, units: Path, tmp_path: Path) -> None:
    """Run as systemd would: `$$` is a dollar, and a backslash at the end of a line continues it."""
    (text,) = re.findall(r"ExecStart=(.*?[^\\])\n", (units / f"pneumoctl-{name}.service").read_text(), re.DOTALL)
    kind = {"api": "api", "ui": "web"}[name]
    release, model = tmp_path / kind / "releases" / "r1", tmp_path / "model" / "releases" / "m1"
    (release / "venv" / "bin").mkdir(parents=True)
    model.mkdir(parents=True)
    python = release / "venv" / "bin" / "python"
    python.write_text('#!/bin/sh\necho "$0|$PYTHONPATH|$MODEL_BUNDLE|$*"\n')
    python.chmod(0o755)
    for link, target in ((release.parents[1] / "current", release), (model.parents[1] / "current", model)):
        link.symlink_to(target)
    argv = shlex.split(text.replace("\\\n", "").replace("$$", "$").replace("/srv/pneumoctl/", f"{tmp_path}/"))
    environment = {
        "PATH": os.environ["PATH"],
        "MODEL_BUNDLE": str(tmp_path / "model" / "current") if name == "api" else "",
    }
    result = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    started, code, bundle, options = result.stdout.strip().split("|")
    assert (started, code) == (str(python), str(release))
    assert bundle == (str(model) if name == "api" else "")
    assert options.startswith("-P -m gunicorn --workers=2 ") and options.endswith(f"webapp.{name}:create_app()")


def environment(name: str) -> str:
    shared = {"secrets": Secrets.generate(), "auth": "users", "max_upload_mb": 25, "max_pending": 8, "code": ODD}
    if name == "ui":
        return render(
            "env/ui.env",
            api_url="http://10.0.0.7:5000,http://10.0.0.8:5000",
            api_socket=None,
            proxy="10.0.0.2",
            max_reads=32,
            max_thumbnails=48,
            read_timeout_s=3,
            trusted_hosts=("a", "b"),
            **shared,
        )
    more = {
        "outside_use": "refuse",
        "receiver": True,
        "retention_days": 0,
        "keep_16_bit_mb": 0,
        "redis_host": "10.0.0.7",
        "redis_port": 6379,
        "bundle": ODD,
        "threads": 1,
        "metrics": ODD,
    }
    return render("env/api.env", redis_socket=None, **more, **shared)


# Plain characters, or single quotes and what shlex makes of a quote inside: systemd's parser (env-file.c) and a shell
# read these alike. Backslashes, dollars and spaces outside of quotes they do not.
ALIKE = re.compile(r"""[\w@%+=:,./\[\]-]*|('[^'\n]*'|"'")+""", re.ASCII)


@pytest.mark.parametrize("name", SERVICES)
def test_systemd_and_a_shell_read_the_same_in_an_environment_file(name: str, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text(environment(name))
    values = dict(line.split("=", 1) for line in file.read_text().splitlines() if not line.startswith("#"))
    assert [value for value in values.values() if not ALIKE.fullmatch(value)] == []
    read = ["sh", "-c", 'set -a; . "$0"; printf %s "$PYTHONPATH"', str(file)]
    assert subprocess.run(read, capture_output=True, text=True, check=True).stdout == ODD


def test_the_journal_is_bounded() -> None:
    text = render("journald/pneumoctl.conf", max_mb=500)
    assert "SystemMaxUse=500M" in text.splitlines()


def test_on_hosts_too_what_waits_leaves_threads_for_the_probes() -> None:
    waiting = {"app": MAX_PENDING["app"], "web": MAX_PENDING["web"] + MAX_READS + MAX_THUMBNAILS}
    assert {role: number + 4 <= THREADS[role] for role, number in waiting.items()} == {"app": True, "web": True}
