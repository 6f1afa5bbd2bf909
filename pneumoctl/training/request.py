"""The checked arguments of `pneumoctl train`."""

from dataclasses import dataclass

SHORTEST_S = 60


@dataclass(frozen=True)
class TrainingRequest:
    """The arguments and options of `pneumoctl train`; market, spot_retries and fallback as in `stack.runs.Run`."""

    data_or_run: str  # with `resume` the run, else the data
    arguments: tuple[str, ...]
    max_runtime_s: int
    max_cost: float | None
    stall_s: int
    resume: bool
    detach: bool
    market: str = "on-demand"
    spot_retries: int = 0
    fallback: bool = False
    arch: str = ""  # set if no name was given for the bundle

    def name_arguments(self, data: str) -> tuple[str, ...]:
        """The flag that names the bundle after its data set; the host itself knows the data set by its digest only."""
        return ("--name", f"{self.arch}-{data}") if self.arch else ()
