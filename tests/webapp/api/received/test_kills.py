"""No accepted film is lost or doubled, whatever is killed while it is taken in and scored."""

import pytest
import urllib3

from tests.webapp.api.received.films import film, related
from tests.webapp.api.received.kills import HEADERS, end_all, kill_workers, restart, send_all
from tests.webapp.servers import Gunicorn, api_environment, running_redis

FEW, ALL = 200, 2000


@pytest.mark.parametrize("number", [FEW, pytest.param(ALL, marks=pytest.mark.repeat)])
def test_films_sent_by_stow_survive_kills(tmp_path, tiny_bundle, number):
    with running_redis(tmp_path / "redis", memory_mb=512) as redis:
        environment = api_environment(redis.port, tiny_bundle) | {"SCORE_RECEIVED": "yes", "RECEIVED_LEASE": "3"}
        server = Gunicorn("webapp.api", tmp_path, environment)
        server.start()
        try:

            def send(each: int) -> bool:
                body, kind = related(film(each))
                try:
                    answer = urllib3.request(
                        "POST", f"{server.url}/dicomweb/studies", body=body, retries=False, timeout=60,
                        headers={**HEADERS, "Content-Type": kind},
                    )  # fmt: skip
                except urllib3.exceptions.HTTPError:
                    return False
                return answer.status == 200

            kills = (lambda: kill_workers(server), lambda: restart(redis))
            send_all(number, send, kills, times=8 if number == FEW else 24)
            end_all(server, number)
        finally:
            server.stop()
