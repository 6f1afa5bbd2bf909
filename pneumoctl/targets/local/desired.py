"""The desired state of a stack on this machine, from which the plan of `up` is made."""

from dataclasses import dataclass
from pathlib import Path

from pneumoctl.files import Tree
from pneumoctl.stack.inventory import Inventory
from pneumoctl.stack.layout import Layout
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.settings import Settings


@dataclass(frozen=True)
class LocalDesiredState:
    """Everything that the plan depends on."""

    settings: Settings
    layout: Layout
    inventory: Inventory
    secrets: Secrets
    python: str
    redis_server: str
    release: str  # digest of the code
    sources: tuple[Tree, ...]  # the packages of the release
    bundle: str  # name-version of the model
    bundle_source: Tree
    workers: int
    threads: int  # of ONNX Runtime in one worker
    rights_by_key: bool = True  # whether Redis knows rights that differ by key

    @property
    def code(self) -> Path:
        """The release's directory on the host."""
        return self.layout.releases / self.release

    @property
    def model(self) -> Path:
        """The bundle's directory on the host."""
        return self.layout.models / self.bundle
