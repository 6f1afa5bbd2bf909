"""`pneumoctl data fetch`: the public data sets, downloaded from their publishers."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal

import typer

from pneumoctl.options import Json, NoColor, Quiet

app = typer.Typer(name="data", help="The public X-ray data sets.", rich_markup_mode=None, no_args_is_help=True)

Name = Annotated[
    Literal["pneumoniamnist", "kermany"],
    typer.Argument(help="pneumoniamnist (one .npz) or kermany (1.2 GB, unpacked to folders).", show_default=False),
]
Size = Annotated[int | None, typer.Option("--size", help="Pixels a side of pneumoniamnist: 28, 64, 128 or 224.")]
Directory = Annotated[Path, typer.Option("--to", help="Directory to put it into.", metavar="DIR")]


@app.callback()
def data() -> None:
    """The public X-ray data sets."""


@app.command()
def fetch(
    name: Name = "pneumoniamnist",
    size: Size = None,
    directory: Directory = Path("data"),
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> int:
    """Download a data set, checked against its published checksum; a broken download goes on where it stopped."""
    from model import fetch as publisher
    from model import origin
    from model.part import FetchError
    from pneumoctl.console import console
    from pneumoctl.errors import Exit, PneumoError

    if size is not None and (name == "kermany" or size not in publisher.SIZES):
        sizes = ", ".join(map(str, publisher.SIZES))
        raise PneumoError(
            "kermany has no sizes: its pictures come as they are" if name == "kermany" else f"there is no size {size}",
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
    console.note(f"Name its makers wherever you use it: {origin.SOURCES[name]}")
    console.result({"dataset": name, "path": str(path), "attribution": origin.SOURCES[name]})
    return Exit.DONE


def _bar(bars: ExitStack, title: str, unit: str) -> Callable[[int, int | None], None]:
    """Absolute counts for a bar that opens at the first of them, when the total is known."""
    from pneumoctl.console import console

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
