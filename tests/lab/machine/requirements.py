"""Whether this machine can run a lab."""

import os
import shutil
from pathlib import Path

from tests import needs
from tests.lab.machine import home

PACKAGES = {  # command that a lab needs -> its Debian package
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "dpkg-scanpackages": "dpkg-dev",
    "ssh": "openssh-client",
    "ip": "iproute2",
    "mkfs.ext4": "e2fsprogs",
}


INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INSTANCES = 1024  # for three labs at once; a systemd host that gets none ends at its boot, and Debian allows 128


def allow_inotify_instances() -> None:
    """Raise the machine's limit of inotify instances if it is too low for several labs."""
    if int(INOTIFY.read_text()) < INSTANCES:
        INOTIFY.write_text(str(INSTANCES))


def missing() -> list[str]:
    """The reasons why a lab cannot run on this machine, each with a fix."""
    problems = [] if os.geteuid() == 0 else [needs.ROOT]
    packages = sorted(package for command, package in PACKAGES.items() if not shutil.which(command))
    if packages:
        problems.append(f"apt-get install --no-install-recommends {' '.join(packages)}")
    if not shutil.which("terraform"):
        problems.append(needs.TERRAFORM)
    if home.plugin_mirror() is None:
        problems.append(f"no folder {home.PROVIDER} on this machine: TF_PLUGIN_MIRROR names where it is")
    return problems
