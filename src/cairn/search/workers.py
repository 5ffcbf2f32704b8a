"""Threads that share compiled loops; these release the interpreter's lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import torch


class Workers:
    """So many threads as PyTorch is set to.

    Args:
        num: How many.
        pool: The threads.
    """

    def __init__(self, num: int, pool: ThreadPoolExecutor) -> None:
        self.num, self._pool = num, pool

    def spread(self, loop: Callable[..., Any], *values: object, over: int) -> None:
        """Call ``loop(*values, first, last)`` with shares of the range 0 to ``over``."""
        self.each([partial(loop, *values, *part) for part in shares(over, self.num)])

    def each(self, tasks: Sequence[Callable[[], Any]]) -> None:
        """Run tasks, the first ones first, and wait for all.

        Raises:
            Exception: What a task raised, the first one's first.
        """
        if len(tasks) == 1 or self.num == 1:
            for task in tasks:
                task()
            return
        waiting = [self._pool.submit(task) for task in tasks]
        for one in waiting:
            one.result()


def shares(total: int, num: int) -> list[tuple[int, int]]:
    """Return the range 0 to ``total`` in ``num`` even shares, empty ones left out."""
    cuts = [total * part // num for part in range(num + 1)]
    return [part for part in pairwise(cuts) if part[0] < part[1]]


@contextmanager
def workers(num: int | None = None) -> Iterator[Workers]:
    """Yield workers for the time of a search: so many, or as many as PyTorch is set to."""
    num = torch.get_num_threads() if num is None else num
    with ThreadPoolExecutor(num, thread_name_prefix="search") as pool:
        yield Workers(num, pool)
