"""Run the application and turn every error into a message, a hint and an exit code."""

import os
import sys

from pneumoctl.console import console
from pneumoctl.errors import Exit, PneumoError


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run(sys.argv[1:]))


def run(argv: list[str]) -> int:
    """Run one command line; returns the exit code."""
    import click

    from pneumoctl.app import app

    console.configure(argv)
    try:
        return int(app(args=argv, prog_name="pneumoctl", standalone_mode=False) or 0)
    except PneumoError as error:
        console.fail(error)
        return error.code
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "pneumoctl"
        console.fail(PneumoError(error.format_message(), f"{where} --help", Exit.USAGE))
        return Exit.USAGE
    except (KeyboardInterrupt, click.exceptions.Abort):
        console.fail(PneumoError("interrupted", "run the same command again: it resumes", Exit.INTERRUPTED))
        return Exit.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED


if __name__ == "__main__":
    main()
