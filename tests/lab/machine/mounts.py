"""List mount points and unmount them."""

import subprocess
from pathlib import Path


def below(directory: Path) -> list[Path]:
    """All mount points at or below a directory, in the order in which they were mounted."""
    rows = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    points = [Path(row[1].encode().decode("unicode_escape")) for row in rows]
    return [point for point in points if point.is_relative_to(directory)]


def unmount_below(directory: Path) -> None:
    """Unmount everything at or below a directory. Mounts in use are detached and go when their last user ends."""
    for point in reversed(below(directory)):
        if subprocess.run(["umount", point], capture_output=True).returncode:
            subprocess.run(["umount", "--lazy", point], capture_output=True, check=True)
