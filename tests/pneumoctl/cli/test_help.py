"""Help: `-h` is `--help` for every command and group."""

from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_group

from pneumoctl.cli.app import app
from pneumoctl.cli.main import run


def paths(command: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command and group."""
    yield above
    for name in command.list_commands(None) if hasattr(command, "list_commands") else ():
        yield from paths(command.get_command(None, name), (*above, name))


def test_every_command_is_found() -> None:
    assert {(), ("up",), ("model",), ("model", "ls"), ("gpu", "stop")} <= set(paths(get_group(app)))


@pytest.mark.parametrize("words", list(paths(get_group(app))), ids=" ".join)
def test_short_help_is_the_help(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "--help"]) == 0
    long = capsys.readouterr().out
    assert run([*words, "-h"]) == 0
    assert capsys.readouterr().out == long
    assert "-h, --help" in long


def test_a_command_behind_the_dashes_keeps_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """`df -h` on a host is not our help."""
    assert run(["ssh", "web-0", "--stack", "none-such", "--", "df", "-h"]) != 0
    assert "Usage" not in capsys.readouterr().out


def test_no_line_of_a_group_is_cut_off(capsys: pytest.CaptureFixture[str]) -> None:
    for words in paths(get_group(app)):
        assert run([*words, "--help"]) == 0
        commands = capsys.readouterr().out.partition("\nCommands:\n")[2]
        assert not [line for line in commands.splitlines() if line.endswith("...")], words
