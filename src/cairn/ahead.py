"""Work done ahead by threads: results in order, and never more of them than are asked for.

Threads suffice for photographs because Pillow lets go of the interpreter while it decodes and
resamples; no process is forked, so nothing that holds locks or devices is copied.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def num_processors() -> int:
    """Return how many processors this process may use: its affinity where the system has one."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threaded_map(
    function: Callable[[A], B], items: Iterable[A], *, ahead: int, workers: int = 0
) -> Iterator[B]:
    """Yield ``function(item)`` in the order of the items, computed ahead by threads.

    Args:
        function: Must be safe to call from several threads.
        items: Drawn at most ``ahead`` items, and two a thread, before they are yielded.
        ahead: How many results may wait.
        workers: Threads; 0 for as many as processors that this process may use.
    """
    workers = workers or num_processors()
    waiting: deque[Future[B]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= ahead + 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
