"""Drift of a host: what is compared, and that every change of a file in a release is detected."""

import csv
import hashlib
import json
import shutil
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest

from model import bundle
from pneumoctl.hosts import configure, units
from pneumoctl.registry import promotion
from pneumoctl.ssh import host_program
from pneumoctl.stack.settings import Settings
from pneumoctl.targets.aws.configuration import desired
from pneumoctl.targets.aws.inspection import drift
from tests.pneumoctl.examples import DESIRED

HOSTS = {host.name: host for host in DESIRED.inventory.hosts}


def rows(name: str) -> set[tuple[str, str, str]]:
    """All findings that are possible for a host."""
    steps = [step for step in configure.plan(DESIRED).steps if name in step.hosts and not step.needed_by]
    return {(part.row.what, part.row.where, part.row.detail) for part in drift.parts(HOSTS[name], steps)}


def test_every_file_unit_and_package_of_a_host_is_looked_at_by_its_name() -> None:
    looked_at = rows("app-0")

    for path in ("/etc/pneumoctl/api.env", "/etc/redis/redis.conf", "/etc/systemd/system/pneumoctl-api.service"):
        assert ("changed", f"app-0: {path}", "contents or rights differ") in looked_at
    for package in ("redis-server", "prometheus-node-exporter", "python3-venv"):
        assert ("gone", f"app-0: package {package}", "is not installed") in looked_at
    assert ("stopped", "app-0: redis-server", "does not run") in looked_at


@pytest.mark.parametrize("name", sorted(name for name, host in HOSTS.items() if host.role != "train"))
def test_no_probe_is_asked_twice_and_every_unit_must_start_at_boot(name: str) -> None:
    steps = [step for step in configure.plan(DESIRED).steps if name in step.hosts and not step.needed_by]
    probes = [part.probe for part in drift.parts(HOSTS[name], steps)]

    assert len(probes) == len(set(probes))
    stopped = {f"{name}: {unit}" for unit in units.of(HOSTS[name])}
    assert stopped <= {where for _, where, detail in rows(name) if detail == "does not start at boot"}


def test_only_the_fact_that_a_secret_file_differs_is_shown() -> None:
    steps = [step for step in configure.plan(DESIRED).steps if "app-0" in step.hosts]
    puts = [part.put for part in drift.parts(HOSTS["app-0"], steps) if part.put]

    assert {put.path for put in puts if put.secret} >= {"/etc/pneumoctl/api.env", "/etc/redis/users.acl"}


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release of code as it lies on a host, with an environment of one package."""
    source = tmp_path / "checkout"
    for name in ("webapp", "model"):
        (source / name).mkdir(parents=True)
        (source / name / "code.py").write_text(name)
    for kind in ("api", "ui"):
        (source / "webapp" / kind).mkdir()
        (source / "webapp" / kind / "requirements.txt").write_text("")
    digest = desired.available_releases(Settings(), source).api.digest
    root = tmp_path / "releases" / digest
    for name in ("webapp", "model"):
        shutil.copytree(source / name, root / name)
    packages = tmp_path / "venvs" / "a" / "lib" / "python3.11" / "site-packages"
    (packages / "one-1.dist-info").mkdir(parents=True)
    (packages / "one.py").write_text("one")
    hashed = urlsafe_b64encode(hashlib.sha256(b"one").digest()).decode().rstrip("=")
    with (packages / "one-1.dist-info" / "RECORD").open("w", newline="") as record:
        csv.writer(record).writerows([("one.py", f"sha256={hashed}", "3"), ("one-1.dist-info/RECORD", "", "")])
    (root / "venv").symlink_to(tmp_path / "venvs" / "a")
    return root


def findings_of(root: Path) -> list[str]:
    """What a host answers: a Python without our packages runs the program that is sent."""
    with NamedTemporaryFile(suffix=".zip") as program:
        program.write(host_program.archive())
        program.flush()
        argv = [sys.executable, "-IS", "-c", CHECK, program.name, str(root)]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()


CHECK = """import sys
sys.path.insert(0, sys.argv[1])
from pneumoctl.ssh.on_host.release_check import differences
for kind, path in differences(sys.argv[2:]):
    print(kind, path)"""


def test_an_unchanged_release_has_no_drift(release: Path) -> None:
    (release / "webapp" / "__pycache__").mkdir()
    (release / "webapp" / "__pycache__" / "code.pyc").write_text("made by Python")

    assert findings_of(release) == []


PACKAGES = "venv/lib/python3.11/site-packages"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda root: (root / "webapp/code.py").write_text("other"), "differs "),
        (lambda root: (root / "model/more.py").write_text("new"), "differs "),
        (lambda root: (root / "model/code.py").unlink(), "differs "),
        (lambda root: (root / PACKAGES / "one.py").write_text("two"), f"differs {PACKAGES}/one.py"),
        (lambda root: (root / PACKAGES / "one.py").unlink(), f"missing {PACKAGES}/one.py"),
        (lambda root: (root / PACKAGES / "two.pth").write_text("import os"), f"added {PACKAGES}/two.pth"),
        (lambda root: (root / PACKAGES / "one-1.dist-info/RECORD").write_bytes(b"\xff"), "differs "),
    ],
)
def test_every_change_of_a_release_is_seen(release: Path, change: Callable[[Path], object], expected: str) -> None:
    change(release)

    assert [line.replace(f"{release}/", "").replace(str(release), "") for line in findings_of(release)][:1] == [
        expected
    ]


def test_every_change_of_a_models_bundle_is_seen(tmp_path: Path) -> None:
    name, source = promotion.model_bundle(Settings())
    root = tmp_path / name
    shutil.copytree(source, root)
    assert source == bundle.pretrained() and findings_of(root) == []

    (root / "MODEL_CARD.md").write_text("another")
    (root / "report" / "history.png").unlink()
    manifest = json.loads((root / "bundle.json").read_text())
    (root / "bundle.json").write_text(json.dumps(manifest | {"temperature": 9.0}))

    findings = {line.replace(f"{root}/", "") for line in findings_of(root)}
    assert findings == {"differs bundle.json", "differs MODEL_CARD.md", "missing report/history.png"}
