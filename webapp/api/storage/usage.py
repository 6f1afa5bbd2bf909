"""How much of Redis' memory is in use. Results are never evicted: at the limit, uploads are refused."""

from dataclasses import dataclass

import redis

from webapp.api.storage.errors import redis_errors

NEARLY_FULL = 80  # percent; the alert RedisMemoryNearLimit fires from there, too
HEADROOM = 4 * 1024 * 1024  # bytes; with less free memory the API is not ready for uploads
_MB = 1024 * 1024


@dataclass(frozen=True)
class Usage:
    """Bytes in use, and the limit; 0: there is none."""

    used: int
    maximum: int

    @property
    def percent(self) -> int:
        """The share in use, rounded down."""
        return 100 * self.used // self.maximum if self.maximum else 0

    @property
    def full(self) -> bool:
        """Whether there is no memory for further uploads."""
        return 0 < self.maximum < self.used + HEADROOM

    @property
    def warning(self) -> str | None:
        """Words for a store that is nearly full, or full; None if it is not."""
        if self.full or self.percent >= NEARLY_FULL:
            return f"the store is {self}; when it is full, uploads are refused"
        return None

    def __str__(self) -> str:
        return f"{self.percent} % full ({self.used // _MB} of {self.maximum // _MB} MB)"


def read(client: redis.Redis) -> Usage:
    """The memory in use now. Raises StoreUnavailable."""
    with redis_errors():
        memory = client.info("memory")
    return Usage(memory["used_memory"], memory["maxmemory"])
