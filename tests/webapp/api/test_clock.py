"""A clock that is wrong hides results or keeps them: readiness, the page and a metric say so, and uploads go on."""

import time

import pytest

from tests.webapp.conftest import Caller
from webapp import api
from webapp.api.storage.erasure import Eraser
from webapp.api.storage.retention import Retention

DAY = 86400


@pytest.fixture
def asked(config, monkeypatch):
    """Asks an API whose clock is ahead of that of Redis by some seconds: its check of the clock, and the metric."""
    monkeypatch.setattr("webapp.api.health._STORE_SECONDS", 0.0)

    def ask(ahead: float, days: int = 30) -> tuple[dict, str]:
        monkeypatch.setattr(Eraser, "redis_time", lambda _: time.time() - ahead)
        caller = Caller(api.create_app({**config, "RETENTION_DAYS": days, "ERASE_EXPIRED": "no"}).test_client())
        answer = caller.client.get("/readyz")
        assert answer.status_code == 200
        return answer.get_json()["checks"]["clock"], caller.client.get("/metrics").get_data(as_text=True)

    return ask


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (0, None),
        (50, None),
        (40 * DAY, "this host's clock is 40 days ahead of that of Redis, so results may be hidden too early"),
        (90, "this host's clock is 90 s ahead of that of Redis, so results may be hidden too early"),
        (-3 * DAY, "this host's clock is 3 days behind that of Redis, so results may be shown for too long"),
    ],
)
def test_a_clock_that_differs_from_that_of_redis_is_a_warning(asked, ahead, words):
    row, metrics = asked(ahead)
    assert row == {"ok": True, "fault": None, "warning": words}
    (error,) = (float(line.split()[1]) for line in metrics.splitlines() if line.startswith("pneumo_clock_error_sec"))
    assert error == pytest.approx(ahead, abs=5)


def test_a_clock_that_hides_nothing_is_no_warning(asked):
    row, metrics = asked(40 * DAY, days=0)
    assert row["warning"] is None
    assert "pneumo_clock_error_seconds " not in metrics


def test_without_redis_nothing_is_known_of_the_clock(config):
    caller = Caller(
        api.create_app({**config, "REDIS_PORT": 1, "RETENTION_DAYS": 30, "ERASE_EXPIRED": "no"}).test_client()
    )
    answer = caller.client.get("/readyz")
    assert answer.status_code == 503 and answer.get_json()["checks"]["clock"]["warning"] is None
    assert "pneumo_clock_error_seconds " not in caller.client.get("/metrics").get_data(as_text=True)


def test_a_clock_that_was_set_since_the_start_is_a_warning():
    now = [1000.0]
    retention = Retention(30, now=lambda: now[0], steady=lambda: 0.0)
    assert retention.clock(now[0]).warning is None
    now[0] -= 7200
    clock = retention.clock(now[0])
    assert clock.error == -7200
    assert clock.warning == (
        "this host's clock was set by -7200 s since this process started, "
        "so nothing that has expired is erased until it is restarted"
    )
