"""The paths of the files of a stack on this machine."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The paths below one root, the directory of the stack."""

    root: Path

    @property
    def releases(self) -> Path:
        """Immutable directories of code."""
        return self.root / "releases"

    @property
    def models(self) -> Path:
        """Immutable model bundles."""
        return self.root / "models"

    @property
    def logs(self) -> Path:
        """One log file for each service."""
        return self.root / "logs"

    @property
    def redis_data(self) -> Path:
        """Redis's append-only file: the stored results."""
        return self.root / "redis" / "data"

    @property
    def api_socket(self) -> Path:
        """The socket on which the API of the local target listens, in addition to its port."""
        return self.root / "api.sock"

    @property
    def redis_socket(self) -> Path:
        """The socket on which Redis of the local target listens, in addition to its port."""
        return self.root / "redis.sock"

    def config(self, name: str) -> Path:
        """A rendered file, by the name of its template."""
        return self.root / name

    def stamp(self, step: str) -> Path:
        """The digest file that a finished step writes."""
        return self.root / "stamps" / step
