"""The desired state of all hosts, as data."""

from collections.abc import Mapping
from dataclasses import dataclass

from pneumoctl.files import Tree
from pneumoctl.hosts.layout import ROOT
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.settings import Settings


@dataclass(frozen=True)
class Code:
    """A release of the API or of the web page; hosts that have it already need no lock and no sources."""

    digest: str
    lock: str = ""  # digest of its requirements
    sources: tuple[Tree, ...] = ()


@dataclass(frozen=True)
class Model:
    """A release of the model: a bundle. Hosts that have it already need no source."""

    name: str
    source: Tree | None = None


@dataclass(frozen=True)
class Offline:
    """The offline bundle from which hosts without internet access install."""

    debs: Tree  # an apt repository
    wheels: Tree

    @property
    def apt(self) -> str:
        """The file that lists apt's only source."""
        return f"{ROOT}/offline/sources.list"

    def path(self, kind: str) -> str:
        """The directory of one of the two ("debs" or "wheels") on a host."""
        tree: Tree = getattr(self, kind)
        return f"{ROOT}/offline/{kind}-{tree.digest[:12]}"


@dataclass(frozen=True)
class DesiredState:
    """Everything that the plan depends on."""

    settings: Settings
    inventory: Inventory
    secrets: Secrets
    certificate: str  # with its chain; replaced by Let's Encrypt's if the settings say so
    key: str
    releases: Mapping[str, Code]  # by host name
    models: Mapping[str, Model]
    current_links: Mapping[str, Mapping[str, str]]  # name of a planned host -> link ("api/current", ...) -> its target
    backup_to: tuple[str, str] | None = None  # bucket and its region; None: there are no backups
    backup_again: bool = False  # although nothing changed: the bucket may have been emptied
    shared_login: bool = False  # of an earlier release: nginx asks for one that all users share, the page for none
    offline: Offline | None = None  # None: hosts install from Debian's servers and PyPI

    @property
    def planned(self) -> tuple[Host, ...]:
        """The hosts that the plan is for; `status` makes a plan for each host alone."""
        return tuple(host for host in self.inventory.hosts if host.name in self.current_links)
