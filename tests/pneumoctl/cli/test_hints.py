"""A hint can be typed as it is printed: options where they belong, and the stack of the command."""

from pathlib import Path

import pytest

from pneumoctl.cli.main import _with_stack, run
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.terminal.console import Console
from tests.pneumoctl.cli.commands import commands


def test_a_misspelt_verb_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["stauts"]) == Exit.USAGE
    assert "'status'" in capsys.readouterr().err


def test_a_usage_error_names_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["up", "--nonsense"]) == Exit.USAGE
    captured = capsys.readouterr()
    assert "--nonsense" in captured.err and "pneumoctl up --help" in captured.err and captured.out == ""
    assert run(["no-such-verb"]) == Exit.USAGE


@pytest.mark.parametrize(
    ("line", "corrected"),
    [
        ("--stack other status", "status --stack other"),
        ("--stack=other status --watch", "status --watch --stack=other"),
        ("--config a.toml --stack status teardown -y", "teardown -y --config a.toml --stack status"),
        ("--stack other gpu stop", "gpu stop --stack other"),
        ("gpu --region eu-west-1 stop --stack other", "gpu stop --stack other --region eu-west-1"),
        ("--yes up", "up --yes"),
        ("-y up", "up -y"),
        ("--stack other train --gpu -- --arch resnet50", "train --gpu --stack other -- --arch resnet50"),
    ],
)
def test_an_option_before_the_command_is_shown_after_it(
    line: str, corrected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line.split()) == Exit.USAGE
    assert capsys.readouterr().err.endswith(f"next: put the option after the command: pneumoctl {corrected}\n")


@pytest.mark.parametrize("line", ["--nonsense status", "--stack other", "--stack other gpu", "--stack x init"])
def test_an_option_that_no_command_takes_is_shown_with_the_help(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line.split()) == Exit.USAGE
    assert capsys.readouterr().err.endswith("next: pneumoctl --help\n")


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["up", "--stack", "x"], "pneumoctl logs --stack x, then: pneumoctl up --stack x"),
        (["gpu", "stop", "--stack", "x", "--region", "r"], "pneumoctl logs --stack x, then: pneumoctl up --stack x"),
        (["up", "--stack=x"], "pneumoctl logs --stack=x, then: pneumoctl up --stack=x"),
        (["up"], "pneumoctl logs, then: pneumoctl up"),
        (["ssh", "web-0", "--", "x", "--stack", "y"], "pneumoctl logs, then: pneumoctl up"),
    ],
)
def test_a_hint_is_about_the_stack_of_the_command(argv: list[str], hint: str) -> None:
    assert _with_stack("pneumoctl logs, then: pneumoctl up", argv) == hint
    gpu_stop = _with_stack("next: pneumoctl gpu stop", ["gpu", "status", "--stack", "x", "--region", "r"])
    assert gpu_stop == "next: pneumoctl gpu stop --stack x --region r"
    assert _with_stack("leave it out, or: pneumoctl teardown --stack y", argv).endswith("teardown --stack y")
    assert _with_stack("pneumoctl up --target aws --stack y", argv) == "pneumoctl up --target aws --stack y"


def test_every_command_on_a_stack_is_hinted_with_it() -> None:
    """A hint with any verb, typed as printed, acts on the stack of the error."""
    for name, command in commands():
        takes_it = any("--stack" in parameter.opts and not parameter.hidden for parameter in command.params)
        expected = f"pneumoctl {name} --stack x" if takes_it else f"pneumoctl {name}"
        assert _with_stack(f"pneumoctl {name}", ["status", "--stack", "x"]) == expected
    assert _with_stack("pneumoctl model ls, or pneumoctl nothing like it", ["ls", "--stack=x"]) == (
        "pneumoctl model ls --stack=x, or pneumoctl nothing like it"
    )


def test_a_hint_that_mentions_the_option_still_names_the_stack() -> None:
    text = "take another --stack; or destroy it: pneumoctl teardown"
    assert _with_stack(text, ["up", "--stack", "prod"]).endswith("pneumoctl teardown --stack prod")


def test_a_settings_file_that_was_named_stays_named() -> None:
    argv = ["up", "--config", "prod.toml", "--stack=x"]
    assert _with_stack("then: pneumoctl up -y", argv) == "then: pneumoctl up --stack=x --config prod.toml -y"
    assert _with_stack("pneumoctl model ls", ["up", "--config=a.toml"]) == "pneumoctl model ls --config=a.toml"
    assert _with_stack("pneumoctl up", ["status", "--stack", "a", "--stack", "b"]) == "pneumoctl up --stack b"
    assert _with_stack("pneumoctl up", ["up", "--stack=a", "--stack", "b", "--stack=c"]) == "pneumoctl up --stack=c"
    assert _with_stack("pneumoctl up", ["up", "--config", "a b'c"]) == """pneumoctl up --config 'a b'"'"'c'"""
    assert _with_stack("pneumoctl up", ["up", "--config=a b"]) == "pneumoctl up --config='a b'"


def test_a_command_in_any_line_acts_on_the_stack_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Not only in hints: in results, notes, warnings and messages, too. Another program's words stay as they are."""
    console = Console()
    console.rewrite = lambda text: _with_stack(text, ["status", "--stack", "x"])
    for show in (console.text, console.note, console.warn, console.alarm):
        show("next: pneumoctl up")
    console.show(["next: pneumoctl up"])
    console.fail(PneumoError("first: pneumoctl up", "then: pneumoctl up"))
    shown = capsys.readouterr()
    assert (shown.out + shown.err).count("pneumoctl up --stack x") == 7
    console.text("log: pneumoctl up", verbatim=True)
    assert capsys.readouterr().out == "log: pneumoctl up\n"


def test_a_path_in_a_hint_is_quoted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "my settings.toml"
    assert run(["status", "--config", str(file)]) == Exit.USAGE
    assert f"pneumoctl init --to '{file}'" in capsys.readouterr().err
