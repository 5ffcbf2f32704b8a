"""Progress of long loops, on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias, TypeVar

T = TypeVar("T")

Listener: TypeAlias = Callable[[str, int, int | None], None]
"""Told what a loop does, how far it is, and the sum where it is known."""

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)
_LINE_EVERY_S = 10.0


def say(message: str) -> None:
    """Print one line for the person watching, on stderr."""
    print(message, file=sys.stderr, flush=True)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Let a listener be told of the loops of this thread in place of stderr, within the block.

    What it raises ends the loop: that is how work in the background is called off.
    """
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


def track(
    items: Iterable[T],
    description: str,
    *,
    total: int | None = None,
    size: Callable[[T], int] = lambda _: 1,
) -> Iterator[T]:
    """Yield ``items`` while showing how far the loop is.

    Args:
        items: What to go through.
        description: What the loop does, in a word or two.
        total: The sum of their sizes; taken from ``len(items)`` where it has one.
        size: What an item counts for, such as the photographs of a batch.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if (listener := _listener.get()) is not None:
        yield from _told(items, description, total, size, listener)
        return
    if sys.stderr.isatty():
        yield from _bar(items, description, total, size)
        return
    start = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += size(item)
        now = time.monotonic()
        if now - last >= _LINE_EVERY_S:
            last = now
            rate = done / (now - start)
            left = f", {(total - done) / rate:.0f} s left" if total else ""
            say(f"{description}: {done}{f' of {total}' if total else ''} ({rate:.1f}/s{left})")


def _told(
    items: Iterable[T],
    description: str,
    total: int | None,
    size: Callable[[T], int],
    listener: Listener,
) -> Iterator[T]:
    done = 0
    listener(description, done, total)
    for item in items:
        yield item
        done += size(item)
        listener(description, done, total)


def _bar(
    items: Iterable[T], description: str, total: int | None, size: Callable[[T], int]
) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Speed(ProgressColumn):
        """How many a second."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.0f}/s" if task.speed else "")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total)
        for item in items:
            yield item
            bar.advance(task, size(item))
