"""The command in a hint that adds an extra matches how pneumoctl was installed, and works."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from model import phantom
from pneumoctl import __version__
from pneumoctl.targets.local import processes
from tests.installs import environments
from tests.installs.conftest import ROOT
from tests.installs.environments import Environment, Unreachable

WHEEL = {"url": "file:///a%20b/pneumoctl-0.2.0-py3-none-any.whl", "archive_info": {}}
GIT = {
    "url": "https://example.org/p.git",
    "vcs_info": {"vcs": "git", "commit_id": "c0ffee", "requested_revision": "v1"},
}
UV = '[tool]\nrequirements = [{ name = "pneumoctl", extras = ["local"], path = "/a b/p.whl" }]\n'
PIPX = {"main_package": {"package_or_url": "/a b/pneumoctl-0.2.0-py3-none-any.whl[local,api]", "pip_args": []}}
ASK = "from pneumoctl import installation; print(installation.{}('{}'))"


@pytest.fixture(scope="module")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The base alone, without pip."""
    home = tmp_path_factory.mktemp("base")
    environments.linked(wheel, "", home)
    return Environment(home, tmp_path_factory.mktemp("state"))


@pytest.fixture
def record(base: Environment) -> Iterator[Path]:
    """Where an installer records the source of the package; nothing is recorded yet, nor afterwards."""
    (folder,) = base.home.glob("lib/python*/site-packages/pneumoctl-*.dist-info")
    yield folder / "direct_url.json"
    for written in (folder / "direct_url.json", base.home / "uv-receipt.toml", base.home / "pipx_metadata.json"):
        written.unlink(missing_ok=True)


def asked(environment: Environment, function: str = "install_command", extra: str = "aws") -> str:
    return environment.run("python", "-c", ASK.format(function, extra)).stdout.strip()


@pytest.mark.parametrize(
    ("source", "requirement"),
    [
        (WHEEL, "'/a b/pneumoctl-0.2.0-py3-none-any.whl[aws]'"),
        (GIT, "'pneumoctl[aws] @ git+https://example.org/p.git@v1'"),
        ({"url": "https://example.org/p.whl", "archive_info": {}}, "'pneumoctl[aws] @ https://example.org/p.whl'"),
        ({}, f"'pneumoctl[aws]=={__version__}'"),
    ],
)
def test_the_installation_source_is_named(
    base: Environment, record: Path, source: dict[str, object], requirement: str
) -> None:
    if source:
        record.write_text(json.dumps(source))
    assert asked(base) == f"uv pip install --python {base.python} {requirement}"


def test_uv_tool_keeps_the_extras_and_the_python(base: Environment, record: Path) -> None:
    record.write_text(json.dumps(WHEEL))
    receipt = base.home / "uv-receipt.toml"
    receipt.write_text(UV)
    assert asked(base) == "uv tool install --force '/a b/pneumoctl-0.2.0-py3-none-any.whl[aws,local]'"
    receipt.write_text(UV + 'python = "3.12"\n')
    assert asked(base).startswith("uv tool install --force --python 3.12 ")
    receipt.write_text("[tool")
    assert asked(base) == "uv tool install --force '/a b/pneumoctl-0.2.0-py3-none-any.whl[aws]'"
    assert asked(base, "upgrade_command", "botocore") == "uv tool upgrade pneumoctl"


def test_pipx_keeps_the_extras(base: Environment, record: Path) -> None:
    record.write_text(json.dumps(WHEEL))
    metadata = base.home / "pipx_metadata.json"
    metadata.write_text(json.dumps(PIPX))
    assert asked(base) == "pipx install --force '/a b/pneumoctl-0.2.0-py3-none-any.whl[api,aws,local]'"
    metadata.write_text("[]")
    assert asked(base) == "pipx install --force '/a b/pneumoctl-0.2.0-py3-none-any.whl[aws]'"
    assert asked(base, "upgrade_command", "botocore") == "pipx reinstall pneumoctl"


def test_a_checkout_is_named_by_its_folder() -> None:
    here = Environment(Path(sys.prefix), ROOT, {"PYTHONPATH": str(ROOT)})
    assert asked(here).endswith(f" install --editable '{ROOT}[aws]'")


# With the real tools, from the package index.


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin directory of uv and pipx."""
    home = tmp_path_factory.mktemp("tools")
    venv.create(home, symlinks=True, with_pip=False)
    try:
        environments.pip_install(home, "uv", "pipx")
    except Unreachable as error:
        pytest.skip(f"no package index can be reached: {error}")
    return home / "bin"


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where the installers keep what they have downloaded, so that each package is downloaded once."""
    home = tmp_path_factory.mktemp("cache")
    return {"UV_CACHE_DIR": str(home / "uv"), "PIP_CACHE_DIR": str(home / "pip")}


@pytest.fixture
def shell(
    tools: Path, cache: dict[str, str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The environment of a shell that finds uv, pipx and what they install, all of it below tmp_path."""
    python = str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")
    environment = {
        name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_")) or name == "LANG"
    }
    uv = {"UV_TOOL_DIR": "uv", "UV_TOOL_BIN_DIR": "bin"}
    pipx = {"PIPX_HOME": "pipx", "PIPX_BIN_DIR": "bin", "XDG_DATA_HOME": "share", "HOME": "home"}
    places = {name: str(tmp_path / folder) for name, folder in {**uv, **pipx}.items()}
    chosen = {"UV_PYTHON": python, "PIPX_DEFAULT_PYTHON": python, "UV_PYTHON_DOWNLOADS": "never"}
    path = f"{tmp_path / 'bin'}:{tmp_path / 'venv' / 'bin'}:{tools}:/usr/local/bin:/usr/bin:/bin"
    state = str(tmp_path_factory.mktemp("w"))  # short: sockets lie in it
    return {**environment, **places, **cache, **chosen, "PATH": path, "PNEUMO_STACK": "w", "XDG_STATE_HOME": state}


def sh(line: str, shell: dict[str, str], cwd: Path, code: int = 0) -> "subprocess.CompletedProcess[str]":
    result = subprocess.run(
        ["sh", "-c", line], env=shell, cwd=cwd, capture_output=True, text=True, timeout=600, check=False
    )
    assert result.returncode == code, f"{line}: exit {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result


def copied(target: Path) -> Path:
    """The checkout's files that an installation needs."""
    for folder in ("pneumoctl", "model", "webapp", "templates", "terraform"):
        shutil.copytree(ROOT / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, target)
    return target


def test_uv_tool_installs_the_command_and_a_hint_names_what_adds_an_extra(
    shell: dict[str, str], wheel: Path, tmp_path: Path
) -> None:
    sh(f"uv tool install -q {wheel}", shell, tmp_path)
    assert sh("pneumoctl --version", shell, tmp_path).stdout == f"pneumoctl {__version__}\n"
    checks = json.loads(sh("pneumoctl doctor --json", shell, tmp_path, code=4).stdout)["checks"]
    (row,) = [check for check in checks if check["check"] == "python"]
    assert row["fix"] == f"uv tool install --force --python {shell['UV_PYTHON']} '{wheel}[local]'"


@pytest.mark.repeat
@pytest.mark.parametrize(
    "install",
    [
        "uv tool install -q {wheel}",
        "pipx install -q {wheel}",
        "python3 -m venv venv && venv/bin/pip install -q {wheel}",
        "uv venv -q venv && uv pip install -q --python venv/bin/python {wheel}",
        "python3 -m venv venv && venv/bin/pip install -q -e {checkout}",
    ],
    ids=["uv-tool", "pipx", "pip", "uv-pip", "checkout"],
)
def test_the_command_of_a_hint_adds_the_extra(install: str, shell: dict[str, str], wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "drawing.png").write_bytes(phantom.png(7, 192, True))
    checkout = copied(tmp_path / "checkout") if "{checkout}" in install else tmp_path
    sh(install.format(wheel=shlex.quote(str(wheel)), checkout=checkout), shell, tmp_path)
    refused = sh("pneumoctl predict drawing.png", shell, tmp_path, code=1)
    (command,) = re.findall(r"next: (.*\[predict\].*)", refused.stderr)
    sh(command, shell, tmp_path)
    assert json.loads(sh("pneumoctl predict drawing.png --json", shell, tmp_path).stdout)["predictions"]


@pytest.mark.repeat
def test_a_stack_lives_from_up_to_teardown_with_uv_tool(
    shell: dict[str, str], wheel: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "drawing.png").write_bytes(phantom.png(7, 192, True))
    sh(f"uv tool install -q 'pneumoctl[local] @ {wheel}'", shell, tmp_path)
    request.addfinalizer(lambda: processes.end(Path(shell["XDG_STATE_HOME"]) / "pneumoctl" / "w"))
    sh("pneumoctl up -y", shell, tmp_path)
    answer = json.loads(sh("pneumoctl predict drawing.png --remote --json", shell, tmp_path).stdout)
    (prediction,) = answer["predictions"]
    assert prediction["finding"] is not None and prediction["refusal"] is None
    assert json.loads(sh("pneumoctl teardown -y --json", shell, tmp_path).stdout)["left"] == []
