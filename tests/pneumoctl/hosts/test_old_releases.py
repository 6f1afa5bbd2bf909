"""Which releases are removed, by the shell programs that the hosts run."""

import os
import subprocess
from pathlib import Path

import pytest

from pneumoctl.hosts import old_releases


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host with seven releases of the API, r6 being the newest and current, r5 the previous one."""
    for number in range(7):
        add(tmp_path, f"r{number}", number)
    set_links(tmp_path, "r6", "r5")
    return tmp_path


def add(root: Path, name: str, age: int) -> None:
    release = root / "api/releases" / name
    release.mkdir(parents=True)
    venv = root / "venvs" / f"of-{name}"
    venv.mkdir(parents=True)
    (release / "venv").symlink_to(venv)
    os.utime(release, (age, age))


def set_links(root: Path, current: str, previous: str) -> None:
    for link, release in (("current", current), ("previous", previous)):
        (root / "api" / link).unlink(missing_ok=True)
        (root / "api" / link).symlink_to(f"releases/{release}")


def nothing_to_do(root: Path, wanted: str) -> bool:
    """Whether the probe finds nothing to do."""
    (probe,) = old_releases.remove("app-0", {"api": wanted}, str(root)).done_if
    return not subprocess.run(probe.argv, check=False).returncode


def remaining(root: Path, wanted: str) -> set[str]:
    """The releases that the step keeps; nothing must be left to do."""
    (action,) = old_releases.remove("app-0", {"api": wanted}, str(root)).actions
    subprocess.run(action.argv, check=True)  # type: ignore[union-attr]
    assert nothing_to_do(root, wanted)
    there = {path.name for path in (root / "api/releases").iterdir()}
    assert {path.name for path in (root / "venvs").iterdir()} == {f"of-{release}" for release in there}
    return there


def test_the_newest_are_kept_with_their_environments(root: Path) -> None:
    assert not nothing_to_do(root, "r6")
    assert remaining(root, "r6") == {"r2", "r3", "r4", "r5", "r6"}


def test_the_current_and_the_previous_release_are_kept_whatever_their_age(root: Path) -> None:
    set_links(root, "r1", "r0")

    assert remaining(root, "r1") == {"r0", "r1", "r3", "r4", "r5", "r6"}


def test_a_release_that_is_not_there_yet_counts(root: Path) -> None:
    remaining(root, "r6")
    assert not nothing_to_do(root, "new")
    add(root, "new", 99)
    set_links(root, "new", "r6")
    assert remaining(root, "new") == {"r3", "r4", "r5", "r6", "new"}


def test_an_old_release_that_is_brought_again_counts_as_the_newest(root: Path) -> None:
    remaining(root, "r6")
    kept = remaining(root, "r2")
    os.utime(root / "api/releases/r2", (99, 99))
    set_links(root, "r2", "r6")
    assert remaining(root, "r2") == kept


def test_a_new_host_has_nothing_to_remove(tmp_path: Path) -> None:
    assert nothing_to_do(tmp_path, "new")
