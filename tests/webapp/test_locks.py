"""The lock files fulfil pyproject.toml, have hashes for every package, and contain no command-line packages."""

from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.webapp.locks import LOCKS, pins, wanted

EXTRAS = sorted(LOCKS)
CUDA = LOCKS["host"].with_name("requirements-cuda.txt")


@pytest.mark.parametrize("extra", EXTRAS)
def test_every_requirement_in_pyproject_is_locked_within_its_range(extra: str) -> None:
    locked = pins(LOCKS[extra])
    for requirement in map(Requirement, wanted(extra)):
        version = locked.get(canonicalize_name(requirement.name))
        assert version and requirement.specifier.contains(version), f"{requirement}: {version}. Make the lock anew"


def test_the_two_locks_name_the_same_versions() -> None:
    api, ui = pins(LOCKS["api"]), pins(LOCKS["ui"])
    assert {name: api[name] for name in api.keys() & ui.keys()} == {name: ui[name] for name in api.keys() & ui.keys()}


def test_locks_contain_no_dependency_of_the_command_line_only() -> None:
    for extra in ("api", "ui"):
        assert not {"typer", "rich", "psutil", "supervisor", "fabric", "tensorflow"} & pins(LOCKS[extra]).keys()


def test_dependencies_of_redis_on_debian_12_are_locked() -> None:
    """Debian 12 has Python 3.11.2; redis needs async-timeout before Python 3.11.3."""
    assert "async-timeout" in pins(LOCKS["api"])


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_lock_states_its_command_and_no_registry(extra: str) -> None:
    text = LOCKS[extra].read_text()
    assert f"python -m tests.webapp.locks {extra} | uv pip compile" in text.splitlines()[1]
    assert "://" not in text


def test_cuda_versions_match_tensorflow() -> None:
    """The lock has every package of tensorflow[and-cuda], within the range that tensorflow's metadata states."""
    cuda, version = pins(CUDA), pins(LOCKS["host"])["tensorflow"]
    names = ("tensorflow", "tensorflow-cpu")
    installed = next(
        distribution for distribution in metadata.distributions() if canonicalize_name(distribution.name) in names
    )
    assert version == installed.version
    requirements = [Requirement(requirement) for requirement in installed.requires or () if "and-cuda" in requirement]
    named = [
        requirement
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate({"extra": "and-cuda"})
    ]
    assert len(named) > 5
    for requirement in named:
        locked = cuda.get(canonicalize_name(requirement.name))
        assert locked and requirement.specifier.contains(locked), f"{requirement}: {locked}. Make the lock anew"
    assert Version(cuda["nvidia-cudnn-cu12"]) < Version("9.11"), "the V100 of p3 is not for newer ones"


@pytest.mark.parametrize("line", ["flask>=3", "flask==3.1.3", "-e .", "--index-url=x", "flask==3.1.3 --hash=md5:00"])
def test_a_line_without_pin_and_hashes_is_rejected(line: str, tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"{LOCKS['ui'].read_text()}{line}\n")
    with pytest.raises(ValueError, match="does not pin"):
        pins(lock)
