"""Fixtures: the wheel, an environment for each extra, and commands that do not use this user's files."""

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from pneumoctl.targets.local import processes
from tests.installs import environments
from tests.installs.environments import Environment, Unreachable
from tests.lab.machine.home import CONFIGURATION, plugin_mirror

ROOT = Path(__file__).parents[2]
Make = Callable[..., Environment]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environments.build_wheel(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session", params=["linked", pytest.param("installed", marks=pytest.mark.repeat)])
def homes(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable:
    """The directory of the one environment that has an extra, made when it is first asked for."""
    create = getattr(environments, request.param)

    @cache
    def home(extra: str) -> Path:
        directory = tmp_path_factory.mktemp(f"{request.param}-{extra}")
        try:
            create(wheel, extra, directory)
        except Unreachable as error:
            pytest.skip(f"no package index can be reached: {error}")
        return directory

    return home


@pytest.fixture
def make(homes: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """Gives the environment of an extra; all of one test share a stack, which is stopped afterwards."""
    state = tmp_path_factory.mktemp("w")  # short: sockets lie in it
    yield lambda extra, **more: Environment(homes(extra), state, more)
    processes.end(state / "pneumoctl" / "w")


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which terraform finds its AWS provider on this machine; skips without terraform."""
    mirror = plugin_mirror()
    if mirror is None or not shutil.which("terraform"):
        pytest.skip("terraform or its AWS provider is not on this machine: see tests/lab/README.md")
    configuration = tmp_path_factory.mktemp("terraform") / "terraformrc"
    configuration.write_text(CONFIGURATION.format(mirror=mirror))
    return {"TF_CLI_CONFIG_FILE": str(configuration), "CHECKPOINT_DISABLE": "1"}
