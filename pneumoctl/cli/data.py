"""`pneumoctl data`: download public data sets, and upload a data set to the stack's bucket."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from model.data import attribution
from model.data import publishers as publisher
from model.data.partial_file import FetchError
from pneumoctl.aws.api import Account
from pneumoctl.aws.ec2 import Aws
from pneumoctl.cli.invocation import Invocation, on_stack, output_options
from pneumoctl.cli.options import DryRun
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import orphans
from pneumoctl.stack import audit
from pneumoctl.targets.aws import context
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import counted
from pneumoctl.training import data_sets
from pneumoctl.training.data_sets import Push

app = typer.Typer(
    name="data",
    help="Download public data sets; upload one to the stack's bucket.",
    rich_markup_mode=None,
)

Name = Annotated[
    Literal["pneumoniamnist", "kermany"],
    typer.Argument(
        metavar="[NAME]",
        help="pneumoniamnist (default; one .npz file) or kermany (1.2 GB, folders).",
        show_default=False,
    ),
]
Size = Annotated[
    int | None, typer.Option("--size", metavar="PIXELS", help="Side length, pneumoniamnist: 28, 64, 128 or 224.")
]
Directory = Annotated[Path, typer.Option("--to", help="Directory to download to.", metavar="DIR")]


@app.command()
@output_options
def fetch(name: Name = "pneumoniamnist", size: Size = None, directory: Directory = Path("data")) -> int:
    """Download a public data set and verify its published checksum.

    An interrupted download resumes when you run the command again.
    """
    if size is not None and (name == "kermany" or size not in publisher.SIZES):
        sizes = ", ".join(map(str, publisher.SIZES))
        raise PneumoError(
            "kermany has one size only: --size is for pneumoniamnist"
            if name == "kermany"
            else f"there is no size {size}",
            f"pneumoctl data fetch pneumoniamnist --size ({sizes})",
            Exit.USAGE,
        )
    try:
        with ExitStack() as bars:
            arriving = _bar(bars, name, "bytes")
            if name == "kermany":
                path = publisher.fetch_kermany(directory, arriving, _bar(bars, "unpacking", "pictures"))
            else:
                path = publisher.fetch_pneumoniamnist(size or publisher.SIZES[0], directory, arriving)
    except FetchError as error:
        raise PneumoError(str(error), error.hint) from error
    console.text(str(path))
    console.note(f"Attribute the data set wherever you use it: {attribution.SOURCES[name]}")
    console.result({"dataset": name, "path": str(path), "attribution": attribution.SOURCES[name]})
    return Exit.DONE


@app.command()
@on_stack(alarm=False)
def push(
    invocation: Invocation,
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Contains train/ and test/, each with NORMAL/ and PNEUMONIA/.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the data set (default: the name of DIR).")
    ] = None,
    dry_run: DryRun = False,
) -> int:
    """Upload a data set to the stack's bucket.

    `pneumoctl train --gpu` uses the latest one. Only files that the bucket lacks are sent; an interrupted upload
    resumes when you run the command again. Hidden files are not sent. File names are sent, because the training must
    know which pictures are of the same patient; only an error shows one, of a file that must be repaired.
    """
    stack = invocation.stack
    aws, account, bucket = _bucket(invocation)
    root = directory.expanduser().absolute()  # not resolved: a symbolic link keeps its own name
    push = _compared(aws, bucket, root, data_sets.data_set_name(root, name))
    check = "skipped" if push.in_bucket else _check(root, push)
    sent = bool(push.objects) or not (push.in_bucket and push.newest)
    if sent and not dry_run:
        with audit.recorded(stack, "data push", {"manifest": push.manifest.digest}) as act:
            act.arn = account.arn
            act.begin(push.manifest.digest)
            with console.progress("pushing", push.bytes, "bytes") as advance:
                data_sets.upload(aws, bucket, root, push, advance)
            act.changed = [
                f"{counted(len(push.objects), 'object')}, data set {push.manifest.digest[:12]} is the latest"
            ]
    _report(push, bucket, check, dry_run)
    return 0


@app.command()
@on_stack(alarm=False)
def ls(invocation: Invocation) -> int:
    """List the data sets in the stack's bucket; training uses the latest."""
    aws, _, bucket = _bucket(invocation)
    listed = data_sets.list_data_sets(aws, bucket)
    console.result({"bucket": bucket, "data": listed})
    if not listed:
        console.text("no data set was pushed yet: pneumoctl data push DIR")
        return 0
    rows = [
        (row["name"], row["manifest"][:12], str(row["files"]), _size(row["bytes"]), row["pushed"],
         "latest" if row["latest"] else "") for row in listed
    ]  # fmt: skip
    console.table(("name", "manifest", "files", "size", "pushed", ""), rows)
    return 0


def _bucket(invocation: Invocation) -> tuple[Aws, Account, str]:
    """The account and the bucket of a stack. Raises PneumoError if the stack is not on aws."""
    settings, stack = invocation
    cloud = stack.require_aws("it has no bucket and trains from a folder", "pneumoctl train FOLDER")
    aws, account = context.login(settings, stack)
    orphans.start_alarm(aws)
    return aws, account, cloud.bucket


def _compared(aws: Aws, bucket: str, root: Path, name: str) -> Push:
    paths = data_sets.find_files(root)
    with console.progress("reading", sum(path.stat().st_size for path in paths), "bytes") as advance:
        manifest = data_sets.build_manifest(root, name, paths, advance)
    return data_sets.compare(aws, bucket, root, manifest)


def _check(root: Path, push: Push) -> str:
    """Decode the pictures as the training does. Raises PneumoError if one cannot be read."""
    console.busy("checking the pictures")
    try:
        counts = data_sets.count_pictures(root)
    finally:
        console.idle()
    pictures = sum(counts.values())
    others = len(push.manifest.files) - pictures
    more = f"; not used, being duplicates or no pictures of train or test: {counted(others, 'file')}" if others else ""
    console.note(f"{counted(pictures, 'picture')}: {counts['train']} to train, {counts['test']} to test{more}")
    return "done"


def _report(push: Push, bucket: str, check: str, dry_run: bool) -> None:
    manifest = push.manifest
    document: dict[str, Any] = {
        "bucket": bucket,
        "name": manifest.name,
        "manifest": manifest.digest,
        "files": len(manifest.files),
        "bytes": sum(file.size for file in manifest.files),
        "objects": len(push.objects),
        "sent_bytes": push.bytes,
        "check": check,
        "dry_run": dry_run,
    }
    console.result(document)
    verb = "to send" if dry_run else "sent"
    console.text(
        f"{counted(len(manifest.files), 'file')}: {counted(len(push.objects), 'object')} {verb} ({_size(push.bytes)})"
    )
    console.text(f"data set {manifest.name} {manifest.digest[:12]}" + ("" if dry_run else " is the latest"))


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _bar(bars: ExitStack, title: str, unit: str) -> Callable[[int, int | None], None]:
    """Return a callback for absolute counts; its first call opens the progress bar, because the total is known then."""
    shown: list[int] = []
    advance: list[Callable[[float], None]] = []

    def tell(done: int, total: int | None) -> None:
        if not advance:
            bars.close()  # a terminal shows one bar at a time
            advance.append(bars.enter_context(console.progress(title, total, unit)))
            shown.append(0)
        advance[0](done - shown[0])
        shown[0] = done

    return tell
