"""Adding images to a gallery: embeddings by its model, or photographs that it embeds itself."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cairn.embed import BATCH_SIZE, embed
from cairn.errors import CairnError
from cairn.gallery.entries import Entry
from cairn.gallery.gallery import model_name, require_known, require_landmarks
from cairn.gallery.penalties import follow
from cairn.gallery.prospects import Prospect
from cairn.gallery.rows import arrow_rows, content_key
from cairn.gallery.versions import Version, changed, changing, commit, numbered, write_fragments
from cairn.labels import Labels
from cairn.manifest import Manifest
from cairn.progress import say
from cairn.tables import EmbeddingTable

_SHOWN = 3


def add_embeddings(
    location: Path | str,
    table_folder: Path,
    *,
    landmark_names: Mapping[str, str] | None = None,
    labels: Labels | None = None,
) -> Entry:
    """Add embedded images to a gallery, all of them or none; return the line in its log.

    Args:
        location: The gallery.
        table_folder: Embeddings of labelled images by the gallery's model.
        landmark_names: Names for people, by landmark id, of landmarks that are new to the gallery;
            those it has keep their name.
        labels: In place of names, all that is known of new landmarks and of the images.

    Raises:
        CairnError: The embeddings are of another model, an image has no landmark or an id that the
            gallery has, ``labels`` know none of the landmarks, or another writer is at work.
    """
    table = EmbeddingTable.read(table_folder)
    if labels is not None:
        require_known(labels, table)
    labels = labels or Labels.of_names(landmark_names or {})
    return add_table(location, table, labels, origin=str(table_folder))


def add_table(location: Path | str, table: EmbeddingTable, labels: Labels, *, origin: str) -> Entry:
    """Add embedded images that are at hand, all of them or none; return the line in the log.

    Args:
        location: The gallery.
        table: Labelled images by the gallery's model.
        labels: What is known of them, and of landmarks that are new.
        origin: Where they are from, for the log.

    Raises:
        CairnError: As ``add_embeddings``.
    """
    with changing(location) as base:
        return _add(base, table, labels, {"from": origin})


def add_photographs(
    location: Path | str,
    manifest: Manifest,
    *,
    batch_size: int = BATCH_SIZE,
    backend: str = "auto",
    device: str = "auto",
    workers: int = 0,
) -> Entry:
    """Embed a manifest's gallery images with the gallery's model and add them.

    Without images of role gallery, the train ones are added. Photographs that cannot be read are
    left out and listed. After an interruption, the same call goes on where it was.

    Args:
        location: The gallery.
        manifest: The photographs; its labels are those of the images and of new landmarks.
        batch_size: As ``cairn.embed.embed``, like the rest.
        backend: See ``batch_size``.
        device: See ``batch_size``.
        workers: See ``batch_size``.

    Raises:
        CairnError: As ``add_embeddings``; or no photograph can be read.
    """
    chosen = manifest.gallery()
    if "train" in chosen.roles:
        say("the manifest has no gallery images; its training images are added")
    with changing(location) as base:
        place, fingerprint = base.place, base.facts.fingerprint
        _require_new(base, pa.array(chosen.image_ids, pa.string()))
        work = place.work(f"add-{fingerprint}-{chosen.fingerprint[:16]}")
        result = embed(
            place.local_folder(model_name(fingerprint)),
            chosen,
            work,
            batch_size=batch_size,
            backend=backend,
            device=device,
            workers=workers,
        )
        arguments: dict[str, Any] = {"from": str(manifest.root)}
        if result.num_unreadable:
            arguments["unreadable"] = result.num_unreadable
        table = EmbeddingTable.read(work)
        labels = Labels.of(manifest.table)
        for note in labels.notes:
            say(f"note: {note}")
        entry = _add(base, table, labels, arguments)
        discard(work)
        return entry


def discard(work: Path) -> None:
    """Delete a folder of work that is done, and what is empty above it."""
    shutil.rmtree(work, ignore_errors=True)
    if work.parent.is_dir() and not any(work.parent.iterdir()):
        work.parent.rmdir()


def _add(
    base: Version, table: EmbeddingTable, labels: Labels, arguments: Mapping[str, Any]
) -> Entry:
    facts, place = base.facts, base.place
    _require_model(base, table)
    require_landmarks(table, where=arguments["from"])
    _require_new(base, pa.array(table.image_ids, pa.string()))
    before = base.labels(images=False)
    landmarks = set(table.landmark_ids)
    there = pc.unique(base.column("landmark_id"))
    given = pa.array(sorted(landmarks), pa.string())
    num_new = pc.sum(pc.invert(pc.is_in(given, value_set=there))).as_py()
    known, names = before.of_landmarks(landmarks), labels.of_landmarks(landmarks).names
    old, known_ids = known.names, set(known.landmarks["landmark_id"].to_pylist())
    others = {k: v for k, v in names.items() if k in known_ids and v != old.get(k, "")}
    if others:
        first = min(others)
        say(
            f"{len(others)} landmarks keep the name they have, such as {first!r}: "
            f"{old.get(first, '')!r}, not {others[first]!r} (cairn gallery rename changes one)"
        )
    new = labels.without(before.landmarks["landmark_id"])
    rows = arrow_rows(facts, table, new.with_landmarks(before))
    sums = np.concatenate([base.column("checksum").to_numpy(), rows["checksum"].to_numpy()])
    key = content_key(facts.fingerprint, sums)
    if facts.penalty is not None:
        follow(base, Prospect.with_added(base, table, sums), key)
    fragments = [fragment.metadata for fragment in base.fragments]
    fragments += numbered(write_fragments(place, rows, facts.schema()), base)
    entry = Entry(
        0,
        "add",
        {**arguments, "images": len(table), "landmarks": len(landmarks)},
        num_images=base.num_images + len(table),
        num_landmarks=len(there) + num_new,
        model=facts.fingerprint,
        content=key,
    )
    return commit(place, base, changed(fragments, facts), entry)


def _require_model(base: Version, table: EmbeddingTable) -> None:
    if table.fingerprint != base.facts.fingerprint:
        raise CairnError(
            f"these embeddings come from model {table.fingerprint}, "
            f"and the gallery from {base.facts.fingerprint}",
            where=base.place,
            todo="embed with the gallery's own model: give `cairn gallery add` the manifest",
        )


def _require_new(base: Version, image_ids: pa.Array) -> None:
    """Refuse ids that the gallery has: an id never moves to another image."""
    there = pc.is_in(image_ids, value_set=pc.unique(base.column("image_id")))
    count = pc.sum(there).as_py() or 0
    if count:
        shown = ", ".join(map(repr, image_ids.filter(there)[:_SHOWN].to_pylist()))
        raise CairnError(
            f"{count} of these {len(image_ids)} images are in the gallery already: {shown}"
            + (" and others" if count > _SHOWN else ""),
            where=base.place,
            todo="leave them out, remove the old ones first (`cairn gallery remove`), "
            "or give the new photographs ids of their own",
        )
