"""Being asked to stop, by the system or by a cluster that wants its machine back."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.logging import print_log

from mmdeepcluster.engine.launch import agree_on_largest

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class StopRequest:
    """Notes SIGTERM, SIGUSR1 and SIGUSR2 while :meth:`listening`, so that a training can save."""

    def __init__(self) -> None:
        self._number = 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Takes the signals, and gives them back at the end."""
        previous: dict[signal.Signals, Any] = {}
        try:
            for number in SIGNALS:
                previous[number] = signal.signal(number, self._note)
        except ValueError:
            print_log("not in the main thread: no signal will save a checkpoint", "current")
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    @property
    def noted(self) -> bool:
        """Whether this process was sent a signal so far."""
        return self._number != 0

    def agreed(self) -> int:
        """The number of a signal that any process was sent so far, or 0; collective."""
        found = agree_on_largest(self._number)
        if found:  # else a signal may have come while the processes agreed: it is for the next time
            self._number = found
        return found

    def _note(self, number: int, frame: Any) -> None:
        self._number = number
