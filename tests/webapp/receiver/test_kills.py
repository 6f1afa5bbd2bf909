"""No film that C-STORE accepted is lost or doubled, whatever is killed: the API's workers, Redis, the receiver."""

import os
import subprocess
import sys

import pytest

from tests.webapp.api.received.films import dataset
from tests.webapp.api.received.kills import end_all, kill_workers, restart, send_all
from tests.webapp.receiver.senders import send
from tests.webapp.servers import ROOT, TOKEN, Gunicorn, api_environment, free_port, running_redis

FEW, ALL = 200, 2000


class Receiver:
    """The receiver as its service runs it, which is started again when it is killed."""

    def __init__(self, api_url: str) -> None:
        self.port = free_port()
        values = {"DICOM_PORT": str(self.port), "API_URL": api_url, "API_TOKEN": TOKEN}
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **values}
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "webapp.receiver"], env=self._environment, stderr=subprocess.DEVNULL
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        self.kill()
        self.start()


@pytest.mark.parametrize("number", [FEW, pytest.param(ALL, marks=pytest.mark.repeat)])
def test_films_sent_by_c_store_survive_kills(tmp_path, tiny_bundle, number):
    with running_redis(tmp_path / "redis", memory_mb=512) as redis:
        environment = api_environment(redis.port, tiny_bundle) | {"SCORE_RECEIVED": "yes", "RECEIVED_LEASE": "3"}
        server = Gunicorn("webapp.api", tmp_path, environment)
        server.start()
        receiver = Receiver(server.url)
        try:
            kills = (lambda: kill_workers(server), lambda: restart(redis), receiver.restart)
            films = [dataset(each, seed=each % 7) for each in range(number)]
            send_all(number, lambda each: send(receiver.port, films[each]) == 0, kills, 9 if number == FEW else 24)
            end_all(server, number)
        finally:
            receiver.kill()
            server.stop()
