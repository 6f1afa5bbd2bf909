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
    """A release of the API or of the web page."""

    digest: str
    lock: str = ""  # digest of its requirements; this and the sources are empty where the hosts have it already
    sources: tuple[Tree, ...] = ()


@dataclass(frozen=True)
class Model:
    """A release of the model: its bundle."""

    name: str
    source: Tree | None = None


@dataclass(frozen=True)
class Offline:
    """What hosts install from when they reach no internet."""

    debs: Tree  # an apt repository
    wheels: Tree

    @property
    def apt(self) -> str:
        """The list of apt's only source."""
        return f"{ROOT}/offline/sources.list"

    def stack(self, kind: str) -> str:
        """Where one of the two lies on a host."""
        tree: Tree = getattr(self, kind)
        return f"{ROOT}/offline/{kind}-{tree.digest[:12]}"


@dataclass(frozen=True)
class Wishes:
    """Everything that the plan depends on, gathered beforehand."""

    settings: Settings
    inventory: Inventory
    secrets: Secrets
    certificate: str  # with its chain; that of Let's Encrypt takes its place where the settings want it
    key: str
    login: str  # the line of nginx's password file
    releases: Mapping[str, Code]  # by host name
    models: Mapping[str, Model]
    standing: Mapping[str, Mapping[str, str]]  # host name -> link ("api/current", ...) -> what it points to
    offline: Offline | None = None  # what hosts install from, not from Debian's servers and Python's index
