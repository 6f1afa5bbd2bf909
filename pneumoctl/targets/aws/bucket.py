"""The user's files in the stack's bucket: exported, then deleted, because AWS destroys only an empty bucket."""

from collections.abc import Sequence
from pathlib import Path

from pneumoctl.aws import s3
from pneumoctl.errors import PneumoError
from pneumoctl.stack import free_space
from pneumoctl.stack.free_space import NotWritten
from pneumoctl.targets.aws.configuration import shared_trees
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.store import backups
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import counted

EVERYTHING = ("",)  # all prefixes


def files(context: Context) -> list[s3.Object]:
    """The current files of the user; none if there is no bucket."""
    bucket = context.made_bucket
    return _users(s3.objects(context.aws, bucket, EVERYTHING)) if bucket else []


def _users(listed: Sequence[s3.Object]) -> list[s3.Object]:
    """Those of the user. What backups hold is exported from the store itself, and transfers are copies."""
    return [file for file in listed if not file.key.startswith((backups.PREFIX, shared_trees.PREFIX))]


def require_space(folder: Path, size: int) -> None:
    """Raise PneumoError unless files of `size` bytes can be exported to `folder`."""
    try:
        free_space.require(folder, size)
    except NotWritten as error:
        hint = f"{error.hint} (or, losing these files: pneumoctl teardown --results-only, or --purge)"
        raise PneumoError(f"nothing was destroyed: {error.message}", hint, changed=[]) from error


def empty(context: Context, folder: Path | None) -> None:
    """Export the files to `folder`, if given, and delete everything.

    Colleagues may write meanwhile. Nothing is deleted before all is exported. Then each version that is deleted is one
    of a list, and what is new in that list is exported first.
    """
    bucket, saved = context.made_bucket, set[tuple[str, str]]()
    if not bucket:
        return

    def export(listed: Sequence[s3.Object]) -> bool:
        """Whether there was something that is not exported yet."""
        new = [file for file in _users(listed) if (file.key, file.etag) not in saved] if folder else []
        if folder and new:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with console.progress("export", sum(file.size for file in new), "bytes") as advance:
                s3.download(context.aws, bucket, sorted(new, key=lambda file: file.key), folder, advance, resume=False)
            saved.update((file.key, file.etag) for file in new)
            console.note(f"exported {counted(len(new), 'file')} to {folder}")
        return bool(new)

    while export(files(context)):
        pass
    s3.empty(context.aws, bucket, before=export)
