"""Galleries of several models beside one another: the same images and landmarks, row by row."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.tables import EmbeddingTable, require_same_model

_TODO = "build the galleries from the same manifest, each with its own model"


def require_same_landmarks(galleries: Sequence[Gallery]) -> None:
    """Refuse galleries that know different landmarks.

    Raises:
        CairnError: They do; says which, or there are fewer than two galleries.
    """
    if len(galleries) < 2:
        raise CairnError(
            "an ensemble needs two galleries or more",
            todo="embed the same photographs with another model, and build a gallery of them",
        )
    first = set(galleries[0].table.landmark_ids)
    for other in galleries[1:]:
        found = set(other.table.landmark_ids)
        if found != first:
            raise _differ(galleries[0], other, first, found, "landmarks")


def aligned(galleries: Sequence[Gallery]) -> list[Gallery]:
    """Return the galleries with their rows in the first one's order, their penalties too.

    What is known of images beyond the embedding tables stays with the first one alone.

    Raises:
        CairnError: They hold different images, or an image shows different landmarks.
    """
    require_same_landmarks(galleries)
    first = galleries[0]
    made = [first]
    for other in galleries[1:]:
        theirs = {image: row for row, image in enumerate(other.table.image_ids)}
        if theirs.keys() != set(first.table.image_ids):
            raise _differ(first, other, set(first.table.image_ids), theirs.keys(), "images")
        rows = np.asarray([theirs[image] for image in first.table.image_ids], dtype=np.int64)
        table = other.table.take(rows)
        pairs = zip(first.table.landmark_ids, table.landmark_ids, strict=True)
        for row, (mine, their) in enumerate(pairs):
            if mine != their:
                raise CairnError(
                    f"image {table.image_ids[row]!r} shows landmark {mine!r} in {first.location} "
                    f"and {their!r} in {other.location}",
                    todo="`cairn gallery rename` or `merge` mends labels; or " + _TODO,
                )
        penalty = other.penalty
        if penalty is not None:
            penalty = replace(
                penalty,
                n_picked=penalty.n_picked[rows],
                sims=penalty.sims[rows],
                penalty=penalty.penalty[rows],
            )
        made.append(replace(other, table=table, penalty=penalty, about_images=None))
    return made


def require_same_queries(queries: Sequence[EmbeddingTable], galleries: Sequence[Gallery]) -> None:
    """Refuse queries that are not the same photographs for each model, by the gallery's own.

    Raises:
        CairnError: Not one table for each gallery, other photographs, or of another model.
    """
    if len(queries) != len(galleries):
        raise CairnError(f"{len(galleries)} galleries and {len(queries)} tables of queries")
    for table, gallery in zip(queries, galleries, strict=True):
        require_same_model(table, gallery.table, where=f"the queries and {gallery.location}")
        if table.image_ids != queries[0].image_ids:
            raise CairnError(
                "the models were asked about different photographs",
                where=gallery.location,
                todo="embed the same queries with each model",
            )


def summed_offsets(galleries: Sequence[Gallery], weights: Sequence[float]) -> Float32 | None:
    """Return (G,) what the penalties together add to similarities; None where there are none."""
    if all(gallery.penalty is None for gallery in galleries):
        return None
    total = np.zeros(len(galleries[0].table))
    for gallery, weight in zip(galleries, weights, strict=True):
        if gallery.penalty is not None:
            total += weight * gallery.penalty.offsets.astype(np.float64)
    return total.astype(np.float32)


def _differ(
    one: Gallery, two: Gallery, first: Collection[str], second: Collection[str], what: str
) -> CairnError:
    lacks = sorted(set(first) - set(second))
    more = sorted(set(second) - set(first))
    told = [
        f"{len(some)} that {lacking.location} lacks (such as {some[0]!r}) in {having.location}"
        for some, having, lacking in ((lacks, one, two), (more, two, one))
        if some
    ]
    return CairnError(f"the galleries hold different {what}: " + ", ".join(told), todo=_TODO)
