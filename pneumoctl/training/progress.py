"""The progress of a run on the GPU: whether it stalls, whether its host answers, and the line that is shown. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

CHECK_S = 60.0  # between two questions to EC2 whether the host is off
LOST_CHECK_S = 5.0  # the same while the host does not answer: it may be about to power off
CHECKPOINT_S = 100.0  # for a run to save a checkpoint and end


@dataclass
class ProgressWatch:
    """Follows one run's progress documents; times are of a monotonic clock."""

    run: str
    stall_s: float
    moved: float  # when the counter last changed, or when the watch began
    latest: dict[str, Any] = field(default_factory=dict)

    def update(self, document: Mapping[str, Any], now: float) -> bool:
        """Process a document; returns whether it is new. Documents of another run are ignored."""
        if document.get("run") != self.run or document.get("counter") == self.latest.get("counter"):
            return False
        self.latest, self.moved = dict(document), now
        return True

    def stalled(self, now: float) -> bool:
        """Whether the run has made no progress for `stall_s` seconds."""
        return now - self.moved >= self.stall_s


class State(Enum):
    """The state of the connection. A lost connection may mean that the host powers off, so EC2 is asked twice."""

    CONNECTED = "connected"
    LOST = "lost, EC2 not asked yet"
    CHECKED = "lost, EC2 reported once that the host is on"
    REPORTED = "lost, EC2 reported twice that the host is on, and the user was told"


_NEXT_STATE = {State.LOST: State.CHECKED, State.CHECKED: State.REPORTED}


@dataclass
class Contact:
    """The state of the connection to the host; times are of a monotonic clock."""

    checked: float  # when EC2 was last asked whether the host is off
    state: State = State.CONNECTED
    lost: str = ""  # why the host does not answer; empty: connected

    def update(self, lost: str) -> None:
        """Process a report of the connection: why the host does not answer, empty if it does."""
        self.lost = lost
        if not lost:
            self.state = State.CONNECTED
        elif self.state is State.CONNECTED:
            self.state = State.LOST

    def check_due(self, now: float) -> bool:
        """Whether to ask EC2 now; a new loss is checked at once."""
        pause = LOST_CHECK_S if self.lost else CHECK_S
        if self.state is not State.LOST and now - self.checked < pause:
            return False
        self.checked = now
        return True

    def host_is_on(self) -> bool:
        """Process EC2's answer that the host is on; returns whether to tell the user about the lost connection."""
        before, self.state = self.state, _NEXT_STATE.get(self.state, self.state)
        return self.state is State.REPORTED and before is not State.REPORTED


def describe(progress: Mapping[str, Any], usd: float | None) -> str:
    """One line of progress; `usd`: what the run has cost so far, None if that is not known."""
    phase = progress.get("phase", "")
    parts = [str(phase)]
    if phase == "data" and progress.get("files_total"):
        parts.append(f"{progress['files']}/{progress['files_total']} files")
    if gpu := (progress.get("gpu") if phase == "proof" else None):
        parts.append(describe_gpu(gpu))
    if phase == "train":
        parts += [f"{name} {_count(progress, name)}" for name in ("epoch", "step") if progress.get(name) is not None]
        for name, form in (("loss", ".4f"), ("sensitivity", ".3f")):
            if progress.get(name) is not None:
                parts.append(f"{name} {progress[name]:{form}}")
        if progress.get("images_per_second"):
            parts.append(f"{progress['images_per_second']:.0f} images/s")
        if progress.get("eta_s") is not None:
            parts.append(f"{format_duration(progress['eta_s'])} left")
        if progress.get("upload_error"):
            parts.append(f"the last checkpoint is not in the bucket yet: {progress['upload_error']}")
    if usd is not None:
        parts.append(f"${usd:.2f}")
    return "  ".join(parts)


def describe_gpu(gpu: Mapping[str, Any]) -> str:
    """The GPU that the host's check found; a stand-in is always marked as one."""
    name = f"{gpu.get('count', 1)} x {gpu.get('name', '?')}" + (" (stand-in)" if gpu.get("stand_in") else "")
    took = gpu.get("matmul_s")
    return f"GPU proven: {name}" + (f", matrix product {took:.3f} s" if took is not None else "")


def format_duration(seconds: float) -> str:
    """Examples: 45 s, 12 min, 3.2 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def parse_duration(text: str) -> int:
    """Seconds of `90`, `90s`, `30m` or `2h`. Raises ValueError for anything else, the empty text included."""
    units = {"s": 1, "m": 60, "h": 3600}
    number, factor = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1)
    seconds = round(float(number) * factor)
    if not 0 < seconds < 10**8:
        raise ValueError(text)
    return seconds


def _count(progress: Mapping[str, Any], name: str) -> str:
    total = progress.get(f"{name}s")
    return f"{progress[name]}/{total}" if total else str(progress[name])
