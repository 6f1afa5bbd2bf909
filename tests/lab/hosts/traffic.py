"""People at the page: requests at a steady rate through the front door, every answer judged."""

import itertools
import json
import os
import random
import ssl
import threading
import time
import urllib.parse
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from types import TracebackType
from typing import Any

import urllib3
from PIL import Image

from model import phantom
from model.bundle import pretrained
from model.serving.predict import Classifier
from tests.lab.operated import Operator

RATE = float(os.environ.get("PNEUMO_TRAFFIC") or 8)  # requests a second
UPLOADS = 4  # one request of so many is a picture
AT_ONCE = 12  # requests that wait for an answer
LONGEST_S = 1800.0  # nobody leaves it on
PATIENCE_S = 90.0  # longer than nginx waits for the page
PICTURES = 8  # are drawn; each upload is one of them, changed a little
SIZE = 320
NEAR = 0.05  # a changed picture scores as the one it was made of


@dataclass(frozen=True)
class Film:
    """A drawn radiograph and what the shipped model finds in it."""

    picture: Image.Image
    finding: str
    probability: float

    def another(self, dice: random.Random) -> bytes:
        """One that was never sent: some grey dots in its lowest rows, as a PNG."""
        fresh = self.picture.copy()
        for _ in range(8):
            fresh.putpixel((dice.randrange(SIZE), SIZE - 1 - dice.randrange(4)), dice.randrange(256))
        file = BytesIO()
        fresh.save(file, "PNG")
        return file.getvalue()


def films() -> list[Film]:
    """Some that are far from the model's threshold, so that its finding is beyond doubt."""
    model = Classifier.open(pretrained(), threads=1)
    made: list[Film] = []
    for seed in itertools.count(1):
        found = model.predict(phantom.png(seed, SIZE, bool(seed % 2)), "drawn.png")
        if found["refusal"] is None and abs(found["probability"] - found["threshold"]) > 2 * NEAR:
            made.append(Film(phantom.draw(seed, SIZE, bool(seed % 2)), found["finding"], found["probability"]))
        if len(made) == PICTURES:
            return made
    raise AssertionError("never reached")


class Wrong(Exception):
    """An answer that nobody should get."""


class Traffic:
    """Requests from the operator's place while it is entered; `failures` has a line for each that went wrong.

    Each has a connection of its own: one that nginx closes at a reload every browser opens again, and we judge nginx.
    """

    def __init__(self, operator: Operator, rate: float = RATE) -> None:
        secrets = json.loads((operator.directory / "secrets.json").read_text())
        login = urllib3.make_headers(basic_auth=f"clinician:{secrets['web_password']}")
        self._headers = {**login, "Accept": "application/json", "Connection": "close"}
        self._context = ssl.create_default_context(cafile=str(operator.directory / "tls/certificate.pem"))
        self._url = f"https://{operator.known('nginx')['public_address']}"
        self._lab, self._rate, self._films = operator.lab, rate, films()
        self._dice = random.Random(time.time_ns())
        self._stored: list[dict[str, Any]] = []
        self._ended = threading.Event()
        self._pacer = threading.Thread(target=self._pace, daemon=True)
        self._lock = threading.Lock()
        self.sent: Counter[str] = Counter()
        self.failures: list[str] = []
        self.seconds: list[float] = []
        self.began = 0.0

    def __enter__(self) -> "Traffic":
        self.upload(0)  # so that there is something to look at; and it works at all
        self.began = time.monotonic()
        self._pacer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.end()
        if kind is None:
            self.check()

    def end(self) -> None:
        """Nobody asks anything more; what was asked is answered."""
        self._ended.set()
        self._pacer.join()

    def check(self) -> None:
        """AssertionError unless every answer so far was right."""
        with self._lock:
            failed = list(self.failures)
        assert not failed, f"{len(failed)} of {self.sent} requests failed:\n" + "\n".join(failed[:30])
        assert self.sent["picture"] and self.sent["page"], self.sent

    def told(self) -> str:
        """How many, how fast."""
        ordered = sorted(self.seconds) or [0.0]
        slow = ", ".join(f"{share}% {ordered[len(ordered) * share // 100]:.2f} s" for share in (50, 99))
        return (
            f"{sum(self.sent.values())} requests ({self.sent['picture']} pictures) in "
            f"{time.monotonic() - self.began:.0f} s, {len(self.failures)} failed; {slow}, slowest {ordered[-1]:.2f} s"
        )

    def _pace(self) -> None:
        """At its rate, but never more than AT_ONCE at a time: a busy machine is asked less."""
        free = threading.Semaphore(AT_ONCE)

        def answered(_: Future[None]) -> None:
            free.release()

        with ThreadPoolExecutor(AT_ONCE) as pool:
            for number in itertools.count():
                free.acquire()
                if self._ended.wait(1 / self._rate) or time.monotonic() - self.began > LONGEST_S:
                    return
                pool.submit(self._one, number).add_done_callback(answered)

    def _one(self, number: int) -> None:
        kind = "page" if number % UPLOADS else "picture"
        started = time.monotonic()
        try:
            self.look(number) if kind == "page" else self.upload(number)
        except Exception as error:
            with self._lock:
                when, taken = started - self.began, time.monotonic() - started
                self.failures.append(f"{when:6.1f} s: {kind} after {taken:.1f} s: {type(error).__name__}: {error}")
        with self._lock:
            self.sent[kind] += 1
            self.seconds.append(time.monotonic() - started)

    def upload(self, number: int) -> None:
        """Have a picture assessed that was never sent; raises unless the finding is right."""
        film = self._films[number // UPLOADS % PICTURES]
        with self._lock:
            picture, name = film.another(self._dice), f"drawn-{self._dice.randrange(1 << 60):x}.png"
        answer = self.ask("POST", "/predictions", fields={"file": (name, picture, "image/png")})
        (found,) = answer.json()["predictions"]
        if (found["file"], found["finding"], found["refusal"]) != (name, film.finding, None):
            raise Wrong(f"found {found} in {name}, not {film.finding}")
        if not abs(found["probability"] - film.probability) <= NEAR:
            raise Wrong(f"{found['probability']} is not {film.probability}")
        with self._lock:
            self._stored = [*self._stored[-50:], found]

    def look(self, number: int) -> None:
        """Look at what was uploaded: a page or a document; raises unless it is as it must be."""
        with self._lock:
            known = self._dice.choice(self._stored)
        one = f"/predictions/{known['id']}"
        look = number // UPLOADS % 4
        if look == 0:
            if "drawn-" not in self.ask("GET", "/", accept="text/html").data.decode():
                raise Wrong("the first page lists no result")
        elif look == 1:
            if known["file"] not in self.ask("GET", one, accept="text/html").data.decode():
                raise Wrong(f"{one} does not tell of {known['file']}")
        elif look == 2:
            if self.ask("GET", one).json()["probability"] != known["probability"]:
                raise Wrong(f"{one} is another than it was")
        elif not self.ask("GET", "/predictions").json()["predictions"]:
            raise Wrong("the list is empty")

    def ask(self, method: str, path: str, accept: str = "", **more: Any) -> urllib3.BaseHTTPResponse:
        """The answer of the front door; raises unless it is a good one."""
        headers = self._headers | ({"Accept": accept} if accept else {})
        with (
            self._lab.entered("operator"),
            urllib3.PoolManager(ssl_context=self._context, retries=False, timeout=PATIENCE_S) as pool,
        ):
            answer = pool.request(method, self._url + path, headers=headers, redirect=False, **more)
        if not 200 <= answer.status < 400:
            raise Wrong(f"{method} {urllib.parse.urlsplit(path).path} answered {answer.status}: {answer.data[:300]!r}")
        return answer
