"""Signals that ask a process to end: it ends with one sentence, between steps where it can."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal asks the process to end. No error, so that nothing that handles errors takes it for one.

    Args:
        number: of the signal.
        state: what is kept, and how to go on; empty where nothing is.
    """

    def __init__(self, number: int, state: str = "") -> None:
        super().__init__(number, state)
        self.number, self.state = number, state

    @property
    def status(self) -> int:
        """Exit status of the process, as shells have it."""
        return 128 + self.number

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.number).name}" + (f"; {self.state}" if self.state else "")


def _raise(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise :class:`Interrupted` where a signal arrives; in threads other than the main one nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _raise) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Postponed:
    """Keeps a signal until somebody asks for it; a second one is not kept but raised.

    Attributes:
        number: of the signal that is kept; 0 where none has come.
        waits: whether signals are kept; else they are raised.
    """

    def __init__(self) -> None:
        self.number = 0
        self.waits = False
        self._before: dict[int, Any] = {}

    def start(self) -> None:
        """Handle signals from now on."""
        self.waits = True
        if threading.current_thread() is threading.main_thread() and not self._before:
            self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}

    def end(self) -> None:
        """Let signals do what they did before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.number or not self.waits:
            raise Interrupted(number)
        self.number = number
