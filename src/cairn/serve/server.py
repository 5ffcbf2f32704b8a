"""What the routes of one server share, how it starts, and how it stops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from starlette.requests import Request

from cairn.progress import say
from cairn.serve.answering import Answering
from cairn.serve.auth import Token
from cairn.serve.jobs import Jobs
from cairn.serve.keys import Keys
from cairn.serve.living import Living
from cairn.serve.maps import Maps
from cairn.serve.metrics import Metrics
from cairn.serve.photographs import Pictures
from cairn.serve.problems import Problem
from cairn.serve.settings import ServeSettings
from cairn.serve.snapshot import Snapshot

_LOADERS = 2  # threads that make pictures; they compete with decoding for the processors


class Server:
    """One gallery, served.

    Args:
        location: The gallery.
        settings: Of the server.
        tokens: Who may ask; none for everybody.
        hosts: Names under which it may be asked for; none for any.
        backend: As ``cairn.runtime.load_runtime``, like ``device``.
        device: See ``backend``.
    """

    def __init__(
        self,
        location: Path | str,
        settings: ServeSettings,
        *,
        tokens: Sequence[Token] = (),
        hosts: Sequence[str] = (),
        backend: str = "auto",
        device: str = "auto",
    ) -> None:
        self.settings, self.tokens, self.hosts = settings, tuple(tokens), tuple(hosts)
        self.metrics = Metrics()
        self.answering = Answering(settings, self.metrics)
        self.living = Living(
            location,
            settings,
            backend=backend,
            device=device,
            on_load=self._loaded,
            on_renewed=self._renewed,
        )
        self.keys = Keys(self.living.place)
        self.pictures = Pictures()
        self.maps = Maps(settings.limits.request_s)
        self.jobs = Jobs()
        self.loaders = ThreadPoolExecutor(_LOADERS, thread_name_prefix="picture")
        self.state: Literal["loading", "ok", "stopping"] = "loading"
        self.fault: BaseException | None = None
        self.is_started = threading.Event()

    @property
    def current(self) -> Snapshot:
        """What a request that begins now is served from.

        Raises:
            Problem: The server is not ready.
        """
        if self.state != "ok":
            raise Problem(503, f"the server is {self.state}", headers={"Retry-After": "2"})
        return self.living.current

    async def start(self) -> None:
        """Load the gallery and the model, and run both once; health is answered meanwhile."""
        try:
            await asyncio.to_thread(self.living.start)
            self.state = "ok"
        except Exception as error:
            self.fault = error
        finally:
            self.is_started.set()

    async def stop(self) -> None:
        """Finish what was accepted, changes first."""
        self.state = "stopping"
        self.jobs.close()
        self.maps.close()
        wait_s = self.settings.shutdown_s
        changes, answers = await asyncio.gather(
            asyncio.to_thread(self.living.close, wait_s),
            asyncio.to_thread(self.answering.batcher.close, wait_s),
        )
        self.loaders.shutdown(wait=False, cancel_futures=True)
        if not (changes and answers):
            say(f"not everything that was accepted could be finished within {wait_s:g} s")

    def _loaded(self, snapshot: Snapshot, seconds: float) -> None:
        gallery = snapshot.gallery
        self.metrics.version.set(snapshot.version)
        self.metrics.images.set(len(gallery.table))
        self.metrics.landmarks.set(snapshot.num_landmarks)
        self.metrics.load_seconds.set(seconds)
        self.metrics.calibrated.set(snapshot.recognizer.judge is not None)
        say(
            f"serving version {snapshot.version}: {len(gallery.table)} images of "
            f"{snapshot.num_landmarks} landmarks, loaded in {seconds:.1f} s"
        )

    def _renewed(self, outcome: str, seconds: float) -> None:
        self.metrics.renewals.labels(outcome).inc()
        if outcome == "done":
            self.metrics.renewal_seconds.set(seconds)


def server_of(request: Request) -> Server:
    """Return the server that a request came to."""
    found: Any = request.app.state.server
    assert isinstance(found, Server)
    return found
