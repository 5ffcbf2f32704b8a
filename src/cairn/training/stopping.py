"""Being asked to stop: Ctrl-C, and the SIGTERM by which clusters and launchers end their jobs."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """While entered, a first signal during a step is heard after it; others interrupt at once.

    Attributes:
        stepping: Whether a step is under way, after which the state can be saved.
        asked: Whether the run is to stop after it.
    """

    def __init__(self) -> None:
        self.stepping = False
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():  # others may not set handlers
            self._before = {number: signal.signal(number, self._hear) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked or not self.stepping:
            raise KeyboardInterrupt
        self.asked = True
