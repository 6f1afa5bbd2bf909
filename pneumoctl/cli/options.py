"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

StackName = Annotated[str | None, typer.Option("--stack", help="Name of the stack.", metavar="NAME")]
Config = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings file (default: ./pneumo.toml).")
]
Target = Annotated[
    str | None, typer.Option("--target", metavar="local|aws", help="Where the stack runs: local is this machine.")
]
Region = Annotated[
    str | None,
    typer.Option("--region", help="AWS region of a stack that another machine made.", metavar="REGION"),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")]
OfflineBundle = Annotated[
    Path | None,
    typer.Option(
        "--offline-bundle", help="For hosts without internet: install from this directory (aws).", metavar="DIR"
    ),
]
Batch = Annotated[
    str | None,
    typer.Option(
        "--batch",
        help="How many hosts are switched at the same time: a number, or a percentage of the role's hosts.",
        metavar="N|P%",
    ),
]
# The console reads the next three from argv itself, so that they also apply to the message of a usage error.
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only results and errors.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="No colours and no other escape codes.")]


def resolved(path: Path | None) -> str | None:
    """A path as an absolute string, because later steps run in other directories."""
    return str(path.expanduser().resolve()) if path else None
