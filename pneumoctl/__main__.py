"""Run the application and turn every error into a message, a hint and an exit code."""

import errno
import itertools
import re
import shlex
import signal
import sys
from types import FrameType
from typing import Any

import typer

from pneumoctl.cli.app import app, takes
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.terminal import streams
from pneumoctl.terminal.console import console

# Typer does not export this class, and has contained its own copy of click since version 0.26.
UsageError: Any = typer.BadParameter.__mro__[1]


def main() -> None:
    """Entry point of the console script."""
    streams.prepare()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    sys.exit(run(sys.argv[1:]))


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def run(argv: list[str]) -> int:
    """Run one command line; returns the exit code."""
    code: int = Exit.DONE
    try:
        code = _run(argv)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of stdout has gone
        streams.discard_output()
        return Exit.FAILED
    except OSError as error:  # for example a full disk
        streams.discard_output()
        if code == Exit.DONE:  # otherwise the first error, shown already, is the cause
            why = "it is closed" if error.errno == errno.EBADF else error.strerror
            console.fail(PneumoError(f"standard output cannot be written: {why}"))
        return code or Exit.FAILED
    return code


def _run(argv: list[str]) -> int:
    console.configure(argv)
    console.rewrite = lambda text: _with_stack(text, argv)
    try:
        return int(app(args=argv or ["--help"], prog_name="pneumoctl", standalone_mode=False) or 0)
    except PneumoError as error:
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
            PneumoError(
                f"{error.filename or 'the system'}: {error.strerror or error}",
                "correct this, then run the same command again",
            )
        )
        return Exit.FAILED


def _with_stack(text: str, argv: list[str]) -> str:
    """The text with --stack and --config added to each command in it that takes them, if this command line had them.

    Typed as printed, the commands act on that stack. A stack named by PNEUMO_STACK or ./pneumo.toml needs no option.
    """
    words = argv[: argv.index("--")] if "--" in argv else argv
    options = [option for name in ("--stack", "--config") if (option := _given(name, words))]
    if not options or "pneumoctl " not in text:
        return text
    return re.sub(r"\bpneumoctl ([a-z-]+)(?: ([a-z]+))?\b", lambda command: _of_stack(command, options), text)


def _given(name: str, words: list[str]) -> str:
    """The last occurrence of an option on the command line, its value quoted for the shell; empty if there is none."""
    last = ""
    for word, following in itertools.pairwise([*words, ""]):
        if word == name and following:
            last = f"{name} {shlex.quote(following)}"
        elif word.startswith(f"{name}="):
            last = f"{name}={shlex.quote(word.removeprefix(f'{name}='))}"
    return last


def _of_stack(command: re.Match[str], options: list[str]) -> str:
    """`pneumoctl VERB [SUBVERB]` with the options after it, if that command takes them and does not name a stack."""
    verb, second = command.groups()
    rest = re.split(r"[,;()\n]", command.string[command.end() :])[0]
    if "--stack" in rest:
        return command[0]
    if second and takes((verb, second), "--stack"):
        return " ".join((command[0], *options))
    if takes((verb,), "--stack"):
        return command[0].replace(verb, " ".join((verb, *options)), 1)
    return command[0]


def _interrupted(code: int) -> int:
    console.fail(PneumoError("interrupted", "run the same command again: it resumes", code))
    return code


if __name__ == "__main__":
    main()
