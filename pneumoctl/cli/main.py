"""Run one command line, and turn every error into a message, a hint and an exit code."""

import itertools
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from pneumoctl.cli.app import app, takes
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack import ownership
from pneumoctl.terminal import streams
from pneumoctl.terminal.console import console

# Typer does not export this class, and has contained its own copy of click since version 0.26.
UsageError: Any = typer.BadParameter.__mro__[1]
_NO_VERB = "Missing command."  # click's words


def main(begin: Callable[[], object]) -> int:
    """Run the command line of this process; returns the exit code. `begin` unblocks signals."""
    streams.prepare()
    return run(sys.argv[1:], begin)


def run(argv: list[str], begin: Callable[[], object] = lambda: None) -> int:
    """Run one command line and report its error, if any; returns the exit code."""
    arguments = console.configure(argv)
    console.rewrite = lambda text: _with_stack(text, argv)
    code = 0
    try:
        begin()
        code = int(app(args=arguments or ["--help"], prog_name="pneumoctl", standalone_mode=False) or 0)
        sys.stdout.flush()
        return code
    except SystemExit as end:
        if not isinstance(end.code, int) or end.code <= 128:
            return int(end.code or 0)
        error = _interrupted(argv, end.code)
    except (KeyboardInterrupt, typer.Abort):
        error = _interrupted(argv, Exit.INTERRUPTED)
    except PneumoError as failure:
        error = failure
    except UsageError as wrong:
        where = wrong.ctx.command_path if getattr(wrong, "ctx", None) else "pneumoctl"
        error = PneumoError(_in_full(wrong), f"{where} --help", Exit.USAGE)
        if corrected := _with_option_after_command(getattr(wrong, "option_name", ""), where, arguments):
            error.hint = f"put the option after the command: {corrected}"
            console.rewrite = str  # the hint has the options of this command line already
    except OSError as failure:
        if streams.reader_has_gone(failure):
            streams.discard_output()
            return code or Exit.FAILED
        error = _system_error(failure)
        error.code = code or error.code  # the result could not be written: the code still says what was found
    console.fail(error)
    return error.code


def _with_option_after_command(option: str, where: str, arguments: list[str]) -> str:
    """The command line with the options before a command moved after it; empty unless the command has `option`.

    `where`: the command line up to the option: pneumoctl, or pneumoctl and a group.
    """
    group = where.split()[1:]
    rest = arguments[len(group) :] if option and arguments[: len(group)] == group else []
    for at in range(1, len(rest)):
        is_value = rest[at - 1] in ("--stack", "--config")
        words = (*group, *itertools.takewhile(lambda word: not word.startswith("-"), rest[at : at + 2]))
        found = next((path for path in (words, words[:-1]) if takes(path, option)), ())
        if found and not is_value:
            after = rest[at + len(found) - len(group) :]
            end = after.index("--") if "--" in after else len(after)
            return shlex.join(["pneumoctl", *found, *after[:end], *rest[:at], *after[end:]])
    return ""


def _in_full(wrong: Any) -> str:
    """The message of a usage error; of a group without a verb, with the verbs that it has."""
    message, context = str(wrong.format_message()), getattr(wrong, "ctx", None)
    if message == _NO_VERB and context is not None:
        return f"{message.removesuffix('.')}: {', '.join(context.command.list_commands(context))}"
    return message


def _interrupted(argv: list[str], code: int) -> PneumoError:
    console.rewrite = str  # the hint repeats the options of this command line already
    return PneumoError("interrupted", f"run it again: {shlex.join(['pneumoctl', *argv])}", code)


def _system_error(error: OSError) -> PneumoError:
    """The error for a full disk, a missing permission, a file where a folder should be and the like."""
    reason = error.strerror or str(error)
    path = error.filename  # may be a program's or an entry's name without its folder, or a number
    denied = isinstance(error, PermissionError | NotADirectoryError | FileExistsError)
    if denied and isinstance(path, str) and Path(path).is_absolute():
        return ownership.unusable(Path(path), reason)
    return PneumoError(f"{path or 'the system'}: {reason}", "correct this, then run the same command again")


def _with_stack(text: str, argv: list[str]) -> str:
    """The text with the --stack, --config and --region of this command line added to each command that takes them.

    Typed as printed, the commands act on that stack. A stack named by PNEUMO_STACK or ./pneumo.toml needs no option.
    """
    arguments = argv[: argv.index("--")] if "--" in argv else argv
    options = {name: option for name in ("--stack", "--config", "--region") if (option := _given(name, arguments))}
    if not options or "pneumoctl " not in text:
        return text
    return re.sub(r"\bpneumoctl ([a-z-]+)(?: ([a-z][a-z-]*))?\b", lambda command: _of_stack(command, options), text)


def _given(name: str, arguments: list[str]) -> str:
    """The last occurrence of an option on the command line, its value quoted for the shell; empty if there is none."""
    last = ""
    for word, following in itertools.pairwise([*arguments, ""]):
        if word == name and following:
            last = f"{name} {shlex.quote(following)}"
        elif word.startswith(f"{name}="):
            last = f"{name}={shlex.quote(word.removeprefix(f'{name}='))}"
    return last


def _of_stack(command: re.Match[str], options: dict[str, str]) -> str:
    """`pneumoctl VERB [SUBVERB]` with those options after it that it takes, unless it names a stack."""
    verb, second = command.groups()
    rest = re.split(r"[,;()\n]", command.string[command.end() :])[0]
    if "--stack" in rest:
        return command[0]
    if second and takes((verb, second), "--stack"):
        return " ".join((command[0], *_taken((verb, second), options)))
    return command[0].replace(verb, " ".join((verb, *_taken((verb,), options))), 1)


def _taken(words: tuple[str, ...], options: dict[str, str]) -> list[str]:
    return [option for name, option in options.items() if takes(words, name)]
