"""The store of a stack on this machine, and the steps of `teardown` that export it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pneumoctl.errors import PneumoError
from pneumoctl.plan.transport import inherited
from pneumoctl.results import transfer
from pneumoctl.stack.stack import Stack

_WITH_ENVIRONMENT = 'set -a && . "$0" && exec "$@"'


@dataclass(frozen=True)
class LocalStore:
    """See results.transfer.ResultStore."""

    environment: Path
    host: str = "this machine"

    def run(self, options: Sequence[str], stdin: Iterator[bytes], stdout: IO[bytes]) -> tuple[int, str]:
        """See ResultStore."""
        argv = ("sh", "-c", _WITH_ENVIRONMENT, str(self.environment), sys.executable, *options)
        pipe, environment = subprocess.PIPE, inherited(os.environ)
        with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, env=environment) as child:
            assert child.stdin and child.stdout and child.stderr
            with suppress(BrokenPipeError), child.stdin:  # it may end before it has read everything
                for part in stdin:
                    child.stdin.write(part)
            while part := child.stdout.read1(1 << 20):  # type: ignore[attr-defined]
                stdout.write(part)
            stderr = child.stderr.read()
        return child.returncode, stderr.decode(errors="replace")


def store(stack: Stack) -> LocalStore:
    """The store of a stack. Raises PneumoError if it has none yet."""
    environment = stack.layout.config("env/api.env")
    if not environment.exists():
        raise PneumoError(f"stack {stack.name} has no store yet", "pneumoctl up")
    return LocalStore(environment)


def running_store(stack: Stack) -> LocalStore:
    """The store of a stack. Raises PneumoError if it does not run."""
    found = store(stack)
    if not stack.layout.redis_socket.exists():
        raise PneumoError(f"Redis of stack {stack.name} does not run", "pneumoctl up")
    return found


def main(verb: str, root: str, target: str, *more: str) -> int:
    """Export the results of the stack in the directory `root`, or check whether there is space for that and `more`.

    Writes the counts to stdout, or the error as JSON. Returns an exit code. `more`: folders.
    """
    stack, folder = Stack(Path(root).name, Path(root)), Path(target)
    try:
        if verb == "check":
            transfer.require_scored(transfer.count(store(stack)))
            transfer.require_space(store(stack), folder, sum(map(_size, more)))
            return 0
        exported = transfer.export(stack, store(stack), folder)
        transfer.require_intact(exported, folder)
        transfer.require_scored(transfer.count(store(stack)))  # once more: the API is stopped by now
    except PneumoError as error:
        sys.stdout.write(json.dumps({"message": error.message, "hint": error.hint}))
        return int(error.code)
    sys.stdout.write(json.dumps(dict(exported.counts)))
    return 0


def _size(folder: str) -> int:
    """Bytes in the files of a folder."""
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
