"""`pneumoctl predict` as a separate process: its imports, and its errors when a library is missing."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from model import phantom
from pneumoctl import installation
from pneumoctl.errors import Exit
from pneumoctl.scoring.worker_pool import MANY

ROOT = Path(__file__).parents[3]


@pytest.fixture
def drawing(tmp_path: Path) -> Path:
    path = tmp_path / "a-ill.png"
    path.write_bytes(phantom.png(101, 256, opacity=True))
    return path


def _process(*words: object, before: Path | None = None, **options: Any) -> "subprocess.CompletedProcess[str]":
    path = os.pathsep.join(str(part) for part in (before, ROOT) if part)
    command = [sys.executable, "-m", "pneumoctl", "predict", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, **options)


def _without(library: str, tmp_path: Path) -> Path:
    """A folder that hides an installed library from a process that has it in PYTHONPATH."""
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / f"{library}.py").write_text(f"raise ModuleNotFoundError('blocked', name='{library}')\n")
    return blocked


def test_missing_onnxruntime_names_the_extra(drawing: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    result = _process(drawing, "--model", tiny_bundle, before=_without("onnxruntime", tmp_path))
    assert result.returncode == Exit.FAILED
    assert "needs onnxruntime" in result.stderr and installation.install_command("predict") in result.stderr
    assert "Traceback" not in result.stderr


def test_dicom_without_pydicom_is_an_error_that_names_the_extra(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "x.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 100)
    result = _process(tmp_path / "x.dcm", "--model", tiny_bundle, before=_without("pydicom", tmp_path))
    assert result.returncode == Exit.FAILED and "ERROR" in result.stdout and "needs pydicom" in result.stdout
    assert installation.install_command("predict") in result.stdout


@pytest.mark.parametrize("count", [1, MANY])  # in this process, and in worker processes
def test_a_file_that_cannot_be_written_costs_no_finding(tiny_bundle: Path, tmp_path: Path, count: int) -> None:
    """A line of --resume is longer than the largest file that may be written; a folder has a heat map's name."""
    folder, maps = tmp_path / "films", tmp_path / "maps"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:03}.png").write_bytes(phantom.png(101, 96, opacity=True))
    chosen = (folder, "--model", tiny_bundle, "--json")
    whole = json.loads(_process(*chosen).stdout)["predictions"]
    (maps / f"{whole[0]['id']}.png").mkdir(parents=True)
    limit = (signal.SIGXFSZ, signal.SIG_IGN), (resource.RLIMIT_FSIZE, (100, 100))
    for words, reason, missing, options in (
        (("--explain", maps), "no heat map: ", 1, {}),
        (
            ("--resume", tmp_path / "saved"),
            "not saved in the file of --resume: File too large",
            count,
            {"preexec_fn": lambda: (signal.signal(*limit[0]), resource.setrlimit(*limit[1]))},
        ),
    ):
        result = _process(*chosen, *words, **options)
        told = json.loads(result.stdout)
        assert [each["finding"] for each in told["predictions"]] == [each["finding"] for each in whole]
        assert len(told["errors"]) == missing and told["errors"][0]["message"].startswith(reason)
        assert result.returncode == Exit.PARTLY and "Traceback" not in result.stderr
    assert len(list(maps.glob("*.png"))) == count and not list(maps.glob(".*"))
    again = _process(*chosen, "--resume", tmp_path / "saved")
    assert again.returncode == Exit.DONE and len(json.loads(again.stdout)["predictions"]) == count


def test_standard_input_is_scored(tiny_bundle: Path) -> None:
    content = phantom.png(101, 256, opacity=True)
    command = [sys.executable, "-m", "pneumoctl", "predict", "-", "--json", "--model", str(tiny_bundle)]
    result = subprocess.run(command, input=content, capture_output=True, cwd=ROOT)
    document = json.loads(result.stdout)
    assert result.returncode == Exit.DONE and document["predictions"][0]["finding"] == "pneumonia"
    assert document["predictions"][0]["file"] == "-"


@pytest.mark.parametrize("json_wanted", [True, False])
def test_a_closed_standard_input_is_an_error(json_wanted: bool, tiny_bundle: Path) -> None:
    line = f'"$0" -m pneumoctl predict - --model "$1" {"--json" * json_wanted} <&-'
    command = ["sh", "-c", line, sys.executable, str(tiny_bundle)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == Exit.FAILED and "Traceback" not in result.stderr
    shown = json.loads(result.stdout)["errors"][0]["message"] if json_wanted else result.stdout
    assert "standard input is closed" in shown


@pytest.mark.parametrize(("encoding", "form"), [("latin-1", ""), ("ascii", "--csv"), ("ascii", "--json")])
def test_a_name_that_the_output_cannot_hold_is_escaped(
    encoding: str, form: str, drawing: Path, tiny_bundle: Path
) -> None:
    name = "R\u00f6ntgen \u80f8\u90e8.png"
    drawing.rename(drawing.with_name(name))
    words = [sys.executable, "-m", "pneumoctl", "predict", ".", "--model", str(tiny_bundle), *form.split()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
    result = subprocess.run(words, capture_output=True, env=environment, cwd=drawing.parent)
    assert result.returncode == Exit.DONE, result.stderr
    if form == "--json":
        assert json.loads(result.stdout)["predictions"][0]["file"] == name
    else:
        assert "\\u80f8\\u90e8.png" in result.stdout.decode(encoding)


def test_pipes_are_read_like_files(drawing: Path, tiny_bundle: Path) -> None:
    fifo = drawing.with_name("fifo[1]")  # no glob either
    os.mkfifo(fifo)
    line = 'cat "$2" >"$3" & exec "$0" -m pneumoctl predict --json --model "$1" "$3" <(cat "$2") "$2"'
    command = ["bash", "-c", line, sys.executable, str(tiny_bundle), str(drawing), str(fifo)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert result.returncode == Exit.DONE, result.stderr
    probabilities = [prediction["probability"] for prediction in json.loads(result.stdout)["predictions"]]
    assert len(probabilities) == 3 and len(set(probabilities)) == 1


@pytest.mark.parametrize(
    "content", [pytest.param("", marks=pytest.mark.repeat), "raise RuntimeError('a stranger is run')\n"]
)
def test_a_package_of_the_users_named_model_is_not_ours(
    content: str, drawing: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "strange" / "model").mkdir(parents=True)
    (tmp_path / "strange" / "model" / "__init__.py").write_text(content)
    result = _process(drawing, "--model", tiny_bundle, before=tmp_path / "strange")
    assert result.returncode == Exit.DONE, result.stderr
    result = _process(drawing, "--model", tiny_bundle, cwd=tmp_path / "strange")  # -m puts the current folder first
    assert result.returncode == Exit.DONE, result.stderr


def test_cold_run_loads_nothing_heavy(drawing: Path, tiny_bundle: Path) -> None:
    script = (
        "import sys\n"
        "from pneumoctl.cli.main import run\n"
        "code = run(sys.argv[1:])\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    words = ["predict", "--model", str(tiny_bundle), str(drawing)]
    result = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, cwd=ROOT)
    loaded = {name.split(".")[0] for name in result.stderr.split()}
    assert result.returncode == Exit.DONE and {"onnxruntime", "PIL"} <= loaded
    heavy = {
        "tensorflow",
        "keras",
        "pydicom",
        "imagecodecs",
        "rich",
        "jinja2",
        "boto3",
        "webapp",
        "flask",
        "urllib3",
        "scipy",
        *("concurrent", "secrets", "tarfile", "zipfile"),  # of other commands
    }
    assert not loaded & heavy
