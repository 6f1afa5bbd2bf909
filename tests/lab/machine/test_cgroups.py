"""Groups are killed and removed also while somebody else removes them."""

import shutil
from pathlib import Path

import pytest

from tests.lab.machine import cgroups
from tests.lab.machine.cgroups import Group


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the group `host`, with plain files in place of the kernel's."""
    monkeypatch.setattr(cgroups, "_hierarchies", lambda: (tmp_path,))
    (tmp_path / "host").mkdir()
    (tmp_path / "host/cgroup.kill").touch()
    (tmp_path / "host/cgroup.events").write_text("populated 1\n")
    return tmp_path / "host"


def test_a_group_that_is_removed_while_it_is_killed_is_dead(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Group, "populated", lambda _: (shutil.rmtree(directory), True)[1])
    Group("host").kill()
    assert not directory.exists()


def test_a_group_whose_processes_survive_is_reported(directory: Path) -> None:
    with pytest.raises(TimeoutError, match="processes of host survive"):
        Group("host").kill(timeout=0.1)


def test_no_group_is_dead_and_can_be_removed() -> None:
    missing = Group("pneumolab-no-such-group")
    missing.kill_and_remove()
    assert not missing.populated()
