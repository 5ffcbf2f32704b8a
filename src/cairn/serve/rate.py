"""How many requests one token may send: a bucket for each, refilled evenly."""

from __future__ import annotations

import time
from collections.abc import Callable


class RateLimit:
    """Buckets of requests by name.

    Args:
        per_minute: Requests that a bucket is refilled with; 0 for no limit.
        burst: What a bucket holds at most.
        clock: Seconds, from any moment on.
    """

    def __init__(
        self, per_minute: int, burst: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_s, self._burst, self._clock = per_minute / 60, float(burst), clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait_s(self, name: str) -> float:
        """Take a request out of a bucket and return 0, or return in how many seconds one is there.

        Args:
            name: Of a token; there are as many buckets as tokens.
        """
        if not self._per_s:
            return 0.0
        now = self._clock()
        left, then = self._buckets.get(name, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._per_s)
        if left < 1:
            self._buckets[name] = (left, now)
            return (1 - left) / self._per_s
        self._buckets[name] = (left - 1, now)
        return 0.0
