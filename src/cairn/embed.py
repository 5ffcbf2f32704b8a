"""Photographs to embeddings: in memory, or into a table folder that can be continued.

Threads decode ahead of the network, as many photographs as a batch needs and no more. A photograph
that cannot be read is reported with its reason and skipped, never replaced. The module does not
know what the embeddings are for.

Legend of shapes: N images, B images of one batch, D embedding dimensions, S side of the input.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from cairn.ahead import threaded_map
from cairn.augment import decode_side, eval_transform
from cairn.checkpoint import model_dimension, model_fingerprint
from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.images import UnreadableImage, decode
from cairn.manifest import Manifest
from cairn.progress import say, track
from cairn.runs import atomic_write
from cairn.runtime import Runtime, load_runtime
from cairn.table_writer import TableWriter

Source: TypeAlias = Path | bytes | Image.Image
"""A photograph: a file, the bytes of one, or an opened picture."""

BATCH_SIZE = 32
COMMIT_EVERY = 1024
"""Images between two commits of a table: what an interruption may cost."""

UNREADABLE_NAME = "unreadable.csv"


@dataclass(frozen=True, eq=False)
class Encoded:
    """Embeddings of some photographs of a sequence.

    Args:
        rows: B positions in the sequence of those that could be read, ascending.
        vectors: (B, D) float32, unit length.
        unreadable: Position and reason of those that could not.
    """

    rows: tuple[int, ...]
    vectors: Float32
    unreadable: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class EmbedResult:
    """What became of a manifest.

    Args:
        num_embedded: Images in the table now.
        num_resumed: Those of them that an earlier, interrupted call had embedded.
        num_unreadable: Images left out, listed in ``unreadable.csv``.
        seconds: Duration of this call, loading the model included.
        folder: The table folder.
    """

    num_embedded: int
    num_resumed: int
    num_unreadable: int
    seconds: float
    folder: Path


def encode_images(
    runtime: Runtime,
    sources: Iterable[Source],
    *,
    batch_size: int = BATCH_SIZE,
    workers: int = 0,
) -> Iterator[Encoded]:
    """Yield the embeddings of ``sources`` in order, ``batch_size`` readable photographs at a time.

    Args:
        runtime: The embedder.
        sources: Photographs.
        batch_size: B; the last batch may be smaller.
        workers: Decoding threads; 0 for as many as processors.

    Raises:
        CairnError: ``batch_size`` is less than 1 or ``workers`` less than 0.
    """
    if batch_size < 1 or workers < 0:
        raise CairnError(
            "batch_size must be at least 1 and workers at least 0",
            where=f"batch_size = {batch_size}, workers = {workers}",
        )
    prepare = _preparer(runtime)
    rows: list[int] = []
    images: list[Float32] = []
    unreadable: list[tuple[int, str]] = []
    loaded = threaded_map(prepare, sources, ahead=batch_size, workers=workers)
    for row, prepared in enumerate(loaded):
        if isinstance(prepared, str):
            unreadable.append((row, prepared))
            continue
        rows.append(row)
        images.append(prepared)
        if len(images) == batch_size:
            yield Encoded(tuple(rows), runtime(np.stack(images)), tuple(unreadable))
            rows, images, unreadable = [], [], []
    if images:
        yield Encoded(tuple(rows), runtime(np.stack(images)), tuple(unreadable))
    elif unreadable:
        none = np.empty((0, runtime.dimension), dtype=np.float32)
        yield Encoded((), none, tuple(unreadable))


def encode_all(
    runtime: Runtime,
    sources: Iterable[Source],
    *,
    batch_size: int = BATCH_SIZE,
    workers: int = 0,
) -> Encoded:
    """Return the embeddings of all ``sources`` at once, as ``encode_images`` gives them."""
    parts = list(encode_images(runtime, sources, batch_size=batch_size, workers=workers))
    found = [part.vectors for part in parts if part.rows]
    none = np.empty((0, runtime.dimension), dtype=np.float32)
    return Encoded(
        tuple(row for part in parts for row in part.rows),
        np.concatenate(found) if found else none,
        tuple(pair for part in parts for pair in part.unreadable),
    )


def embed(
    model_dir: Path,
    manifest: Manifest,
    out: Path,
    *,
    batch_size: int = BATCH_SIZE,
    backend: str = "auto",
    device: str = "auto",
    workers: int = 0,
    commit_every: int = COMMIT_EVERY,
) -> EmbedResult:
    """Embed every image of ``manifest`` into the table folder ``out``; called again, it continues.

    A continued table is the same, to the last bit, as one made in one go with the same settings.

    Args:
        model_dir: A model folder.
        manifest: The images, at least one.
        out: Where the table and ``unreadable.csv`` go: a new folder, or one to continue.
        batch_size: Images that go through the network together.
        backend: As ``cairn.runtime.load_runtime``, like ``device``.
        device: See ``backend``.
        workers: Decoding threads; 0 for as many as processors.
        commit_every: Images between two commits, at least; whole batches are committed.

    Raises:
        CairnError: No image, none readable, or ``out`` holds something this cannot continue.
    """
    start = time.perf_counter()
    model_dir, out = Path(model_dir), Path(out)
    if not len(manifest):
        raise CairnError(
            "there is no image to embed", todo="choose a role that the manifest has rows of"
        )
    fingerprint, dimension = model_fingerprint(model_dir), model_dimension(model_dir)
    paths = manifest.paths
    unreadable: list[tuple[int, str]] = []
    with TableWriter(out, fingerprint=fingerprint, dimension=dimension) as writer:
        pending = _pending(writer, manifest)
        num_resumed = len(manifest) - len(pending)
        if num_resumed:
            say(f"continuing: {num_resumed} of {len(manifest)} images are embedded already")
        if pending:
            runtime = load_runtime(model_dir, backend=backend, device=device)
            say(f"embedding {len(pending)} images: {runtime.description}")
            sources = track((paths[i] for i in pending), "embed", total=len(pending))
            batches = encode_images(runtime, sources, batch_size=batch_size, workers=workers)
            while group := list(islice(batches, max(1, commit_every // max(1, batch_size)))):
                unreadable += [
                    (pending[row], why) for part in group for row, why in part.unreadable
                ]
                rows = [pending[row] for part in group for row in part.rows]
                writer.append(
                    [manifest.image_ids[i] for i in rows],
                    [manifest.landmark_ids[i] for i in rows],
                    [str(paths[i]) for i in rows],
                    np.concatenate([part.vectors for part in group]),
                )
        _report_unreadable(out, manifest, unreadable)
        num_embedded = len(writer.done_ids)
    seconds = time.perf_counter() - start
    return EmbedResult(num_embedded, num_resumed, len(unreadable), seconds, out)


def _preparer(runtime: Runtime) -> Callable[[Source], Float32 | str]:
    """Return what makes network input of a photograph, or the reason why it cannot."""
    if runtime.parts:  # each decodes for itself: its embeddings are what they are without others
        each = [_preparer(part) for part in runtime.parts]

        def prepare_all(source: Source) -> Float32 | str:
            inputs: list[Float32] = []
            for prepare_one in each:
                made = prepare_one(source)
                if isinstance(made, str):
                    return made
                inputs.append(made.ravel())
            return np.concatenate(inputs)

        return prepare_all
    transform = eval_transform(runtime.preprocess)
    min_side = decode_side(runtime.preprocess)

    def prepare(source: Source) -> Float32 | str:
        try:
            if isinstance(source, Image.Image):
                return transform(as_decoded(source))
            return transform(decode(source, min_side=min_side))
        except UnreadableImage as error:
            return error.reason

    return prepare


def pixels_of(source: Source) -> Path | NDArray[np.uint8]:
    """Return a photograph as matchers of local features take it: a file, or (H, W, 3) RGB bytes.

    Raises:
        UnreadableImage: It cannot be read.
    """
    if isinstance(source, Path):
        return source
    picture = as_decoded(source) if isinstance(source, Image.Image) else decode(source)
    return np.asarray(picture)


def as_decoded(image: Image.Image) -> Image.Image:
    """Return an opened picture as ``decode`` would give it: one rule for all modes."""
    try:
        upright = ImageOps.exif_transpose(image)
        if upright.mode == "RGB" and not upright.has_transparency_data:
            return upright
        buffer = io.BytesIO()
        upright.save(buffer, "PNG" if upright.mode == "P" else "TIFF")
    except (OSError, ValueError, SyntaxError) as error:
        raise UnreadableImage(f"broken: {error}") from error
    return decode(buffer.getvalue())


def _pending(writer: TableWriter, manifest: Manifest) -> list[int]:
    """Return the rows still to embed, having checked that the rest is of this very manifest."""
    pending, num_found = [], 0
    columns = (manifest.image_ids, manifest.landmark_ids)
    for row, (image_id, landmark_id) in enumerate(zip(*columns, strict=True)):
        done = writer.done(image_id)
        if done is None:
            pending.append(row)
        elif done != (landmark_id, path := str(manifest.paths[row])):
            raise CairnError(
                f"the table here has image {image_id!r} as {done[1]} of landmark {done[0]!r}, "
                f"the manifest as {path} of {landmark_id!r}",
                where=writer.folder,
                todo="embed into a new folder",
            )
        else:
            num_found += 1
    if num_found < len(writer.done_ids):
        raise CairnError(
            f"the table here has {len(writer.done_ids) - num_found} images that the manifest lacks",
            where=writer.folder,
            todo="embed into a new folder",
        )
    return pending


def _report_unreadable(
    out: Path, manifest: Manifest, unreadable: Sequence[tuple[int, str]]
) -> None:
    path = out / UNREADABLE_NAME
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("image_id", "path", "reason"))
        ids, paths = manifest.image_ids, manifest.paths
        rows.writerows((ids[i], paths[i], reason) for i, reason in unreadable)
    if not unreadable:
        return
    if len(unreadable) == len(manifest):
        raise CairnError(
            f"none of the {len(manifest)} images can be read; the first: {unreadable[0][1]}",
            where=paths[unreadable[0][0]],
            todo=f"check the paths in the manifest; {path} lists every reason",
        )
    say(f"{len(unreadable)} of {len(manifest)} images cannot be read and are left out: {path}")
