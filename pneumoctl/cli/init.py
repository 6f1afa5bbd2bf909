"""`pneumoctl init`: write a commented settings file, unless there is one."""

from pathlib import Path
from typing import Annotated

import typer

from pneumoctl.cli.invocation import output_options
from pneumoctl.cli.options import Target
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack import settings
from pneumoctl.terminal.console import console


@output_options
def init(
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="File to write.")] = Path("pneumo.toml"),
    target: Target = None,
) -> int:
    """Write a commented pneumo.toml.

    The file contains every setting with its default. An existing file is never overwritten.
    """
    text = settings.template(target or "")
    try:
        with to.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise PneumoError(
            f"{to} exists already and is not changed", f"edit {to}, or name another file with --to", Exit.USAGE
        ) from None
    except OSError as error:
        raise PneumoError(f"{to} cannot be written: {error.strerror}", "choose another file with --to") from error
    console.text(f"wrote {to}")
    console.result({"file": str(to)})
    return 0
