"""The command line as a whole: start-up, help, errors, JSON."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pneumoctl.__main__ import _with_stack, run
from pneumoctl.cli.app import app
from pneumoctl.errors import Exit

HEAVY = {
    "boto3",
    "fabric",
    "flask",
    "jinja2",
    "keras",
    "matplotlib",
    "model",
    "numpy",
    "onnxruntime",
    "paramiko",
    "psutil",
    "redis",
    "rich",
    "sklearn",
    "supervisor",
    "tensorflow",
    "urllib3",
    "webapp",
}


def test_the_application_imports_nothing_heavy() -> None:
    code = "import sys, pneumoctl.__main__, pneumoctl.cli.app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & {name.split(".")[0] for name in loaded}


def test_pneumoctl_never_imports_tensorflow_nor_webapp() -> None:
    root = Path(__file__).parents[2] / "pneumoctl"
    for file in root.rglob("*.py"):
        text = file.read_text()
        for name in ("tensorflow", "keras", "webapp"):
            assert f"import {name}" not in text and f"from {name}" not in text, f"{file.name} imports {name}"


def test_every_command_has_help_and_stands_in_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    names = [command.name or command.callback.__name__ for command in app.registered_commands]
    names += [group.name for group in app.registered_groups]
    assert "up" in names and "data" in names
    for name in names:
        assert run([name, "--help"]) == 0
        said = capsys.readouterr().out
        assert "Usage: pneumoctl" in said and len(said.splitlines()) > 4
        assert f"pneumoctl {name}" in readme, f"README says nothing of `pneumoctl {name}`"


def test_a_usage_error_names_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["up", "--nonsense"]) == Exit.USAGE
    said = capsys.readouterr()
    assert "--nonsense" in said.err and "pneumoctl up --help" in said.err and said.out == ""
    assert run(["no-such-verb"]) == Exit.USAGE


def test_an_error_under_json_is_exactly_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--json", "--stack", "Bad Name"]) == Exit.USAGE
    document = json.loads(capsys.readouterr().out)
    assert document["error"]["code"] == Exit.USAGE and "stack" in document["error"]["message"]
    assert run(["up", "--json", "--nonsense"]) == Exit.USAGE
    assert json.loads(capsys.readouterr().out)["error"]["code"] == Exit.USAGE


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["up", "--stack", "x"], "pneumoctl logs --stack x, then: pneumoctl up --stack x"),
        (["up", "--stack=x"], "pneumoctl logs --stack=x, then: pneumoctl up --stack=x"),
        (["up"], "pneumoctl logs, then: pneumoctl up"),
    ],
)
def test_a_hint_is_about_the_stack_of_the_command(argv: list[str], hint: str) -> None:
    assert _with_stack("pneumoctl logs, then: pneumoctl up", argv) == hint
    assert _with_stack("leave it out, or: pneumoctl teardown --stack y", argv).endswith("teardown --stack y")


def test_an_operating_system_error_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert run(["teardown", "-y", "--json"]) == Exit.FAILED
    assert "file" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_no_words_at_all_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "Usage: pneumoctl" in capsys.readouterr().out


def test_init_for_aws_sets_the_target_and_refuses_another(tmp_path: Path) -> None:
    file = tmp_path / "pneumo.toml"
    assert run(["init", "--target", "azure", "--to", str(file)]) == Exit.USAGE
    assert not file.exists()
    assert run(["init", "--target", "aws", "--to", str(file)]) == 0
    assert 'target = "aws"' in file.read_text().splitlines()


def test_init_writes_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "pneumo.toml"
    assert run(["init", "--to", str(file)]) == 0
    file.write_text("mine")
    assert run(["init", "--to", str(file)]) == Exit.FAILED
    assert file.read_text() == "mine"
    assert run(["init", "--to", str(tmp_path / "no" / "dir.toml")]) == Exit.FAILED
    assert "cannot be written" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("pneumoctl 0.")


def test_a_closed_pipe_is_no_traceback() -> None:
    command = f"{sys.executable} -m pneumoctl init --to /dev/null/x --json | true"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("target", [">/dev/full", ">&-"])
def test_an_output_that_cannot_be_written_is_no_traceback(target: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m pneumoctl status --stack nosuch {target}"], capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr and done.returncode == 1
