"""The thread that makes maps, and its model.

The network that serves may be compiled, which shows nothing of its inside; maps are made by one of
PyTorch's, loaded when the first is asked for and kept while the gallery's model is the same. One
thread makes them, beside the one that answers, and few may wait for it. The module does not know
what a map is.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from cairn.serve.problems import Problem
from cairn.serve.snapshot import Snapshot

T = TypeVar("T")

MOST_WAITING = 8
"""Requests that may wait for the one thread; beyond it they are answered 429."""


class Maps:
    """Makes maps, one request after the other.

    Args:
        wait_s: How long a request waits.
    """

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="maps")
        self._lock = threading.Lock()
        self._num_waiting = 0
        self._model: tuple[str, Any] | None = None

    async def __call__(self, work: Callable[[], T]) -> T:
        """Return what some work in the thread comes to.

        Raises:
            Problem: Too many wait (429), or it took too long (504).
        """
        with self._lock:
            if self._num_waiting >= MOST_WAITING:
                raise Problem(
                    429,
                    "as many maps are waited for as may",
                    todo="ask again in 5 s",
                    headers={"Retry-After": "5"},
                )
            self._num_waiting += 1
        future = self._pool.submit(work)
        future.add_done_callback(self._done)
        try:
            async with asyncio.timeout(self._wait_s):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise Problem(504, f"the maps took longer than {self._wait_s:g} s") from None

    def model_of(self, snapshot: Snapshot) -> Any:
        """Return the gallery's model under PyTorch; called in the thread.

        Raises:
            Problem: It is an export, whose inside cannot be looked at.
        """
        from cairn.checkpoint import load_model
        from cairn.exported import is_export

        fingerprint = snapshot.gallery.table.fingerprint
        if self._model is None or self._model[0] != fingerprint:
            folder = snapshot.gallery.model_dir
            if is_export(folder):
                raise Problem(
                    409,
                    "the gallery's model is an export, and shows no maps",
                    todo="serve a gallery with the model that it was made of",
                )
            self._model = None  # never two at once
            self._model = fingerprint, load_model(folder)[0].eval()
        return self._model[1]

    def close(self) -> None:
        """Make no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _done(self, _: Future[Any]) -> None:
        with self._lock:
            self._num_waiting -= 1
