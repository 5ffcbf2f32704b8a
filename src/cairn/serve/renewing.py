"""The calibration made anew after a change, beside everything else that the server does.

One thread looks at every version that takes over. Where answers have lost their chances and the
gallery keeps the validation, it asks the validation's queries of the vectors that are served
already, few at a time and never for more than half of its time, fits, and keeps what comes of it in
the gallery, where the watcher finds it. A version that comes meanwhile takes the place of the one
that is worked on; nothing is written of a version before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from cairn.answering import Answering
from cairn.errors import CairnError
from cairn.gallery.calibrations import has_calibrations, keep_calibration
from cairn.gallery.kept_validation import Way, name_of, read_validation
from cairn.progress import listening, say
from cairn.renewal import renew
from cairn.searchers import ExactSearcher
from cairn.serve.schemas import CalibrationState
from cairn.serve.snapshot import Snapshot

_QUIET_S = 0.25
"""A version begins to be worked on when none has followed for so long."""

_PRODUCTS_AT_ONCE = 1 << 31  # of two numbers: some tens of milliseconds
_FEWEST, _MOST = 8, 256  # queries at a time; so few are searched for without packing the gallery
_LONGEST_PAUSE_S = 0.1


class _Superseded(Exception):  # noqa: N818
    """Another version has come, or the server stops."""


@dataclass(frozen=True, eq=False)
class _Work:
    """What is to be made anew for a version.

    Args:
        snapshot: It.
        ways: How it answers, where it has lost its chances.
    """

    snapshot: Snapshot
    ways: tuple[tuple[Way, Answering], ...]

    def includes(self, version: int, ways: Sequence[tuple[Way, Answering]]) -> bool:
        """Return whether all this is being done."""
        known = {way.digest for way, _ in self.ways}
        return self.snapshot.version == version and known >= {way.digest for way, _ in ways}


class Renewing:
    """Makes calibrations anew.

    Args:
        is_wanted: Whether any is made; states are told in any case.
        on_kept: Called when the gallery keeps a new one.
        on_ended: Told of every attempt: ``done``, ``failed`` or ``superseded``, and its seconds.
    """

    def __init__(
        self,
        *,
        is_wanted: bool,
        on_kept: Callable[[], None],
        on_ended: Callable[[str, float], None] | None = None,
    ) -> None:
        self._is_wanted, self._on_kept, self._on_ended = is_wanted, on_kept, on_ended
        self._state: tuple[CalibrationState, str] = ("none", "")
        self._work: _Work | None = None
        self._running: _Work | None = None
        self._turn = 0
        self._tried: dict[tuple[int, str], str] = {}
        self._is_closing = False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="renewing", daemon=True)

    @property
    def state(self) -> tuple[CalibrationState, str]:
        """How it stands with the version seen last, and why a stale calibration stays so."""
        return self._state

    def start(self) -> None:
        """Begin with what was seen."""
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """Give up what is under way, and wait until it is."""
        with self._news:
            self._is_closing = True
            self._news.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def look(self, snapshot: Snapshot) -> None:
        """Take in a version that is about to be served, in place of any before."""
        first, place = snapshot.recognizer, snapshot.gallery.place
        ways: dict[str, tuple[Way, Answering]] = {}
        for ways_of in (first.ways, snapshot.without_penalty.ways):
            way = _way_of(ways_of)
            if ways_of.judge is None and place.has(name_of(ways_of.gallery.table.fingerprint, way)):
                ways.setdefault(way.digest, (way, ways_of))
        version, mine = snapshot.version, _way_of(first.ways).digest
        todo = [one for key, one in ways.items() if (version, key) not in self._tried]
        wanted = self._is_wanted and bool(todo)
        state: tuple[CalibrationState, str]
        if first.judge is not None:
            state = ("fresh", "")
        elif wanted and (version, mine) not in self._tried and mine in ways:
            state = ("renewing", "")
        elif mine in ways or has_calibrations(snapshot.gallery):
            state = ("stale", self._tried.get((version, mine), ""))
        else:
            state = ("none", "")
        with self._news:
            self._state = state
            if self._running is not None and self._running.includes(version, todo):
                return  # loaded again for what was kept of it: it goes on
            self._turn += 1
            self._work = _Work(snapshot, tuple(todo)) if wanted else None
            self._news.notify_all()

    def _run(self) -> None:
        while (taken := self._next()) is not None:
            work, turn = taken
            start = time.monotonic()
            try:
                with listening(self._listener(turn)):
                    for way, ways in work.ways:
                        self._renew(work.snapshot, way, ways, turn)
            except _Superseded:
                self._ended("superseded", start)
            with self._news:
                self._running = None

    def _next(self) -> tuple[_Work, int] | None:
        """Wait for work, and until no newer has come for a while; None where the server stops."""
        with self._news:
            while not self._is_closing:
                turn = self._turn
                if self._work is None:
                    self._news.wait()
                elif not self._news.wait_for(partial(self._is_over, turn), _QUIET_S):
                    work, self._work = self._work, None
                    self._running = work
                    return work, turn
        return None

    def _renew(self, snapshot: Snapshot, way: Way, ways: Answering, turn: int) -> None:
        start, gallery, why = time.monotonic(), ways.gallery, ""
        try:
            if ways.looks_at_photographs:
                raise CairnError(
                    "a stage looks at photographs, which takes too long beside a server",
                    todo="run `cairn gallery recalibrate`",
                )
            name = name_of(gallery.table.fingerprint, way)
            made = renew(
                gallery,
                read_validation(gallery.place, name),
                stack=ways.stack,
                searcher=ways.searcher,
                at_once=_at_once(ways),
            )
            self._require_turn(turn)
            keep_calibration(gallery, made)
        except _Superseded:
            raise
        except CairnError as error:
            why = f"{error.what}; {error.todo}" if error.todo else error.what
        except Exception as error:  # what is served goes on being served
            why = f"{type(error).__name__}: {error}"
        self._tried = {**_of(snapshot.version, self._tried), (snapshot.version, way.digest): why}
        if why:
            say(f"the calibration for version {snapshot.version} is not made anew: {why}")
            if way.digest == _way_of(snapshot.recognizer.ways).digest:
                with self._news:
                    if self._turn == turn:
                        self._state = ("stale", why)
            self._ended("failed", start)
            return
        took = time.monotonic() - start
        say(f"calibration for version {snapshot.version} made anew in {took:.1f} s")
        self._ended("done", start)
        self._on_kept()

    def _listener(self, turn: int) -> Callable[[str, int, int | None], None]:
        """Return what is told of every step: it ends a superseded one, and lets others go first."""
        last = time.monotonic()

        def listen(step: str, done: int, total: int | None) -> None:
            nonlocal last
            pause = min(time.monotonic() - last, _LONGEST_PAUSE_S)
            with self._news:
                self._news.wait_for(partial(self._is_over, turn), pause)
            self._require_turn(turn)
            last = time.monotonic()

        return listen

    def _is_over(self, turn: int) -> bool:
        return self._is_closing or self._turn != turn

    def _require_turn(self, turn: int) -> None:
        if self._is_over(turn):
            raise _Superseded

    def _ended(self, outcome: str, start: float) -> None:
        if self._on_ended is not None:
            self._on_ended(outcome, time.monotonic() - start)


def _way_of(ways: Answering) -> Way:
    if ways.stack is not None:
        return Way(search=ways.search, recipe=ways.stack.recipe)
    return Way(ways.use_penalty, ways.search)


def _at_once(ways: Answering) -> int:
    """Return how many queries are searched for in some tens of milliseconds."""
    table, searcher = ways.gallery.table, ways.searcher
    if isinstance(searcher, ExactSearcher) and not searcher.is_packed:
        return _FEWEST
    return max(_FEWEST, min(_MOST, _PRODUCTS_AT_ONCE // max(1, table.vectors.size)))


def _of(version: int, tried: dict[tuple[int, str], str]) -> dict[tuple[int, str], str]:
    return {key: why for key, why in tried.items() if key[0] == version}
