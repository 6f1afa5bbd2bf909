"""The desired state of all hosts, as data."""

from collections.abc import Mapping
from dataclasses import dataclass

from pneumoctl.files import Tree
from pneumoctl.hosts.layout import ROOT
from pneumoctl.stack.inventory import Inventory
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
    login: str  # a line of nginx's password file
    releases: Mapping[str, Code]  # by host name
    models: Mapping[str, Model]
    current_links: Mapping[str, Mapping[str, str]]  # host name -> link ("api/current", ...) -> its target
    backup_to: tuple[str, str] | None = None  # bucket and its region; None: there are no backups
    offline: Offline | None = None  # None: hosts install from Debian's servers and PyPI
