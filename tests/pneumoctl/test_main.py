"""The command line as a whole: start-up, help, errors, JSON."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_group

from pneumoctl.cli.app import VERBS, app
from pneumoctl.cli.main import run
from pneumoctl.errors import Exit
from pneumoctl.terminal.console import Console
from tests.pneumoctl.cli.commands import commands

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
    code = "import sys, pneumoctl.__main__, pneumoctl.cli.main; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & {name.split(".")[0] for name in loaded}


def test_a_command_on_a_local_stack_imports_no_numpy() -> None:
    code = (
        "import sys, pneumoctl.targets.local.target, pneumoctl.targets.local.readiness; print('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_pneumoctl_never_imports_tensorflow_nor_webapp() -> None:
    root = Path(__file__).parents[2] / "pneumoctl"
    for file in root.rglob("*.py"):
        text = file.read_text()
        for name in ("tensorflow", "keras", "webapp"):
            assert f"import {name}" not in text and f"from {name}" not in text, f"{file.name} imports {name}"


def test_the_list_of_verbs_says_what_their_modules_say() -> None:
    for verb, (_, text) in VERBS.items():
        command = get_group(app).get_command(None, verb)
        assert command.help.splitlines()[0] == text, verb
        assert len(text) <= 66 and text[0].isupper() and text.endswith(".")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_has_help(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = [name for name, _ in commands()]
    assert "up" in names and "data push" in names and len(names) > 35
    for name in names:
        assert run([*name.split(), flag]) == 0, name
        shown = capsys.readouterr().out
        assert f"Usage: pneumoctl {name}" in shown and len(shown.splitlines()) > 4


def test_every_command_has_the_output_options() -> None:
    for name, command in commands():
        options = {option for parameter in command.params for option in parameter.opts}
        assert hasattr(command, "commands") or {"--json", "--quiet", "--no-color"} <= options, name


def test_the_output_options_may_stand_before_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--json", "--quiet", "-q", "--no-color"):
        assert run([option, "gpu", "--help"]) == Exit.DONE
        assert "Usage: pneumoctl gpu" in capsys.readouterr().out


def test_an_error_under_json_is_exactly_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--json", "--stack", "Bad Name"]) == Exit.USAGE
    document = json.loads(capsys.readouterr().out)
    assert document["error"]["code"] == Exit.USAGE and "stack" in document["error"]["message"]
    assert run(["up", "--json", "--nonsense"]) == Exit.USAGE
    assert json.loads(capsys.readouterr().out)["error"]["code"] == Exit.USAGE


@pytest.mark.parametrize("option", ["--json", "-q", "--quiet", "--no-color"])
def test_options_of_another_program_are_not_ours(option: str) -> None:
    console = Console()
    console.configure(["ssh", "web-0", "--", "df", option])
    assert not console.json_mode and not console.quiet and console.colour
    console.configure(["ssh", "web-0", option, "--", "df"])
    assert console.json_mode or console.quiet or not console.colour


@pytest.mark.parametrize("line", ["--json audit --stack x", "audit --stack x --json", "model --json register none"])
def test_options_of_the_output_stand_anywhere(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line.split()) in (Exit.DONE, Exit.FAILED)
    assert "--json" not in str(json.loads(capsys.readouterr().out))


def test_an_operating_system_error_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert run(["teardown", "-y", "--json"]) == Exit.FAILED
    assert "file" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_no_arguments_print_the_help(capsys: pytest.CaptureFixture[str]) -> None:
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
    assert run(["init", "--to", str(file)]) == Exit.USAGE  # as for an export that exists
    assert file.read_text() == "mine"
    assert run(["init", "--to", str(tmp_path / "no" / "dir.toml")]) == Exit.FAILED
    assert "cannot be written" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("pneumoctl 0.")


def test_every_module_that_is_started_does_something() -> None:
    """`python -m MODULE` of a module that only defines things ends with 0 and has done nothing."""
    root = Path(__file__).parents[2]
    sources = [
        file.read_text() for package in ("pneumoctl", "model", "webapp") for file in (root / package).rglob("*.py")
    ]
    started = {name for text in sources for name in re.findall(r'"-m",\s*"((?:pneumoctl|model|webapp)[\w.]*)"', text)}
    assert {"model.train", "webapp.check"} <= started
    for name in started:
        path = root / name.replace(".", "/")
        entry = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
        assert '__name__ == "__main__"' in entry.read_text(), f"python -m {name} does nothing"
