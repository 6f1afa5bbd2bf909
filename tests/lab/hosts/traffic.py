"""Simulate users: requests to the web page at a steady rate, with a check of every answer."""

import functools
import itertools
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
from tests.lab import page_session
from tests.lab.stack_operator import Operator
from tests.lab.wait import wait_for

RATE = float(os.environ.get("PNEUMO_TRAFFIC") or 4)  # requests a second
UPLOADS = 4  # one of this number of requests is an upload
VIEWS = 4  # what `view` asks for, in turn
MIN_REQUESTS = UPLOADS * VIEWS  # requests, so that each kind was sent
MAX_CONCURRENT = 12  # the maximum number of concurrent requests
MAX_DURATION_S = 1800.0  # ends by itself after this time
TIMEOUT_S = 90.0  # longer than the timeout of nginx for the page
PICTURES = 8  # synthetic pictures; each upload is a slightly changed one
SIZE = 320
SCORE_TOLERANCE = 0.05  # maximum difference of a changed picture's score


@dataclass(frozen=True)
class SyntheticImage:
    """A synthetic radiograph and the result of the shipped model for it."""

    picture: Image.Image
    finding: str
    probability: float

    def variant(self, rng: random.Random) -> bytes:
        """A new picture as a PNG: this one with some grey dots in its lowest rows."""
        copy = self.picture.copy()
        for _ in range(8):
            copy.putpixel((rng.randrange(SIZE), SIZE - 1 - rng.randrange(4)), rng.randrange(256))
        file = BytesIO()
        copy.save(file, "PNG")
        return file.getvalue()


@functools.cache
def synthetic_images() -> tuple[SyntheticImage, ...]:
    """Synthetic pictures whose scores are far from the model's threshold, so that the finding is certain."""
    model = Classifier.open(pretrained(), threads=1)
    made: list[SyntheticImage] = []
    for seed in itertools.count(1):
        prediction = model.predict(phantom.png(seed, SIZE, bool(seed % 2)), "drawn.png")
        if (
            prediction["refusal"] is None
            and abs(prediction["probability"] - prediction["threshold"]) > 2 * SCORE_TOLERANCE
        ):
            made.append(
                SyntheticImage(
                    phantom.draw(seed, SIZE, bool(seed % 2)), prediction["finding"], prediction["probability"]
                )
            )
        if len(made) == PICTURES:
            return tuple(made)
    raise AssertionError("never reached")


class WrongAnswer(Exception):
    """A wrong answer."""


class Traffic:
    """Sends requests from the operator's network within `with`; `failures` has a line for each wrong answer.

    Each request has a new connection. nginx closes kept connections at a reload, which a browser opens again.
    """

    def __init__(self, operator: Operator, rate: float = RATE) -> None:
        self._headers = {**page_session.begin(operator), "Accept": "application/json", "Connection": "close"}
        self._context = ssl.create_default_context(cafile=str(operator.directory / "tls/certificate.pem"))
        self._url = f"https://{operator.inventory_host('nginx')['public_address']}"
        self._lab, self._rate, self._images = operator.lab, rate, synthetic_images()
        self._rng = random.Random(time.time_ns())
        self._stored: list[dict[str, Any]] = []
        self._ended = threading.Event()
        self._sender = threading.Thread(target=self._send_at_rate, daemon=True)
        self._lock = threading.Lock()
        self.sent: Counter[str] = Counter()
        self.failures: list[str] = []
        self.seconds: list[float] = []
        self.began = 0.0

    def __enter__(self) -> "Traffic":
        self.upload(0)  # checks that the page works, and gives the first result to look at
        self.began = time.monotonic()
        self._sender.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None:
            wait_for("each kind of request to be sent", lambda: sum(self.sent.values()) >= MIN_REQUESTS)
        self.stop()
        if kind is None:
            self.check()

    def stop(self) -> None:
        """Send no more requests, and wait for the open ones."""
        self._ended.set()
        self._sender.join()

    def check(self) -> None:
        """Raise AssertionError unless every answer so far was right, and each kind of request was sent."""
        with self._lock:
            failed = list(self.failures)
        assert not failed, f"{len(failed)} of {self.sent} requests failed:\n" + "\n".join(failed[:30])
        assert sum(self.sent.values()) >= MIN_REQUESTS, f"too few requests to prove anything: {self.sent}"

    def summary(self) -> str:
        """A line with the number of requests and their duration."""
        ordered = sorted(self.seconds) or [0.0]
        slow = ", ".join(f"{share}% {ordered[len(ordered) * share // 100]:.2f} s" for share in (50, 99))
        return (
            f"{sum(self.sent.values())} requests ({self.sent['picture']} pictures) in "
            f"{time.monotonic() - self.began:.0f} s, {len(self.failures)} failed; {slow}, slowest {ordered[-1]:.2f} s"
        )

    def _send_at_rate(self) -> None:
        """Send requests at the rate, but at most MAX_CONCURRENT at a time, so that a busy machine gets fewer."""
        free = threading.Semaphore(MAX_CONCURRENT)

        def answered(_: Future[None]) -> None:
            free.release()

        with ThreadPoolExecutor(MAX_CONCURRENT) as pool:
            for number in itertools.count():
                free.acquire()
                if self._ended.wait(1 / self._rate) or time.monotonic() - self.began > MAX_DURATION_S:
                    return
                pool.submit(self._send, number).add_done_callback(answered)

    def _send(self, number: int) -> None:
        kind = "page" if number % UPLOADS else "picture"
        started = time.monotonic()
        try:
            self.view(number) if kind == "page" else self.upload(number)
        except Exception as error:
            with self._lock:
                when, taken = started - self.began, time.monotonic() - started
                self.failures.append(f"{when:6.1f} s: {kind} after {taken:.1f} s: {type(error).__name__}: {error}")
        with self._lock:
            self.sent[kind] += 1
            self.seconds.append(time.monotonic() - started)

    def upload(self, number: int) -> None:
        """Upload a new picture; raises unless the finding is right."""
        image = self._images[number // UPLOADS % PICTURES]
        with self._lock:
            picture, name = image.variant(self._rng), f"drawn-{self._rng.randrange(1 << 60):x}.png"
        answer = self.ask("POST", "/predictions", fields={"file": (name, picture, "image/png")})
        (prediction,) = answer.json()["predictions"]
        if (prediction["file"], prediction["finding"], prediction["refusal"]) != (name, image.finding, None):
            raise WrongAnswer(f"found {prediction} in {name}, not {image.finding}")
        if not abs(prediction["probability"] - image.probability) <= SCORE_TOLERANCE:
            raise WrongAnswer(f"{prediction['probability']} is not {image.probability}")
        with self._lock:
            self._stored = [*self._stored[-50:], prediction]

    def view(self, number: int) -> None:
        """Get the page or the document of an uploaded picture; raises unless it is right."""
        with self._lock:
            prediction = self._rng.choice(self._stored)
        path = f"/predictions/{prediction['id']}"
        view = number // UPLOADS % VIEWS
        if view == 0:
            if "drawn-" not in self.ask("GET", "/", accept="text/html").data.decode():
                raise WrongAnswer("the first page lists no result")
        elif view == 1:
            if prediction["file"] not in self.ask("GET", path, accept="text/html").data.decode():
                raise WrongAnswer(f"{path} does not tell of {prediction['file']}")
        elif view == 2:
            if self.ask("GET", path).json()["probability"] != prediction["probability"]:
                raise WrongAnswer(f"{path} is another than it was")
        elif not self.ask("GET", "/predictions").json()["predictions"]:
            raise WrongAnswer("the list is empty")

    def ask(self, method: str, path: str, accept: str = "", **more: Any) -> urllib3.BaseHTTPResponse:
        """The answer to a request; raises unless it is the expected one."""
        headers = self._headers | ({"Accept": accept} if accept else {})
        with (
            self._lab.in_network_of("operator"),
            urllib3.PoolManager(ssl_context=self._context, retries=False, timeout=TIMEOUT_S) as pool,
        ):
            answer = pool.request(method, self._url + path, headers=headers, redirect=False, **more)
        if not 200 <= answer.status < 400:
            raise WrongAnswer(
                f"{method} {urllib.parse.urlsplit(path).path} answered {answer.status}: {answer.data[:300]!r}"
            )
        return answer
