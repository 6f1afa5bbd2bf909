"""Score received films in the background, one at a time in each process of the API, as an upload is scored."""

import hashlib
import logging
import threading
import time
from dataclasses import replace

from werkzeug.datastructures import FileStorage

from webapp.api import intake
from webapp.api.services import Services
from webapp.api.storage.errors import Damaged, Missing, StoreUnavailable
from webapp.api.storage.film_queue import FilmQueue
from webapp.api.storage.queued_films import Claim, Film
from webapp.api.storage.trail import Act
from webapp.concurrency import Busy

log = logging.getLogger(__name__)
ATTEMPTS = 3  # a film whose process dies so often while it scores it gets an error
_WAIT_SECONDS = 1.0  # for a film; so long may a process take to end
_PAUSE_SECONDS = 2.0  # before what failed for a reason outside the film is tried again


def start(services: Services) -> threading.Event:
    """Score films as long as this process runs, or until the event is set.

    A process that is told to end first finishes the film that it has: the thread is no daemon.
    """
    ended = threading.Event()
    threading.Thread(target=Worker(services, ended).run, name="received").start()
    return ended


class _QueuedFile:
    """The content of a claimed film as a stream, which is read once there is a free slot for it."""

    def __init__(self, queue: FilmQueue, claim: Claim) -> None:
        self._queue = queue
        self._claim = claim
        self._film: Film | None = None

    def read(self) -> bytes:
        """Raises Damaged, Missing or StoreUnavailable."""
        film = self._queue.film(self._claim)
        self._film = replace(film, content=b"")  # it may be large
        return film.content

    def upload(self, identifier: str) -> Act:
        """Its entry in the trail, once it was read. Nobody makes a request now: who sent it has had its answer."""
        token, calling = (self._film.token, self._film.calling) if self._film else ("", "")
        if token:
            return Act("upload", token, "token", "client", self._claim.id, identifier, detail="DICOM")
        said = f"DICOM, calling AE title {calling}" if calling else "DICOM"
        return Act("upload", "received", "stack", "none", self._claim.id, identifier, detail=said)


class Worker:
    """Takes films from the queue and scores them."""

    def __init__(self, services: Services, ended: threading.Event) -> None:
        self._services = services
        self._ended = ended
        self._queue = services.store.queue
        self._lease_s = services.settings.received_lease_s
        self._logged = ""

    def run(self) -> None:
        """Until the process ends. Nothing else may end this thread: it would go unnoticed."""
        while not self._ended.is_set() and threading.main_thread().is_alive():
            try:
                claim = self._queue.claim(self._lease_s, _WAIT_SECONDS)
                if claim is not None:
                    self.score(claim)
                self._logged = ""
            except Exception as error:
                self._log(error)
                self._ended.wait(_PAUSE_SECONDS)

    def _log(self, error: Exception) -> None:
        said = f"{type(error).__name__}: {error}" if isinstance(error, StoreUnavailable) else type(error).__name__
        if said != self._logged:
            log.warning("received films are not scored: %s", said)
        self._logged = said

    def score(self, claim: Claim) -> None:
        """Score a film and take it out of the queue: its result or its error is stored by then.

        A film that was not finished stays in the queue, and is taken again when its lease has ended.
        """
        if claim.deliveries > ATTEMPTS:
            self._give_up(claim, "scoring-died", f"The process that scored this film ended {ATTEMPTS} times.")
            return
        queued = _QueuedFile(self._queue, claim)
        file = FileStorage(queued, claim.file)  # type: ignore[arg-type]
        deadline = time.monotonic() + self._lease_s / 2
        try:
            intake.process_file(self._services, file, claim.file, deadline, queued.upload)
            self._queue.finish(claim)
        except (Busy, StoreUnavailable):
            self._queue.release(claim, self._lease_s, _PAUSE_SECONDS)
            raise
        except Missing:
            self._fail(claim, "film-lost", "The received film is no longer in the store.")
        except Damaged as error:
            log.error("damaged: %s", error)
            self._fail(claim, "film-damaged", "The stored film, or its stored result, was changed or damaged.")
        except Exception as error:
            trace = (type(error), Exception("(message left out)"), error.__traceback__)
            log.error("a received film: unexpected %s", type(error).__name__, exc_info=trace)
            if claim.deliveries >= ATTEMPTS:
                self._give_up(claim, "internal", f"An internal error occurred {ATTEMPTS} times.")

    def _give_up(self, claim: Claim, code: str, reason: str) -> None:
        """Make a film an error, unless what failed came after its result was stored."""
        try:
            content = self._queue.film(claim).content
            self._services.store.get(self._services.scorer.identity(hashlib.sha256(content).hexdigest(), claim.file))
        except (Missing, Damaged):
            self._fail(claim, code, reason)
        else:
            self._queue.finish(claim)

    def _fail(self, claim: Claim, code: str, reason: str) -> None:
        log.error("a received film has no result: %s", code)
        self._queue.fail(claim, code, reason)
        self._services.metrics.file_finished("error", self._services.scorer.version)
