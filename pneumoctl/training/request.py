"""A training run as it was asked for, checked."""

from dataclasses import dataclass

SHORTEST_S = 60


@dataclass(frozen=True)
class Wish:
    """What was asked for, checked."""

    first: str  # DATA or RUN
    arguments: tuple[str, ...]
    max_runtime_s: int
    max_cost: float | None
    stall_s: int
    resume: bool
    detach: bool
    market: str = "on-demand"
    spot_retries: int = 0
    fallback: bool = False
    arch: str = ""  # if no name is given for the bundle

    def named(self, data: str) -> tuple[str, ...]:
        """The flag that names the bundle after its data set, which on the host is called by its digest."""
        return ("--name", f"{self.arch}-{data}") if self.arch else ()
