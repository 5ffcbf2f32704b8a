"""The gallery as it is now: the current snapshot, a watcher that renews it, and one writer.

A thread looks for new versions, whoever made them, loads each in the background, asks it once so
that nothing is loaded by the first request, and puts it in the place of the old one in a single
assignment. Changes wait in one bounded line and are carried out one after the other, each a commit
of the gallery: when a change is answered it is on the disk.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.gallery.following import Followed, Follower
from cairn.gallery.place import Place
from cairn.gallery.versions import Version
from cairn.progress import say
from cairn.rerank.recipe import read_stages, require_online
from cairn.runtime import Runtime, load_runtime
from cairn.searchers import ExactSearcher
from cairn.serve.batching import Busy, Closed
from cairn.serve.renewing import Renewing
from cairn.serve.settings import ServeSettings
from cairn.serve.snapshot import Snapshot
from cairn.stand_in import require_stand_in

T = TypeVar("T")

_KEPT_BESIDE = ("calibrations", "indexes")
"""What belongs to a gallery and may change without a version of it."""

_WRITER_WAITS_S = 10.0
_AGAIN_S = 0.1
_GIVEN_UP_S = 10.0  # between two attempts to load a version that could not be loaded


class Living:
    """Serves the newest version of a gallery, and changes it.

    Args:
        location: The gallery.
        settings: Of the server.
        backend: As ``cairn.runtime.load_runtime``, like ``device``.
        device: See ``backend``.
        on_load: Told of every snapshot that takes over, and the seconds that loading it took.
        on_renewed: Told of every calibration made anew: ``done``, ``failed`` or ``superseded``, and
            the seconds it took.

    Raises:
        CairnError: The recipe that is to answer cannot be read, or needs the whole batch.
    """

    def __init__(
        self,
        location: Path | str,
        settings: ServeSettings,
        *,
        backend: str = "auto",
        device: str = "auto",
        on_load: Callable[[Snapshot, float], None] | None = None,
        on_renewed: Callable[[str, float], None] | None = None,
    ) -> None:
        self.place, self.settings = Place(location), settings
        self._stages = None if settings.stages is None else read_stages(settings.stages)
        if self._stages is not None:
            require_online(self._stages)  # before anything is loaded
        self._backend, self._device, self._on_load = backend, device, on_load
        self._current: Snapshot | None = None
        self._trouble = ""
        self._seen: Any = None
        self._follower = Follower()
        self._changed = threading.Condition()
        self._poked = threading.Event()
        self._closing = threading.Event()
        self._num_changes = 0
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self.renewing = Renewing(
            is_wanted=settings.gallery.renew and not settings.gallery.read_only,
            on_kept=self.look_now,
            on_ended=on_renewed,
        )
        self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)

    @property
    def current(self) -> Snapshot:
        """The snapshot that new requests are served from."""
        if self._current is None:
            raise CairnError("the gallery is not loaded yet", todo="wait until /readyz says so")
        return self._current

    @property
    def is_ready(self) -> bool:
        """Whether requests can be answered."""
        return self._current is not None and not self._closing.is_set()

    @property
    def trouble(self) -> str:
        """Why the newest version could not be loaded; "" where it was."""
        return self._trouble

    @property
    def num_changes(self) -> int:
        """Changes that wait or are being carried out."""
        return self._num_changes

    def start(self) -> None:
        """Load the gallery, ask it once, and begin to watch.

        Raises:
            CairnError: The gallery cannot be loaded.
        """
        self._seen = self._stamp()
        self._renew()
        self._watcher.start()
        self.renewing.start()

    def close(self, timeout_s: float) -> bool:
        """Accept no more changes, finish those accepted; return whether all were in time."""
        with self._changed:
            self._closing.set()
            is_done = self._changed.wait_for(lambda: self._num_changes == 0, timeout_s)
        self.renewing.close(timeout_s)
        self._poked.set()
        self._writer.shutdown(wait=False)
        if self._watcher.is_alive():
            self._watcher.join(timeout_s)
        return is_done

    def change(self, work: Callable[[], T]) -> Future[T]:
        """Carry out a change when its turn comes; return its result to come.

        A gallery that another process is changing is asked again for some seconds.

        Raises:
            Busy: Too many changes wait.
            Closed: The server is stopping.
        """
        with self._changed:
            if self._closing.is_set():
                raise Closed
            if self._num_changes >= self.settings.gallery.changes:
                raise Busy(2.0)
            self._num_changes += 1
        return self._writer.submit(self._carry_out, work)

    def wait_for(self, version: int, timeout_s: float) -> bool:
        """Wait until that version, or a newer one, is served; return whether it is."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._current is not None and self._current.version >= version, timeout_s
            )

    def look_now(self) -> None:
        """Let the watcher look for a new version at once."""
        self._poked.set()

    def _carry_out(self, work: Callable[[], T]) -> T:
        end = time.monotonic() + _WRITER_WAITS_S
        try:
            while True:
                try:
                    return work()
                except CairnError as error:
                    is_taken = error.what.startswith("another process is changing")
                    if not is_taken or time.monotonic() > end:
                        raise
                time.sleep(_AGAIN_S)
        finally:
            self._poked.set()
            with self._changed:
                self._num_changes -= 1
                self._changed.notify_all()

    def _stamp(self) -> Any:
        """Return what differs when there is something new to load."""
        beside = [
            (item.name, item.modified) for name in _KEPT_BESIDE for item in self.place.items(name)
        ]
        return Version.open(self.place).number, beside

    def _watch(self) -> None:
        failed_at = 0.0
        while not self._closing.is_set():
            self._poked.wait(self.settings.gallery.watch_s)
            self._poked.clear()
            if self._closing.is_set():
                return
            if self._trouble and time.monotonic() - failed_at < _GIVEN_UP_S:
                continue
            try:
                stamp = self._stamp()
                if stamp != self._seen or self._trouble:
                    self._renew()
                    self._seen, self._trouble = stamp, ""
            except Exception as error:  # the old version goes on being served, whatever it was
                failed_at = time.monotonic()
                self._trouble = error.what if isinstance(error, CairnError) else str(error)
                say(f"the newest version is not served: {error}")

    def _renew(self) -> None:
        """Load the newest version and let it take over."""
        start = time.monotonic()
        gallery, followed = self._load()
        before = self._current
        snapshot = Snapshot.of(
            gallery,
            self._runtime_for(gallery),
            self.settings,
            self._stages,
            before=before,
            followed=followed,
        )
        self._keep_packed(snapshot, followed)
        self._ask_once(snapshot, is_known=followed is not None)
        self.renewing.look(snapshot)  # first, so that nobody sees it stale and left alone
        with self._changed:
            self._current = snapshot
            self._changed.notify_all()
        if self._on_load is not None:
            self._on_load(snapshot, time.monotonic() - start)

    def _load(self) -> tuple[Gallery, Followed | None]:
        """Return the newest version, and what it has of the current one where that was followed."""
        if self._current is not None:
            opened = Version.open(self.place)
            followed = self._follower.follow(self._current.gallery, opened)
            if followed is not None:
                return followed.gallery, followed
        return self._follower.load(self.place.location), None

    def _keep_packed(self, snapshot: Snapshot, followed: Followed | None) -> None:
        """Pack what exact search scans, in one thread where requests need the others."""
        before = self._current
        searcher, plain = snapshot.recognizer.searcher, snapshot.without_penalty.searcher
        if isinstance(searcher, ExactSearcher):
            if before is None or followed is None:
                searcher.keep_packed(num_threads=None if before is None else 1)
            else:
                known = before.recognizer.searcher
                searcher.keep_packed(known, followed.source_N, num_threads=1)
        if isinstance(plain, ExactSearcher) and plain is not searcher:
            plain.keep_packed(searcher)

    def _runtime_for(self, gallery: Gallery) -> Runtime:
        """Return the model that is loaded already where it is the gallery's, else the gallery's."""
        if self._current is not None:
            runtime = self._current.recognizer.runtime
            if gallery.table.fingerprint in (runtime.fingerprint, runtime.stands_for):
                return runtime
        folder = self.settings.model
        if folder is not None:
            require_stand_in(folder, gallery.table.fingerprint, gallery.location)
        folder = gallery.model_dir if folder is None else folder
        runtime = load_runtime(folder, backend=self._backend, device=self._device)
        for size in (1, self.settings.batch.max_images):
            shape = (size, *runtime.input_shape)
            runtime(np.zeros(shape, np.float32) + np.float32(0.1))
        return runtime

    def _ask_once(self, snapshot: Snapshot, *, is_known: bool) -> None:
        """Let compiled loops and lazily loaded parts be there before the first request.

        Where the snapshot follows one that was asked, one question shows that it answers.
        """
        vectors = snapshot.gallery.table.vectors
        most, photograph = min(len(vectors), self.settings.batch.max_images), None
        most = 1 if is_known else most
        if snapshot.recognizer.ways.looks_at_photographs:  # many of them would take seconds
            most, photograph = 1, np.zeros((64, 64, 3), np.uint8)
        for size in {1, most}:
            names = [""] * size
            matched = None if photograph is None else [photograph] * size
            snapshot.recognizer.answers(vectors[:size], names, matched, top=1)
            if snapshot.without_penalty is not snapshot.recognizer:
                snapshot.without_penalty.answers(vectors[:size], names, matched, top=1)
