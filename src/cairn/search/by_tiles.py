"""Search by tiles of one-byte codes: for many queries on processors with VNNI.

A slab of the gallery is packed once and then scanned for all queries, a block of queries at a time.

Legend of shapes: Q queries, S rows of a slab, D dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from cairn.domain import Float32
from cairn.search.candidates import Float64, Slab, capacity
from cairn.search.compiled import FLOAT32
from cairn.search.heaps import Heaps
from cairn.search.packing import (
    UNIT,
    Groups,
    Panels,
    empty_groups,
    empty_panels,
    pack_queries,
    pack_rows,
)
from cairn.search.rows import require_vectors
from cairn.search.scans import scan_tiles, scan_tiles_both
from cairn.search.tiles import QUERIES, ROWS
from cairn.search.topk import TopK, stack
from cairn.search.workers import Workers, shares

_GROUPS_AT_ONCE = 72  # their codes stay in a core's second-level cache
_SLAB_BYTES = 64 << 20  # of codes
_SAMPLE_ROWS = 8192


def slab_rows(dimension: int) -> int:
    """Return how many rows are packed together."""
    return max(ROWS, _SLAB_BYTES // dimension)


def by_tiles(
    queries_QD: Float32,
    first_query: int,
    slabs: Sequence[Slab],
    k: int,
    crew: Workers,
    *,
    guess: bool = True,
    kept: Sequence[Panels] | None = None,
) -> TopK:
    """Return the top k of all slabs; queries and slabs as ``cairn.search.exact`` prepares them.

    Args:
        queries_QD: (Q, D).
        first_query: The number of the first, for errors.
        slabs: The gallery.
        k: How many a query.
        crew: The threads.
        guess: Guess from a sample of the gallery a score that the top k will reach, and look at
            nothing below. A query whose top k does not reach it is searched again without.
        kept: The panels of each slab, where they were packed before.
    """
    groups = pack_all_queries(queries_QD, first_query, crew)
    num_groups = len(groups.codes)
    num_parts = 1 if num_groups >= crew.num else crew.num
    heaps = Heaps(num_parts, len(queries_QD), k)
    rounds = -(-num_groups // (_GROUPS_AT_ONCE * crew.num))
    blocks = shares(num_groups, rounds * crew.num if num_parts == 1 else 1)
    if guess and num_parts == 1:
        heaps.least_Q[:] = _guesses(groups, queries_QD, slabs, k, blocks, crew)
    panels = None
    for number, slab in enumerate(slabs):
        panels = pack_slab(slab, panels, crew) if kept is None else kept[number]
        given = (groups, panels, heaps, set_bounds(groups, panels, slab), queries_QD, slab)
        crew.each(
            [
                partial(_scan, *given, part, block, span)
                for block in blocks
                for part, span in enumerate(shares(num_panels(slab), num_parts))
            ]
        )
    found = heaps.top_k(crew)
    wrong = np.flatnonzero(found.scores[:, -1] < heaps.least_Q)
    if len(wrong):
        again = by_tiles(queries_QD[wrong], first_query, slabs, k, crew, guess=False, kept=kept)
        found.rows[wrong], found.scores[wrong] = again.rows, again.scores
    return found


def _guesses(
    groups: Groups,
    queries_QD: Float32,
    slabs: Sequence[Slab],
    k: int,
    blocks: Sequence[tuple[int, int]],
    crew: Workers,
) -> Float64:
    """Return (Q,) scores that the top k will hardly miss, -inf where a guess does not pay.

    Of n rows drawn evenly from N, about k n / N are among the top k of all. The guess is the score
    of one so far behind that number, seen as Poisson's, that it hardly ever lies among the top k.
    """
    num_rows = sum(len(slab.bits_SD) for slab in slabs)
    step = num_rows // _SAMPLE_ROWS
    drawn = [slab.bits_SD[(-slab.first) % step :: step] for slab in slabs] if step else []
    expected = k * sum(map(len, drawn)) / num_rows
    depth = math.ceil(expected + 4 * math.sqrt(expected) + 2)
    if step < 4 or 4 * depth > _SAMPLE_ROWS:
        return np.full(len(queries_QD), -np.inf)
    added = [slab.added_S[(-slab.first) % step :: step] for slab in slabs]
    bits: Any = np.concatenate(drawn)
    sample = Slab(bits, slabs[0].kind, np.concatenate(added), 0)
    panels = _packed(sample, None, crew)
    if not np.isfinite(panels.norms_N).all():  # it will be named when its slab is packed
        return np.full(len(queries_QD), -np.inf)
    heaps = Heaps(1, len(queries_QD), depth)
    given = (groups, panels, heaps, set_bounds(groups, panels, sample), queries_QD, sample)
    crew.each([partial(_scan, *given, 0, block, (0, num_panels(sample))) for block in blocks])
    return heaps.worst()


def both_by_tiles(
    queries_QD: Float32, slabs: Iterable[Slab], k: int, m: int, crew: Workers
) -> tuple[TopK, TopK]:
    """Return the top k rows of each query and the top m queries of each row, of one pass."""
    groups = pack_all_queries(queries_QD, 0, crew)
    heaps = Heaps(crew.num, len(queries_QD), k)
    nothing_Q = np.zeros(len(queries_QD), np.float32)
    queries = Slab(queries_QD.view(np.uint32), FLOAT32, nothing_Q, 0)
    panels = None
    for_rows: list[TopK] = []
    for slab in slabs:
        panels = pack_slab(slab, panels, crew)
        leans_Q = set_bounds(groups, panels, slab)
        row_heaps = Heaps(1, len(slab.bits_SD), m)
        leans_S = np.full(len(slab.bits_SD), leans_Q.mean(), np.float32)
        rows_lists = row_heaps.lists(0, slice(None), leans_S, room=_room(m))
        tasks = []
        for part, span in enumerate(shares(num_panels(slab), crew.num)):
            own = groups._replace(facts=groups.facts.copy())
            lists = heaps.lists(part, slice(None), leans_Q, room=_room(k))
            values = (own, panels, lists, queries, rows_lists, slab, _GROUPS_AT_ONCE, *span)
            tasks.append(partial(scan_tiles_both, *values))
        crew.each(tasks)
        for_rows.append(row_heaps.top_k(crew))
    return heaps.top_k(crew), stack(for_rows)


def _room(k: int) -> int:
    """Return how many rows may wait where lists of all queries, or of a slab's rows, lie at once.

    No slower than ``capacity``, and a bank of 110,000 images takes a fifth of the memory.
    """
    return min(capacity(k), 4 * k + 16)


def _scan(
    groups: Groups,
    panels: Panels,
    heaps: Heaps,
    leans_Q: Float32,
    queries_QD: Float32,
    slab: Slab,
    part: int,
    block: tuple[int, int],
    span: tuple[int, int],
) -> None:
    part_of = slice(*block)
    at = slice(block[0] * QUERIES, block[1] * QUERIES)
    facts = groups.facts[part_of]
    if len(facts) == len(groups.facts):  # other parts have the same queries, and other floors
        facts = facts.copy()
    own = Groups(groups.codes[part_of], facts, groups.norms_N[at], groups.errors_N[at])
    lists = heaps.lists(part, at, leans_Q[at])
    scan_tiles(own, panels, lists, queries_QD[at], slab, *span)


def pack_all_queries(queries_QD: Float32, first_query: int, crew: Workers) -> Groups:
    """Return the groups of the queries.

    Raises:
        CairnError: A query is zero or not finite.
    """
    groups = empty_groups(*queries_QD.shape)
    crew.spread(pack_queries, queries_QD, groups, over=len(groups.codes))
    require_vectors(groups.norms_N, first_query, "queries")
    return groups


def num_panels(slab: Slab) -> int:
    """Return how many panels a slab fills."""
    return -(-len(slab.bits_SD) // ROWS)


def pack_slab(slab: Slab, panels: Panels | None, crew: Workers) -> Panels:
    """Return the panels of a slab, in the place of those of an earlier one where there are any.

    Raises:
        CairnError: A row is zero or not finite.
    """
    panels = _packed(slab, panels, crew)
    require_vectors(panels.norms_N[: len(slab.bits_SD)], slab.first, "gallery")
    return panels


def _packed(slab: Slab, panels: Panels | None, crew: Workers) -> Panels:
    num_rows, dimension = slab.bits_SD.shape
    if panels is None or len(panels.norms_N) < num_rows:
        panels = empty_panels(num_rows, dimension)
    crew.spread(pack_rows, slab.bits_SD, slab.kind, slab.added_S, panels, over=num_panels(slab))
    return panels


def set_bounds(groups: Groups, panels: Panels, slab: Slab) -> Float32:
    """Write what the queries' bounds need for this slab; return by how much bounds exceed scores.

    The weight of a row's error is the norm of the query's code, the radius what the query's own
    rounding can cost with the longest row; both plus the rounding of the bound itself, but for that
    of adding what is added, which ``packing`` sees to.
    """
    num_queries = len(groups.norms_N)
    norms_Q, errors_Q = groups.norms_N.astype(np.float64), groups.errors_N.astype(np.float64)
    norm = float(panels.norms_N[: len(slab.bits_SD)].max())
    error = float(panels.facts[: num_panels(slab), 1].max())
    weights_Q = norms_Q + errors_Q
    radii_Q = errors_Q * norm
    size_Q = weights_Q * (norm + 2 * error) + radii_Q
    radii_Q += 16 * UNIT * size_Q
    for fact, values_Q in ((2, weights_Q * (1 + 4 * UNIT)), (3, radii_Q)):
        padded = np.zeros(groups.facts.shape[0] * QUERIES, np.float32)
        padded[:num_queries] = values_Q
        groups.facts[:, fact] = padded.reshape(-1, QUERIES)
    leans_Q: Float32 = (radii_Q + weights_Q * error).astype(np.float32)
    return leans_Q
