"""The bound: so many at once, the next is told to wait, and places come back."""

import threading

import pytest

from webapp.gate import Bound, Busy


def test_one_more_than_the_places_is_busy():
    bound = Bound(2, retry_after=7)
    with bound.held(), bound.held():
        with pytest.raises(Busy) as caught, bound.held():
            pass
        assert caught.value.retry_after == 7
    with bound.held(), bound.held():
        pass


def test_a_place_comes_back_after_an_error():
    bound = Bound(1, retry_after=1)
    with pytest.raises(ValueError, match="inside"), bound.held():
        raise ValueError("inside")
    with bound.held():
        pass


def test_patience_waits_for_a_place():
    bound = Bound(1, retry_after=1)
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with bound.held():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(10)
    with pytest.raises(Busy), bound.held(patience=0.01):
        pass
    threading.Timer(0.05, leave.set).start()
    with bound.held(patience=10):
        pass
    thread.join()
