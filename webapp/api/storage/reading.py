"""A reading of all results for the lists, which runs in a thread of its own, and how it fails."""

import logging
import threading
from dataclasses import dataclass, field

from webapp.api.storage.errors import NotRead, StoreUnavailable, Unlistable

log = logging.getLogger(__name__)


@dataclass
class Reading:
    """A reading of everything, in a thread of its own. `fault`: why it failed. `progress`: results read, and all."""

    fault: type[StoreUnavailable] | None = None
    message: str = ""
    progress: tuple[int, int] = (0, 0)
    done: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float) -> None:
        """Wait for its end; raises NotRead, or the fault."""
        if not self.done.wait(seconds):
            raise NotRead(*self.progress)
        if self.fault is not None:
            raise self.fault(self.message)


def unforeseen(error: Exception) -> Unlistable:
    """Log the kind of an error that nobody foresaw: nothing of what is stored may reach the log."""
    log.error("the results could not be read for the lists: %s", type(error).__name__)
    return Unlistable(f"reading them failed ({type(error).__name__})")
