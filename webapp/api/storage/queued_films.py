"""What is in the queue of received films: films, claims on them, errors, and the state of the queue."""

import hashlib
from dataclasses import dataclass

_LONG_SECONDS = 300  # the alert ReceivedFilmsWait fires from there, too


@dataclass(frozen=True)
class Film:
    """A received film: `file` names it, `received` is the time of that (ISO 8601).

    token: the name of the token of the client that sent it; empty: the receiver, or pneumoctl. calling: the AE title by
    which its sender called itself to the receiver.
    """

    file: str
    received: str
    content: bytes
    token: str = ""
    calling: str = ""


@dataclass(frozen=True)
class Claim:
    """A film that this process has for the time of a lease. `deliveries`: how often it was taken, with this time."""

    entry: bytes  # in the stream
    id: str
    file: str
    deliveries: int


@dataclass(frozen=True)
class FailedFilm:
    """A received film without a result: when and why it was given up; `code` is for programs."""

    id: str
    file: str
    failed: str
    code: str
    reason: str


@dataclass(frozen=True)
class QueueState:
    """Films that wait or are being scored, since when the oldest one does (seconds), and how many have failed."""

    waiting: int
    oldest_s: float | None
    failed: int

    @property
    def warning(self) -> str | None:
        """Words for films that have no result, or wait for long; None if there are none."""
        if self.failed:
            return f"{_films(self.failed)} no result, because scoring failed"
        if self.oldest_s is not None and self.oldest_s > _LONG_SECONDS:
            return f"{self.waiting} received films wait to be scored, the oldest for {self.oldest_s:.0f} s"
        return None


def _films(number: int) -> str:
    return "1 received film has" if number == 1 else f"{number} received films have"


def film_id(sha256: str, file: str) -> str:
    """The id of a film with that SHA-256 (hexadecimal) and name, 32 hexadecimal digits."""
    return hashlib.sha256(f"{sha256}\0{file}".encode()).hexdigest()[:32]
