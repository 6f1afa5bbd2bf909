"""A copy of terraform's working directory: to plan in it takes no lock and disturbs no other terraform."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from pneumoctl.aws.terraform.runner import Terraform
from pneumoctl.aws.terraform.working_dir import WorkingCopy
from pneumoctl.files import make_private

PREFIX = "terraform-copy-"  # before the id of the process


@contextmanager
def copied(terraform: Terraform) -> Iterator[Terraform]:
    """A Terraform on a copy of the working directory as it is now. The copy is removed at the end.

    For a stack without a directory, before its first `up` or after its teardown, nothing remains, not even its log.
    """
    stack = terraform.directory.parent
    folder = stack if stack.is_dir() else stack.parent
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    make_private(folder)
    prefix = PREFIX if folder == stack else f".{PREFIX}"  # no stack has such a name
    _remove_leftovers(folder, prefix)
    directory = folder / f"{prefix}{os.getpid()}"
    log = terraform.log if folder == stack else directory / terraform.log.name
    try:
        # Asked before and after: it may begin or end while the copy is made.
        at_work = bool(terraform.current)
        if folder == stack:
            WorkingCopy(terraform.directory).copy_to(directory)
        at_work = at_work or bool(terraform.current)
        if terraform.suspect and not at_work:  # else it was not killed
            WorkingCopy(directory).applying.touch(mode=0o600)
        yield replace(terraform, directory=directory, log=log, lock=False, outdated=at_work)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        with suppress(OSError):  # others may have begun to use them
            for each in made:
                each.rmdir()


def _remove_leftovers(folder: Path, prefix: str) -> None:
    """Remove the copies of processes that were killed, and one of an earlier process with the id of this one."""
    for copy in folder.glob(f"{prefix}*"):
        process = int(copy.name.removeprefix(prefix))
        if process == os.getpid() or not _is_alive(process):
            shutil.rmtree(copy, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True
