"""Progress of several transfers as one number of bytes, on stderr: a bar, or lines now and then."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cairn.fetch.disk import bytes_text
from cairn.progress import say

_LINE_EVERY_S = 10.0


class Meter:
    """Counts bytes from any thread.

    Args:
        description: What goes on, in a word or two.
        total: The bytes expected.
        before: Of these, what is on disk already; they are no part of the rate.
    """

    def __init__(self, description: str, total: int, *, before: int = 0) -> None:
        self.done, self.total, self._description = 0, total, description
        self._before = before
        self._lock = threading.Lock()
        self._start = self._last = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def move(self, count: int) -> None:
        """Count bytes; fewer than none when something starts anew."""
        with self._lock:
            self.done += count
            now = time.monotonic()
            if self._bar is not None:
                self._bar.update(self._task, completed=self.done)
                return
            if now - self._last < _LINE_EVERY_S:
                return
            self._last = now
            rate = max(self.done - self._before, 0) / (now - self._start)
            left = f", {max(self.total - self.done, 0) / rate / 60:.0f} min left" if rate else ""
            text = f"{bytes_text(self.done)} of {bytes_text(self.total)}"
            say(f"{self._description}: {text} ({bytes_text(rate)}/s{left})")

    def say(self, message: str) -> None:
        """Print a line, above the bar where there is one."""
        if self._bar is not None:
            self._bar.console.print(message, markup=False, highlight=False, soft_wrap=True)
        else:
            say(message)

    @contextmanager
    def shown(self) -> Iterator[Meter]:
        """Show a bar while the block runs, on a terminal."""
        if not sys.stderr.isatty():
            yield self
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            self._task = bar.add_task(self._description, total=self.total)
            self._bar = bar
            try:
                yield self
            finally:
                self._bar = None
