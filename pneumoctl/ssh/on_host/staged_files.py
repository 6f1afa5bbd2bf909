"""Write the files of a step into a temporary folder and check them there, before they replace the live ones."""

from __future__ import annotations

import os
import tempfile

from pneumoctl.ssh import on_host
from pneumoctl.ssh.on_host import TYPE_CHECKING
from pneumoctl.ssh.on_host.commands import run_or_fail
from pneumoctl.ssh.on_host.files import write

if TYPE_CHECKING:
    from pneumoctl.ssh.on_host import Document


def validate(step: Document) -> None:
    """Check the files of a step. Raises commands.Failed."""
    with tempfile.TemporaryDirectory(dir=on_host.STATE, prefix="staged.") as folder:
        for action in step["actions"]:
            if action["do"] == "put":
                write(folder + action["path"], action["text"].encode(), action["mode"], action["group"])
        os.chmod(folder, 0o711)  # noqa: S103, so that a service's user can read its own files
        for probe in step["validate"]:
            run_or_fail({**probe, "argv": [word.replace("{staged}", folder) for word in probe["argv"]]})
