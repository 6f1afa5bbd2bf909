"""Make `import model` find the package that ships with pneumoctl, not another one of that name on Python's path.

Every process imports this first, before it can report an interrupt: it imports next to nothing itself.
"""

import sys
from importlib.machinery import PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_FOLDER = __file__.rpartition("/pneumoctl/")[0]


class _ModelFinder:
    """Finds `model` beside the package pneumoctl, and nothing else."""

    def find_spec(
        self, fullname: str, path: "Sequence[str] | None", target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """See importlib.abc.MetaPathFinder."""
        return PathFinder.find_spec(fullname, [_FOLDER]) if fullname == "model" else None


def prefer() -> None:
    """Prefer our `model` to all others in this process."""
    if not any(isinstance(finder, _ModelFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _ModelFinder())
