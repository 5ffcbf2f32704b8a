"""Folders of photographs below the server's import_root, added in the background.

They go through the batcher that answers requests, a few at a time, so that nobody waits for them
long; every ``COMMIT_EVERY`` of them are one version. A folder that is imported again, after a
crash say, goes on where it was: an image's id is the digest of its file.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from cairn.gallery.versions import noting
from cairn.images import UnreadableImage
from cairn.labels import Labels
from cairn.manifest import Manifest
from cairn.serve.adding import Added, NewImage, commit_new, image_id_of
from cairn.serve.answering import Answer, Ask
from cairn.serve.batching import Busy
from cairn.serve.jobs import Progress
from cairn.serve.problems import Problem
from cairn.serve.server import Server
from cairn.sources.folder import read_folder

COMMIT_EVERY = 256
"""Photographs of one version: what a crash may cost."""

_AT_ONCE = 8  # photographs in the batcher, so that requests find room
_DAY_S = 86_400.0
_AGAIN_S = 0.05
_SHOWN = 100


def folder_below(root: Path | None, name: str) -> Path:
    """Return a folder that a client names.

    Args:
        root: What it must lie below.
        name: Its path from there.

    Raises:
        Problem: Folders cannot be added here, or there is none of that name.
    """
    if root is None:
        raise Problem(
            403,
            "this server adds no folders",
            todo="set gallery.import_root in its configuration",
        )
    try:
        top = root.resolve()
        folder = (top / name).resolve()
        is_there = folder.is_relative_to(top) and folder.is_dir()
    except (OSError, ValueError, RuntimeError):
        is_there = False
    if not is_there:
        raise Problem(404, "no such folder", where="body.folder")
    return folder


def import_folder(server: Server, folder: Path, *, by: str, progress: Progress) -> dict[str, Any]:
    """Add the photographs of a folder with one folder a landmark; return what came of it.

    Args:
        server: Whose gallery.
        folder: The photographs.
        by: Who asked for it.
        progress: Told how far it is.
    """
    manifest = read_folder(folder).manifest.gallery()
    found = _Import(server, manifest, folder, by)
    paths, total = manifest.paths, len(manifest)
    waiting: deque[tuple[int, bytes, Future[Answer]]] = deque()
    for row in range(total):
        content = paths[row].read_bytes()
        waiting.append((row, content, found.submit(content)))
        if len(waiting) >= _AT_ONCE:
            found.take(*waiting.popleft())
        progress("adding photographs", row + 1 - len(waiting), total)
    while waiting:
        found.take(*waiting.popleft())
        progress("adding photographs", total - len(waiting), total)
    found.commit()
    return found.result()


class _Import:
    def __init__(self, server: Server, manifest: Manifest, folder: Path, by: str) -> None:
        self._server, self._manifest, self._folder, self._by = server, manifest, folder, by
        self._snapshot = server.current
        self._images: dict[str, tuple[int, NewImage]] = {}
        self._unreadable: list[dict[str, str]] = []
        self._num_there = self._num_added = 0
        self._versions: list[int] = []

    def submit(self, content: bytes) -> Future[Answer]:
        """Return the embedding to come; the batcher is asked again where it has no room."""
        batcher, end = self._server.answering.batcher, time.monotonic() + _DAY_S
        while True:
            try:
                (future,) = batcher.submit(
                    [Ask(content, self._snapshot)], group=self._snapshot, deadline=end
                )
            except Busy:
                time.sleep(_AGAIN_S)
                continue
            return future

    def take(self, row: int, content: bytes, future: Future[Answer]) -> None:
        """Take in an embedding; commit where there are enough."""
        path = self._manifest.paths[row]
        try:
            answer = future.result()
        except UnreadableImage as error:
            shown = path.relative_to(self._folder).as_posix()
            self._unreadable.append({"image": shown, "reason": error.kind})
            return
        image_id = image_id_of(content)
        landmark_id = self._manifest.landmark_ids[row]
        if image_id in self._images:
            self._num_there += 1
            return
        self._images[image_id] = row, NewImage(image_id, landmark_id, str(path), answer.vector)
        if len(self._images) >= COMMIT_EVERY:
            self.commit()

    def commit(self) -> None:
        """Commit what was taken in, and go on with the version that comes of it."""
        if not self._images:
            return
        rows = [row for row, _ in self._images.values()]
        images = [one for _, one in self._images.values()]
        table = self._manifest.take(rows).table
        ids = [one.image_id for one in images]
        labels = Labels.of(
            table.set_column(table.schema.get_field_index("image_id"), "image_id", [ids])
        )
        living = self._server.living
        model = self._snapshot.gallery.table.fingerprint

        def work() -> Added:
            with noting({"by": self._by} if self._by else {}):
                return commit_new(
                    living.place, images, labels, model=model, origin="cairn serve, a folder"
                )

        while True:
            try:
                added = living.change(work).result()
            except Busy:
                time.sleep(_AGAIN_S)
                continue
            break
        self._num_added += added.num_added
        self._num_there += len(images) - added.num_added
        if added.entry is not None:
            self._versions.append(added.entry.version)
            self._server.metrics.changes.labels("add").inc()
        self._images.clear()

    def result(self) -> dict[str, Any]:
        """Return what came of the folder."""
        return {
            "num_added": self._num_added,
            "num_there": self._num_there,
            "num_unreadable": len(self._unreadable),
            "unreadable": self._unreadable[:_SHOWN],
            "versions": self._versions,
        }
