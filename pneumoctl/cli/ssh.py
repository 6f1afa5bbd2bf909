"""`pneumoctl ssh`: a shell on a host of the stack, or one command there."""

import os
import shlex
import subprocess
import sys
from typing import Annotated

import typer

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.cli.options import DryRun
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.ssh import openssh
from pneumoctl.stack.stack import Stack, find
from pneumoctl.terminal.console import console


def _names(context: typer.Context, incomplete: str) -> list[str]:
    """The host names that the shell completes."""
    inventory = find(context.params.get("stack") or os.environ.get("PNEUMO_STACK", "default")).hosts()
    return [host.name for host in inventory.hosts if host.name.startswith(incomplete)] if inventory else []


@on_stack()
def ssh(
    invocation: Invocation,
    host: Annotated[
        str, typer.Argument(metavar="HOST", help="Name of the host, such as web-0.", autocompletion=_names)
    ],
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND]", help="Command to run on the host.")
    ] = None,
    dry_run: DryRun = False,
) -> int:
    """Open a shell on a host, or run a command there (aws).

    Example: `pneumoctl ssh web-0 -- ls -l '/a b'`. Several words are passed unchanged; a single word is a line for the
    host's shell. The exit code is that of the command. Only the pinned host key is accepted.
    """
    stack = invocation.stack
    return _connect(stack, host, tuple(command or ()), dry_run)


def _connect(stack: Stack, name: str, words: tuple[str, ...], dry_run: bool) -> int:
    inventory = openssh.inventory(stack)
    host = openssh.choose(inventory, name)
    terminal = words and sys.stdin.isatty() and sys.stdout.isatty() and not console.json_mode
    argv = openssh.command(stack, host, ("-t",) if terminal else (), words)
    if dry_run:
        console.text(shlex.join(argv))
        console.result({"host": host.name, "command": argv})
        return 0
    if console.json_mode and not words:
        hint = f"pneumoctl ssh {host.name} --json -- COMMAND"
        raise PneumoError("an interactive shell gives no JSON document", hint, Exit.USAGE)
    with openssh.Client(argv, stdout=subprocess.PIPE if console.json_mode else None) as client:
        out = client.process.stdout.read() if client.process.stdout else b""
        code, stderr = client.process.wait(), client.stderr()
    error = openssh.explain(inventory, host, stderr) if code == openssh.FAILED else None
    if error is not None:
        raise error
    console.result({"host": host.name, "exit": code, "stdout": out.decode(errors="replace"), "stderr": stderr})
    return int(code if code >= 0 else 128 - code)
