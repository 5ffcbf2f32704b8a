"""Micro-batches: photographs of different requests are decoded by threads and run together.

One thread runs the network and takes whatever is decoded when it becomes free, up to a batch. It
waits for more only while more are being decoded, and never longer than it is told: a photograph
that comes alone is not held up. The number that may wait is bounded; work that nobody waits for
any more is dropped before it costs anything. The module knows nothing of HTTP, images or galleries.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

In = TypeVar("In")
Ready = TypeVar("Ready")
Out = TypeVar("Out")

_RATE_WEIGHT = 0.2  # of the newest batch in the running mean


class Busy(Exception):  # noqa: N818 (a state, not a fault of ours)
    """More would wait than may.

    Args:
        retry_after_s: When there should be room, by the rate of late.
    """

    def __init__(self, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(f"busy for {retry_after_s:.0f} s")


class Closed(Exception):  # noqa: N818
    """No more is accepted: the batcher is stopping."""


@dataclass(eq=False)
class Task(Generic[In, Ready, Out]):
    """One photograph on its way.

    Args:
        item: What came in.
        group: Only tasks of one group run together.
        deadline: Of ``time.monotonic``; later nobody waits for it any more.
        future: Its result, or why there is none.
        ready: The item prepared.
    """

    item: In
    group: Hashable
    deadline: float
    future: Future[Out] = field(default_factory=Future)
    ready: Ready | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether somebody still waits for it."""
        return not self.future.done() and time.monotonic() < self.deadline


@dataclass(frozen=True)
class BatchReport:
    """What a batch was, for those who measure.

    Args:
        size: Tasks in it.
        run_s: Seconds it ran.
        waiting: Tasks that wait behind it.
    """

    size: int
    run_s: float
    waiting: int


class Batcher(Generic[In, Ready, Out]):
    """Prepares items in threads and runs them in batches in one thread.

    Args:
        prepare: Called in several threads, once for each item.
        run: Called in one thread with prepared items of one group; returns one result for each.
        max_batch: The most that run together.
        max_wait_s: How long the first of a batch waits for others that are being prepared.
        queue: How many may be on their way at once.
        preparers: Threads that prepare.
        on_batch: Told of every batch.
    """

    def __init__(
        self,
        prepare: Callable[[In], Ready],
        run: Callable[[Sequence[Ready]], Sequence[Out]],
        *,
        max_batch: int,
        max_wait_s: float,
        queue: int,
        preparers: int,
        on_batch: Callable[[BatchReport], None] | None = None,
    ) -> None:
        self.max_batch, self.queue = max_batch, queue
        self._prepare, self._run = prepare, run
        self._max_wait_s, self._on_batch = max_wait_s, on_batch
        self._changed = threading.Condition()
        self._ready: deque[Task[In, Ready, Out]] = deque()
        self._num_on_way = self._num_preparing = 0
        self._is_closed = False
        self._seconds_each = 0.0
        self._pool = ThreadPoolExecutor(preparers, thread_name_prefix="decode")
        self._thread = threading.Thread(target=self._loop, name="model", daemon=True)
        self._thread.start()

    @property
    def num_waiting(self) -> int:
        """Tasks that were accepted and have no result yet."""
        return self._num_on_way

    def submit(self, items: Sequence[In], *, group: Hashable, deadline: float) -> list[Future[Out]]:
        """Accept items, all or none; return their results to come, in order.

        Args:
            items: Of one request.
            group: Only items of one group run together.
            deadline: Of ``time.monotonic``.

        Raises:
            Busy: There is no room for all of them.
            Closed: The batcher is stopping.
        """
        with self._changed:
            if self._is_closed:
                raise Closed
            if self._num_on_way + len(items) > self.queue:
                raise Busy(max(1.0, self._num_on_way * self._seconds_each))
            self._num_on_way += len(items)
            self._num_preparing += len(items)
        tasks = [Task[In, Ready, Out](item, group, deadline) for item in items]
        for task in tasks:
            self._pool.submit(self._make_ready, task)
        return [task.future for task in tasks]

    def close(self, timeout_s: float) -> bool:
        """Accept no more, finish what was accepted; return whether all of it was in time."""
        end = time.monotonic() + timeout_s
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            is_done = self._changed.wait_for(lambda: self._num_on_way == 0, timeout_s)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._thread.join(max(0.0, end - time.monotonic()) if is_done else 0.0)
        return is_done

    def _make_ready(self, task: Task[In, Ready, Out]) -> None:
        fault: BaseException | None = None
        if task.is_wanted:
            try:
                task.ready = self._prepare(task.item)
            except BaseException as error:
                fault = error
        else:
            fault = TimeoutError()
        with self._changed:
            self._num_preparing -= 1
            if fault is None:
                self._ready.append(task)
            else:
                self._num_on_way -= 1
            self._changed.notify_all()
        if fault is not None:
            _fail(task, fault)

    def _loop(self) -> None:
        while True:
            batch = self._next()
            if batch is None:
                return
            self._finish(batch)
            del batch  # while it waits, it holds nothing that tasks do, such as a gallery

    def _finish(self, batch: list[Task[In, Ready, Out]]) -> None:
        wanted = [task for task in batch if task.is_wanted]
        start = time.monotonic()
        if wanted:
            self._answer(wanted)
        run_s = time.monotonic() - start
        with self._changed:
            self._num_on_way -= len(batch)
            waiting = self._num_on_way
            self._changed.notify_all()
        for task in batch:
            if not task.future.done():
                _fail(task, TimeoutError())
        if wanted:
            each = run_s / len(wanted)
            self._seconds_each += _RATE_WEIGHT * (each - self._seconds_each)
            if self._on_batch is not None:
                self._on_batch(BatchReport(len(wanted), run_s, waiting))

    def _answer(self, tasks: Sequence[Task[In, Ready, Out]]) -> None:
        try:
            results = self._run([task.ready for task in tasks])  # type: ignore[misc]
        except BaseException as error:
            for task in tasks:
                _fail(task, error)
            return
        for task, result in zip(tasks, results, strict=True):
            with suppress(InvalidStateError):  # whoever waited has gone in this very moment
                task.future.set_result(result)

    def _next(self) -> list[Task[In, Ready, Out]] | None:
        """Return the next batch; None when there will be none any more."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._ready or (self._is_closed and self._num_on_way == 0)
            )
            if not self._ready:
                return None
            until = time.monotonic() + self._max_wait_s
            while (
                len(self._ready) < self.max_batch
                and self._num_preparing
                and (left := until - time.monotonic()) > 0
            ):
                self._changed.wait(left)
            group = self._ready[0].group
            batch: list[Task[In, Ready, Out]] = []
            others: deque[Task[In, Ready, Out]] = deque()
            while self._ready and len(batch) < self.max_batch:
                task = self._ready.popleft()
                (batch if task.group == group else others).append(task)
            self._ready.extendleft(reversed(others))
            return batch


def _fail(task: Task[In, Ready, Out], error: BaseException) -> None:
    with suppress(InvalidStateError):  # cancelled: nobody waits
        task.future.set_exception(error)
