"""When to ask again: patience, and what a server or a network does that passes.

Delays double from try to try, with jitter, so that many clients do not come back at one moment
(Exponential Backoff And Jitter, M. Brooker, AWS Architecture Blog, 2015); a server that names a
time (``Retry-After``, RFC 9110, 10.2.3) is obeyed.
"""

from __future__ import annotations

import datetime as dt
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from cairn.errors import CairnError

_LONGEST_RETRY_AFTER_S = 600.0


class Transient(Exception):  # noqa: N818 (something that passes, not a fault)
    """A failure that may not come again: a busy server, a cut or silent connection.

    Args:
        reason: What happened, in a few words.
        retry_after_s: How long the server asks to wait; None where it does not say.
        received: New bytes that came in before it.
    """

    def __init__(
        self, reason: str, *, retry_after_s: float | None = None, received: int = 0
    ) -> None:
        self.reason, self.retry_after_s, self.received = reason, retry_after_s, received
        super().__init__(reason)


class UnreachableError(CairnError):
    """A server that stays away however often it is asked; nothing else need be tried there."""


class Stopped(Exception):  # noqa: N818 (a wish, not a fault)
    """Somebody asked for the work to end; what is on disk can be continued."""


@dataclass(frozen=True)
class Patience:
    """How often, and after which waits, a transient failure is tried again.

    Args:
        attempts: Tries in a row without progress before it is given up.
        unheard: Tries where no server has answered at all yet: a wrong address is told soon.
        first_s: The wait after the first failure; doubled after each further one.
        longest_s: No wait of our own is longer.
    """

    attempts: int = 10
    unheard: int = 4
    first_s: float = 1.0
    longest_s: float = 60.0

    def delay(self, failures: int, chance: random.Random, retry_after_s: float | None) -> float:
        """Return how long to wait, in seconds, after this many failures in a row (from 1)."""
        own = min(self.first_s * 2.0 ** (failures - 1), self.longest_s)
        own *= 0.5 + 0.5 * chance.random()
        return max(own, min(retry_after_s or 0.0, _LONGEST_RETRY_AFTER_S))


class Halt:
    """A wish to stop, which waiting and working threads look at."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._ends: list[Callable[[], None]] = []

    def set(self) -> None:
        """Ask every thread to end, and end what they wait for."""
        self._event.set()
        for end in list(self._ends):
            with suppress(Exception):  # it may have ended by itself
                end()

    @contextmanager
    def ending(self, end: Callable[[], None]) -> Iterator[None]:
        """Call ``end``, from another thread, if the wish comes while the block runs.

        Raises:
            Stopped: It is there already.
        """
        self._ends.append(end)
        try:
            self.check()
            yield
        finally:
            self._ends.remove(end)

    def check(self) -> None:
        """Return unless the wish is there.

        Raises:
            Stopped: It is.
        """
        if self._event.is_set():
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Wait, or end at once when asked to.

        Raises:
            Stopped: The wish came.
        """
        if self._event.wait(seconds):
            raise Stopped


def retry_after_s(value: str | None, now: dt.datetime) -> float | None:
    """Return the seconds that a Retry-After header asks for; None for none or one not understood.

    Args:
        value: Whole seconds or an HTTP date.
        now: The time, with its zone.
    """
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (ValueError, TypeError):
        return None
