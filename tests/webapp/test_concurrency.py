"""The concurrency limit rejects what exceeds it, and releases its slots."""

import threading

import pytest

from webapp.concurrency import Busy, ConcurrencyLimit


def test_one_more_than_the_limit_is_busy():
    limit = ConcurrencyLimit(2, retry_after=7)
    with limit.slot(), limit.slot():
        with pytest.raises(Busy) as caught, limit.slot():
            pass
        assert caught.value.retry_after == 7
    with limit.slot(), limit.slot():
        pass


def test_a_slot_is_released_after_an_error():
    limit = ConcurrencyLimit(1, retry_after=1)
    with pytest.raises(ValueError, match="inside"), limit.slot():
        raise ValueError("inside")
    with limit.slot():
        pass


def test_the_timeout_waits_for_a_slot():
    limit = ConcurrencyLimit(1, retry_after=1)
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with limit.slot():
            inside.set()
            leave.wait(120)

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(120)
    with pytest.raises(Busy), limit.slot(timeout=0.01):
        pass
    threading.Timer(0.05, leave.set).start()
    with limit.slot(timeout=120):
        pass
    thread.join()
