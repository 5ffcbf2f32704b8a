"""The queries of a manifest in two parts: those that choose, and those that judge the choice.

What is chosen on queries (stages, weights, a calibration) looks better on them than it is. Each
landmark's queries are parted, and those of none, so that both parts ask for the same landmarks in
the same share of non-landmarks; what hangs together stays together.

Legend of shapes: Q queries.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cairn.errors import CairnError
from cairn.inspection.look import Looks
from cairn.manifest import Manifest
from cairn.splitting.groups import GROUP_COLUMN, leak_groups
from cairn.splitting.names import draws
from cairn.splitting.split import TRUTH_COLUMN

_PURPOSE = "halves"


def part_queries(
    manifest: Manifest,
    *,
    share: float = 0.5,
    columns: Sequence[str] = (),
    looks: Looks | None = None,
    seed: int = 0,
) -> tuple[Manifest, Manifest]:
    """Return the queries of validation, and those of the test; other rows are in neither.

    Groups are taken in an order that their names and the seed draw. Within each landmark, and
    within those that show none (unseen landmarks by what they truly show), a group goes to the
    validation as long as that part has less than its share there: whole groups round, nothing else.

    Args:
        manifest: A manifest with queries.
        share: Of each landmark's queries, for the validation; between 0 and 1.
        columns: Bonds by column, as `leak_groups` has them; the groups that a split recorded are
            kept anyway.
        looks: What was seen in the queries (Q), in order, to find copies in other bytes.
        seed: Of the order.

    Raises:
        CairnError: ``share`` is not between 0 and 1, there are no queries, or a part would be
            empty.
    """
    if not 0 < share < 1:
        raise CairnError(f"a share of {share} leaves one part empty", todo="between 0 and 1")
    queries = manifest.queries(todo="make some with `cairn data split`")
    recorded = [GROUP_COLUMN] if GROUP_COLUMN in queries.table.column_names else []
    groups = leak_groups(queries, columns=[*recorded, *columns], looks=looks).groups.tolist()
    kinds = _kinds(queries)
    ids = queries.image_ids
    first: dict[int, str] = {}  # of each group its first id, which names it in any order of rows
    for group, name in zip(groups, ids, strict=True):
        first[group] = min(name, first.get(group, name))
    names = list(first.values())
    drawn = dict(zip(first, draws(names, seed, _PURPOSE).tolist(), strict=True))
    order = sorted(range(len(queries)), key=lambda row: (drawn[int(groups[row])], ids[row]))
    starts = draws([str(kind) for kind in kinds], seed, f"{_PURPOSE}-turn")
    debt = dict(zip(kinds, (starts * 0.998 + 0.001).tolist(), strict=True))
    chosen = np.zeros(len(queries), bool)
    side: dict[int, bool] = {}
    for row in order:
        kind, group = kinds[row], groups[row]
        debt[kind] += share
        if group not in side:
            side[group] = debt[kind] >= 1
        chosen[row] = side[group]
        debt[kind] -= side[group]
    if chosen.all() or not chosen.any():
        raise CairnError(
            f"the {len(queries):,} queries cannot be parted: one part would be empty",
            where=manifest.root,
            todo="ask for another --share, or bring more queries",
        )
    return queries.take(np.flatnonzero(chosen)), queries.take(np.flatnonzero(~chosen))


def _kinds(queries: Manifest) -> list[str]:
    """Return (Q,) what is parted alike: a landmark, an unseen one, or none."""
    names = queries.table.column_names
    truly = queries.table[TRUTH_COLUMN].to_pylist() if TRUTH_COLUMN in names else []
    return [
        f"is {one}" if one else f"unseen {truly[row] or ''}" if truly else ""
        for row, one in enumerate(queries.landmark_ids)
    ]
