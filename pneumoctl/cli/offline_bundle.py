"""`pneumoctl offline-bundle`: download everything that hosts without internet access install."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from pneumoctl.cli.invocation import output_options
from pneumoctl.targets.aws.configuration import offline_bundle as offline
from pneumoctl.terminal.console import console


@output_options
def offline_bundle(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Directory of the bundle; an earlier bundle is replaced.")
    ],
) -> int:
    """Collect packages for hosts without internet (aws).

    Run this on a Debian 12 machine or container with internet access; root is not needed. Then run
    `pneumoctl up --offline-bundle DIR` on a machine that reaches the hosts over SSH.
    """
    console.note("downloading packages and wheels (about 150 MB)")
    packages, wheels, size = offline.make(directory.resolve())
    document = {"directory": str(directory), "packages": packages, "wheels": wheels, "bytes": size}
    console.result(document)
    console.text(f"{directory}: {packages} Debian packages and {wheels} wheels, {size / 1e6:.0f} MB")
    console.text(f"next: pneumoctl up --offline-bundle {shlex.quote(str(directory))}")
    return 0
