"""Run the application and turn every error into a message, a hint and an exit code."""

import os
import re
import signal
import sys
from types import FrameType
from typing import Any

import typer

from pneumoctl.cli.app import app
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.terminal.console import console

# Typer re-exports neither of these, and has carried its own copy of click since 0.26.
UsageError: Any = typer.BadParameter.__mro__[1]


def main() -> None:
    """Entry point of the console script."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    sys.exit(run(sys.argv[1:]))


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def run(argv: list[str]) -> int:
    """Run one command line; returns the exit code."""
    if sys.stdout is None:  # closed by the caller
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
    try:
        code = _run(argv)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    except OSError as error:  # such as a full disk
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        console.fail(PneumoError(f"the output cannot be written: {error.strerror}", ""))
        return Exit.FAILED
    return code


def _run(argv: list[str]) -> int:
    console.configure(argv)
    try:
        return int(app(args=argv or ["--help"], prog_name="pneumoctl", standalone_mode=False) or 0)
    except PneumoError as error:
        error.hint = _with_stack(error.hint, argv)
        console.fail(error)
        return error.code
    except UsageError as error:
        where = error.ctx.command_path if getattr(error, "ctx", None) else "pneumoctl"
        console.fail(PneumoError(error.format_message(), f"{where} --help", Exit.USAGE))
        return Exit.USAGE
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted(Exit.INTERRUPTED)
    except SystemExit as end:
        return _interrupted(end.code) if isinstance(end.code, int) and end.code > 128 else int(end.code or 0)
    except BrokenPipeError:
        raise
    except OSError as error:  # disk full, no permission, a file where a folder should be
        console.fail(
            PneumoError(f"{error.filename or 'the system'}: {error.strerror or error}", "mend that, then again")
        )
        return Exit.FAILED


def _with_stack(hint: str, argv: list[str]) -> str:
    """The commands of a hint, for the stack that this command was about: typed as they stand, they hit no other.

    (A stack named by PNEUMO_STACK or pneumo.toml is found by them, too.)
    """
    named = [word for word in argv if word.startswith("--stack=")]
    if "--stack" in argv[:-1]:
        named = [f"--stack {argv[argv.index('--stack') + 1]}"]
    if not named or "--stack" in hint:
        return hint
    verbs = (
        "up|status|logs|plan|doctor|teardown|ssh|tunnel|drift|cost|configure|deploy|rollback|infer|audit|"
        "train|runs ls|runs show|runs logs|runs cancel|runs fetch|gpu status|gpu stop|gpu guard|gpu reap|data push|"
        "secrets show|secrets rotate"
    )
    return re.sub(rf"\bpneumoctl ({verbs})\b", rf"pneumoctl \1 {named[-1]}", hint)


def _interrupted(code: int) -> int:
    console.fail(PneumoError("interrupted", "run the same command again: it resumes", code))
    return code


if __name__ == "__main__":
    main()
