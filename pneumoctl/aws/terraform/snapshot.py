"""A copy of terraform's working directory: to plan in it takes no lock and disturbs no other terraform."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pneumoctl.aws.terraform.runner import Terraform
from pneumoctl.aws.terraform.working_dir import WorkingCopy
from pneumoctl.files import make_private

PREFIX = "terraform-copy-"  # before the id of the process


@contextmanager
def copied(terraform: Terraform) -> Iterator[Terraform]:
    """A Terraform on a copy of the working directory as it is now. The copy is removed at the end."""
    folder = terraform.directory.parent
    make_private(folder)
    _remove_leftovers(folder)
    directory = folder / f"{PREFIX}{os.getpid()}"
    try:
        # Asked before and after: it may begin or end while the copy is made.
        at_work = bool(terraform.current)
        WorkingCopy(terraform.directory).copy_to(directory)
        at_work = at_work or bool(terraform.current)
        if terraform.suspect and not at_work:  # else it was not killed
            WorkingCopy(directory).applying.touch(mode=0o600)
        yield replace(terraform, directory=directory, lock=False, outdated=at_work)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _remove_leftovers(folder: Path) -> None:
    """Remove the copies of processes that were killed, and one of an earlier process with the id of this one."""
    for copy in folder.glob(f"{PREFIX}*"):
        process = int(copy.name.removeprefix(PREFIX))
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
