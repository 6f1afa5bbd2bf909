"""Signals interrupt only where that is allowed; while the GPU host is being stopped they only print a message."""

import os
import signal

import pytest

from pneumoctl.gpu.signals import NUMBERS, Interrupted, Interrupts, ignore_output_errors


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_interrupts_only_where_allowed(number: int) -> None:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    messages: list[str] = []
    with Interrupts(messages.append) as interrupts:
        os.kill(os.getpid(), number)
        assert len(messages) == 1
        with pytest.raises(Interrupted) as caught, interrupts.raising():
            os.kill(os.getpid(), number)
        assert caught.value.code == 128 + number
        os.kill(os.getpid(), number)
        assert len(messages) == 2
        with pytest.raises(Interrupted), interrupts.raising():
            os.kill(os.getpid(), number)
        with interrupts.raising():
            pass
        os.kill(os.getpid(), number)
        assert len(messages) == 3
    assert {number: signal.getsignal(number) for number in NUMBERS} == before


def test_an_interrupt_is_no_exception_for_error_handlers() -> None:
    assert not issubclass(Interrupted, Exception)


@pytest.mark.parametrize("ending", [BrokenPipeError, OSError, SystemExit])
def test_a_closed_terminal_interrupts_nothing(ending: type[BaseException]) -> None:
    """Rich exits when its pipe is broken; a signal whose message cannot be printed must not interrupt the stop."""

    def closed_terminal(_: str) -> None:
        raise ending()

    ignore_output_errors(closed_terminal)("the GPU")
    with Interrupts(closed_terminal):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_during_a_message_is_handled() -> None:
    def interrupt(_: str) -> None:
        raise Interrupted(signal.SIGINT)

    with pytest.raises(Interrupted):
        ignore_output_errors(interrupt)("the GPU")
