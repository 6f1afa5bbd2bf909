"""Every command of the program, with its options."""

from collections.abc import Iterator
from typing import Any

from typer.main import get_group

from pneumoctl.cli.app import app


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its words, those in groups too."""
    root = get_group(app)
    for verb in root.list_commands(None):
        command = root.get_command(None, verb)
        yield verb, command
        for name, nested in getattr(command, "commands", {}).items():
            yield f"{verb} {name}", nested
