"""What a run's words of progress mean: whether it moves, and the line that a person reads. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
