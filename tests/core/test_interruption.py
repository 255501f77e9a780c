"""Signals that ask a process to end."""

import os
import signal

import pytest

from dld_spotter.core.interruption import Interrupted, Postponed, interruptible


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_is_told_in_a_sentence_with_the_status_of_shells(number: int, status: int):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as stop, interruptible():
        os.kill(os.getpid(), number)
    assert stop.value.status == status
    assert str(stop.value) == f"stopped by {signal.Signals(number).name}"
    assert str(Interrupted(number, "nothing is kept")).endswith("; nothing is kept")
    assert signal.getsignal(number) is before


def test_nothing_that_handles_errors_takes_it_for_one():
    assert not issubclass(Interrupted, Exception)


def test_the_first_signal_waits_and_the_second_does_not():
    before, waiting = signal.getsignal(signal.SIGTERM), Postponed()
    waiting.start()
    os.kill(os.getpid(), signal.SIGTERM)
    assert waiting.number == signal.SIGTERM
    with pytest.raises(Interrupted):
        os.kill(os.getpid(), signal.SIGTERM)
    waiting.number, waiting.waits = 0, False
    with pytest.raises(Interrupted):
        os.kill(os.getpid(), signal.SIGTERM)
    waiting.end()
    assert signal.getsignal(signal.SIGTERM) is before
