"""What a run's words of progress mean: whether it moves, and the line that a person reads. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

CHECK_S = 60.0  # between two questions to EC2 whether the host is off
LOST_CHECK_S = 5.0  # the same while the host does not answer: it may be about to power off


@dataclass
class Watch:
    """Follows one run's progress documents; times are of a monotonic clock."""

    run: str
    stall_s: float
    moved: float  # when its counter last grew, or when we began to look
    news: dict[str, Any] = field(default_factory=dict)

    def saw(self, document: Mapping[str, Any], now: float) -> bool:
        """Take a document; whether it tells anything new. One of another run tells nothing."""
        if document.get("run") != self.run or document.get("counter") == self.news.get("counter"):
            return False
        self.news, self.moved = dict(document), now
        return True

    def stalled(self, now: float) -> bool:
        """Whether nothing has moved for too long."""
        return now - self.moved >= self.stall_s


class State(Enum):
    """Of the link to the host. A lost link may only mean that the host powers off, so EC2 is asked twice."""

    CONNECTED = "connected"
    LOST = "lost, EC2 not asked yet"
    CHECKED = "lost, EC2 said once that the host is on"
    REPORTED = "lost, EC2 said twice that the host is on, and the user knows"


_NEXT_STATE = {State.LOST: State.CHECKED, State.CHECKED: State.REPORTED}


@dataclass
class Contact:
    """The state of the link to the host; times are of a monotonic clock."""

    checked: float  # when EC2 was last asked whether the host is off
    state: State = State.CONNECTED
    lost: str = ""  # why the host does not answer; empty: connected

    def update(self, lost: str) -> None:
        """Take what the link reports: why the host does not answer, empty if it does."""
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
        """Take EC2's answer that the host is on; whether the user is to be told of the loss now."""
        before, self.state = self.state, _NEXT_STATE.get(self.state, self.state)
        return self.state is State.REPORTED and before is not State.REPORTED


def line(news: Mapping[str, Any], usd: float | None) -> str:
    """One line on how far it is; `usd`: what it cost so far, None where that is not known."""
    phase = news.get("phase", "")
    parts = [str(phase)]
    if phase == "data" and news.get("files_total"):
        parts.append(f"{news['files']}/{news['files_total']} files")
    if gpu := (news.get("gpu") if phase == "proof" else None):
        parts.append(named(gpu))
    if phase == "train":
        parts += [f"{name} {_of(news, name)}" for name in ("epoch", "step") if news.get(name) is not None]
        for name, form in (("loss", ".4f"), ("sensitivity", ".3f")):
            if news.get(name) is not None:
                parts.append(f"{name} {news[name]:{form}}")
        if news.get("images_per_second"):
            parts.append(f"{news['images_per_second']:.0f} images/s")
        if news.get("eta_s") is not None:
            parts.append(f"{span(news['eta_s'])} left")
    if usd is not None:
        parts.append(f"${usd:.2f}")
    return "  ".join(parts)


def named(gpu: Mapping[str, Any]) -> str:
    """The card that was proven; a stand-in is always called one."""
    name = f"{gpu.get('count', 1)} x {gpu.get('name', '?')}" + (" (stand-in)" if gpu.get("stand_in") else "")
    took = gpu.get("matmul_s")
    return f"GPU proven: {name}" + (f", matrix product {took:.3f} s" if took is not None else "")


def span(seconds: float) -> str:
    """A time for a person: 45 s, 12 min, 3.2 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def seconds(text: str) -> int:
    """`90`, `90s`, `30m` or `2h` in seconds; ValueError for anything else, and for nothing at all."""
    units = {"s": 1, "m": 60, "h": 3600}
    number, factor = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1)
    found = round(float(number) * factor)
    if not 0 < found < 10**8:
        raise ValueError(text)
    return found


def _of(news: Mapping[str, Any], name: str) -> str:
    total = news.get(f"{name}s")
    return f"{news[name]}/{total}" if total else str(news[name])
