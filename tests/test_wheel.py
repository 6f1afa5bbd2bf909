"""The wheel alone, in an empty virtual environment: it ships what it needs and lives its whole life there."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pneumoctl.targets.local import processes

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)], cwd=ROOT, check=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def empty(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin directory of a new virtual environment with the wheel and its [local] extra, and nothing else."""
    home = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    command = [home / "bin" / "python", "-m", "pip", "install", "--quiet", f"{wheel}[local]"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and "connection" in done.stderr.lower():
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    return home / "bin"


@pytest.fixture
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    state = tmp_path_factory.mktemp("w")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PNEUMO_", "PYTHON"))}
    ports = {"PNEUMO_REDIS_PORT": "9310", "PNEUMO_API_PORT": "9320", "PNEUMO_UI_PORT": "9330"}
    yield kept | ports | {"XDG_STATE_HOME": str(state), "XDG_DATA_HOME": str(state / "share"), "PNEUMO_STACK": "w"}
    processes.end(state / "pneumoctl" / "w")


def test_the_wheel_holds_templates_terraform_and_the_model_and_no_tests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for wanted in (
        "pneumoctl/_bundle/templates/supervisor/supervisord.conf.j2",
        "pneumoctl/_bundle/terraform/versions.tf",
        "model/pretrained/bundle.json",
        "model/pretrained/model.onnx",
        "webapp/ui/templates/base.html",
        "webapp/api/requirements.txt",
        "webapp/ui/requirements.txt",
        "pneumoctl/_bundle/templates/systemd/service.j2",
    ):
        assert wanted in names
    assert not [name for name in names if name.startswith("tests/")]
    assert sum(one.file_size for one in zipfile.ZipFile(wheel).infolist() if "pretrained" in one.filename) < 5e6


def test_the_whole_life_from_the_wheel(empty: Path, environment: dict[str, str], tmp_path: Path) -> None:
    def run(*words: str) -> str:
        done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    pneumoctl = str(empty / "pneumoctl")
    run(str(empty / "python"), "-m", "model.phantom", "drawing.png", "--seed", "7", "--opacity")
    here = json.loads(run(pneumoctl, "predict", "drawing.png", "--json"))["predictions"][0]
    run(pneumoctl, "up", "-y")
    there = json.loads(run(pneumoctl, "predict", "drawing.png", "--remote", "--json"))["predictions"][0]
    same = ("id", "finding", "refusal", "probability", "threshold", "model")
    assert {key: here[key] for key in same} == {key: there[key] for key in same}
    assert json.loads(run(pneumoctl, "teardown", "-y", "--json"))["left"] == []


def test_the_base_alone_says_which_extra_is_missing(wheel: Path, tmp_path: Path) -> None:
    """Without [predict] the command says what to install; seen by hiding onnxruntime."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['onnxruntime'] = None\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    command = [sys.executable, "-m", "pneumoctl", "predict", str(ROOT / "README.md")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode != 0 and "[predict]" in done.stderr and "Traceback" not in done.stderr
