"""Which releases go, by the very shell programs that the hosts run."""

import os
import subprocess
from pathlib import Path

import pytest

from pneumoctl.hosts import old_releases


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host with seven releases of the API, r6 the newest; r6 serves, r5 served before."""
    for number in range(7):
        bring(tmp_path, f"r{number}", number)
    points(tmp_path, "r6", "r5")
    return tmp_path


def bring(root: Path, name: str, age: int) -> None:
    release = root / "api/releases" / name
    release.mkdir(parents=True)
    venv = root / "venvs" / f"of-{name}"
    venv.mkdir(parents=True)
    (release / "venv").symlink_to(venv)
    os.utime(release, (age, age))


def points(root: Path, current: str, previous: str) -> None:
    for link, release in (("current", current), ("previous", previous)):
        (root / "api" / link).unlink(missing_ok=True)
        (root / "api" / link).symlink_to(f"releases/{release}")


def nothing(root: Path, wanted: str) -> bool:
    """Whether the probe finds nothing to do."""
    (probe,) = old_releases.drop("app-0", {"api": wanted}, str(root)).unless
    return not subprocess.run(probe.argv, check=False).returncode


def left(root: Path, wanted: str) -> set[str]:
    """What the step leaves, and nothing to do behind it."""
    (action,) = old_releases.drop("app-0", {"api": wanted}, str(root)).actions
    subprocess.run(action.argv, check=True)  # type: ignore[union-attr]
    assert nothing(root, wanted)
    there = {one.name for one in (root / "api/releases").iterdir()}
    assert {one.name for one in (root / "venvs").iterdir()} == {f"of-{one}" for one in there}
    return there


def test_the_newest_stay_with_their_environments(root: Path) -> None:
    assert not nothing(root, "r6")
    assert left(root, "r6") == {"r2", "r3", "r4", "r5", "r6"}


def test_what_serves_and_what_served_stay_however_old_they_are_and_then_nothing_is_left_to_do(root: Path) -> None:
    points(root, "r1", "r0")

    assert left(root, "r1") == {"r0", "r1", "r2", "r3", "r4", "r5", "r6"}


def test_a_release_that_is_still_to_come_counts(root: Path) -> None:
    left(root, "r6")
    assert not nothing(root, "new")
    bring(root, "new", 99)
    points(root, "new", "r6")
    assert left(root, "new") == {"r3", "r4", "r5", "r6", "new"}


def test_a_host_on_which_nothing_lies_yet_has_nothing_to_drop(tmp_path: Path) -> None:
    assert nothing(tmp_path, "new")
