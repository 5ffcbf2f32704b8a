"""A real browser, a real server on loopback, and a small gallery whose answers are known.

Every page that a test opens is watched: no request may leave the server's origin, nothing may be
reported to the console, and no rule of the Content-Security-Policy may be broken.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from cairn.embed import embed
from cairn.gallery import Gallery, keep_penalty
from cairn.gallery.calibrating import calibrate_gallery
from cairn.gallery.calibrations import keep_calibration
from cairn.labels import Labels
from cairn.manifest import Manifest
from cairn.serve.app import create_app
from cairn.serve.auth import Token
from cairn.serve.run import bind
from cairn.serve.server import Server
from cairn.serve.settings import ServeSettings
from cairn.submission import solution_of
from cairn.tables import EmbeddingTable
from measuring.small_gallery import make_model

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)
NAMES = {
    "landmark0": "Old Tower",
    "landmark1": "New Bridge",
    "landmark2": "Abbey of the Very Long Name That Nobody Ever Could Remember in One Piece",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHROMIUM is None:
        reason = "no Chromium here: apt-get install chromium (make test does so where it may)"
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, pictures: Manifest) -> Path:
    """A gallery with names, credits, a place, a penalty and a fresh calibration."""
    root = tmp_path_factory.mktemp("browser")
    make_model(root / "model")
    for role in ("train", "nonlandmark", "query"):
        embed(root / "model", pictures.select(role), root / role, backend="torch", device="cpu")
    table = EmbeddingTable.read(root / "train")
    is_tower = [one == "landmark0" for one in table.landmark_ids]
    columns = {
        "image_id": table.image_ids,
        "landmark_id": table.landmark_ids,
        "landmark_name": [NAMES.get(one) for one in table.landmark_ids],
        "category": ["tower" if one else None for one in is_tower],
        "landmark_url": ["https://example.org/tower" if one else None for one in is_tower],
        "author": ["Ada Example" if one else None for one in is_tower],
        "license": ["CC BY 4.0" if one else None for one in is_tower],
        "latitude": [48.8584 if one else None for one in is_tower],
        "longitude": [-2.2945 if one else None for one in is_tower],
    }
    gallery = root / "gallery"
    Gallery.build(root / "train", root / "model", gallery, labels=Labels.of(pa.table(columns)))
    keep_penalty(gallery, EmbeddingTable.read(root / "nonlandmark"), top=2, min_n=1)
    loaded = Gallery.load(gallery)
    truth = solution_of(pictures.select("query")).truth
    queries = EmbeddingTable.read(root / "query")
    keep_calibration(loaded, calibrate_gallery(loaded, queries, truth, false_accept_rate=0.2))
    return gallery


@dataclass
class Served:
    """A server that a test started.

    Args:
        url: Its address.
        gallery: What it serves.
        stop: Ends it.
    """

    url: str
    gallery: Path
    stop: Callable[[], None] = field(repr=False)


@pytest.fixture
def serve(tmp_path: Path, made: Path) -> Iterator[Callable[..., Served]]:
    """Start servers, each of a copy of the gallery, stopped at the end."""
    started: list[Served] = []

    def start(
        *,
        tokens: tuple[Token, ...] = (),
        location: Path | None = None,
        port: int = 0,
        **settings: Any,
    ) -> Served:
        if location is None:
            location = tmp_path / f"gallery-{len(started)}"
            shutil.copytree(made, location)
        server = Server(
            location,
            ServeSettings.model_validate(settings),
            tokens=tokens,
            backend="torch",
            device="cpu",
        )
        listening = bind("127.0.0.1", port)
        config = uvicorn.Config(
            create_app(server),
            ws="none",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=2,
        )
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()

        def stop() -> None:
            running.should_exit = True
            thread.join(20)
            listening.close()
            assert not thread.is_alive()

        assert server.is_started.wait(60)
        if server.fault is not None:
            raise server.fault
        served = Served(f"http://127.0.0.1:{listening.getsockname()[1]}", location, stop)
        started.append(served)
        return served

    yield start
    for one in started:
        one.stop()


@pytest.fixture(scope="module")  # Playwright holds an event loop, which other tests must not meet
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


class Watch:
    """What a page did that it may not do, for the end of the test."""

    def __init__(self, context: BrowserContext) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self.expected: tuple[str, ...] = ()
        context.on("console", self._console)
        context.on("weberror", lambda one: self.said.append(str(one.error)))
        context.on("request", lambda one: self.asked.append(one.url))
        context.on("requestfailed", self._failed)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.said.append(message.text)

    def _failed(self, request: Any) -> None:
        if request.failure == "csp":  # it was refused before it left
            self.asked.remove(request.url)

    def check(self, origin: str) -> None:
        """Fail where a request left the origin, or the console has what no test expects."""
        gone = [one for one in self.asked if not one.startswith((f"{origin}/", "blob:", "data:"))]
        assert not gone, gone
        said = [one for one in self.said if not any(word in one for word in self.expected)]
        assert not said, said


@dataclass
class Opened:
    """A page, and what watches it."""

    page: Page
    watch: Watch


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Opened]]:
    """Open pages; what they did is checked when the test is over."""
    opened: list[tuple[BrowserContext, Watch, str]] = []

    def go(served: Served, view: str = "", **options: Any) -> Opened:
        context = browser.new_context(**options)
        context.set_default_timeout(PATIENCE_MS)
        watch = Watch(context)
        opened.append((context, watch, served.url))
        page = context.new_page()
        page.goto(f"{served.url}/{view}")
        return Opened(page, watch)

    yield go
    try:
        for _, watch, origin in opened:
            watch.check(origin)
    finally:
        for context, _, _ in opened:
            context.close()


@pytest.fixture(scope="session")
def photo(pictures: Manifest) -> Path:
    """A query that the gallery knows, of landmark0."""
    return _query(pictures, "landmark0")


@pytest.fixture(scope="session")
def stranger(pictures: Manifest) -> Path:
    """A query of no landmark."""
    return _query(pictures, "")


def _query(pictures: Manifest, landmark_id: str) -> Path:
    queries = pictures.select("query")
    return Path(queries.paths[queries.landmark_ids.index(landmark_id)])
