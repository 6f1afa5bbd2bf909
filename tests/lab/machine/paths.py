"""Names and addresses of one lab. Everything that it creates has its name, so that it can be found and removed."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

# Each lab has a separate network, so all labs use the same addresses. The ranges are reserved for documentation
# (RFC 5737) and benchmarks (RFC 2544), so they belong to nobody.
API, PORT = "198.18.0.1", 5555
API_URL = f"http://{API}:{PORT}"
REGION = "eu-west-1"
OPERATOR = "203.0.113.7"
STRANGER = "203.0.113.66"  # someone else on the internet
EXTERNAL_ADDRESSES = {"operator": OPERATOR, "stranger": STRANGER}  # namespace (and interface of the router) -> address
GATEWAY = "169.254.1.1"  # the router, for everyone who is connected to it

SEED = "var/lib/cloud/seed/nocloud-net"  # on a host: what cloud-init reads in place of EC2's metadata
ROOT = Path(__file__).resolve().parents[3]
NAME = re.compile(r"[a-z][a-z0-9]{0,11}")


@dataclass(frozen=True)
class LabPaths:
    """The names, addresses and directories of a lab."""

    name: str

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"a lab's name is 1 to 12 lower-case letters and digits, not {self.name!r}")

    @property
    def prefix(self) -> str:
        """The prefix of the names of its namespaces, control groups and machines."""
        return f"pneumolab-{self.name}"

    def named(self, what: str) -> str:
        """The full name of `router`, `operator`, `stranger`, or of the host with this id."""
        return f"{self.prefix}-{what}"

    @property
    def directory(self) -> Path:
        """The directory of the lab; on a real disk, because it contains the hosts' disks."""
        return all_labs() / self.name

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def hosts(self) -> Path:
        return self.directory / "hosts"

    @property
    def home(self) -> Path:
        """The operator's home."""
        return self.directory / "home"


def all_labs() -> Path:
    return Path(os.environ.get("PNEUMO_LABS") or "/var/tmp/pneumoctl-lab")
