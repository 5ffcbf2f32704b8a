"""Which roles and which landmarks share a picture: leaks between splits, and doubtful labels.

Legend of shapes: N photographs, G groups of two or more, M photographs in them, R roles.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cairn.domain import ROLES
from cairn.inspection.duplicates import Duplicates
from cairn.inspection.matching import toward
from cairn.manifest import Manifest

Ints = NDArray[np.int64]
_MOST_COMPARED = 64


@dataclass(frozen=True, eq=False)
class Sharing:
    """Groups of one picture, those to look at first first.

    Args:
        rows: (M,) photographs, group by group, in the manifest's order within one.
        starts: (G + 1,) where each group begins.
        roles: (G, R) photographs of each role in `cairn.domain.ROLES`.
        leaks: (G,) the picture stands among the queries and in another role.
        labels_differ: (G,) it bears two landmarks, or one and none.
        toward: (N,) for each photograph the one it was found equal to, itself if it comes first.
        is_copy: (N,) whether an earlier photograph has the same bytes.
        labels: (N,) a number for each landmark.
    """

    rows: Ints
    starts: Ints
    roles: Ints
    leaks: NDArray[np.bool_]
    labels_differ: NDArray[np.bool_]
    toward: Ints
    is_copy: NDArray[np.bool_]
    labels: Ints

    def __len__(self) -> int:
        return len(self.leaks)

    def members(self, group: int) -> Ints:
        """Return the photographs of a group."""
        return self.rows[self.starts[group] : self.starts[group + 1]]

    @property
    def numbers(self) -> Ints:
        """(M,) the number of each member's group, from 0."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))


def share(manifest: Manifest, duplicates: Duplicates) -> Sharing:
    """Return the groups of two photographs or more, with the roles and landmarks they span."""
    groups = duplicates.groups
    count = len(groups)
    order = np.argsort(groups, kind="stable").astype(np.int64)
    _, sizes = np.unique(groups[order], return_counts=True)
    rows = order[np.repeat(sizes > 1, sizes)]
    sizes = sizes[sizes > 1]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    roles = _codes(manifest, "role", ROLES)
    labels = _codes(manifest, "landmark_id")
    counts = np.zeros((len(sizes), len(ROLES)), np.int64)
    np.add.at(counts, (np.repeat(np.arange(len(sizes)), sizes), roles[rows]), 1)
    query = ROLES.index("query")
    leaks = (counts[:, query] > 0) & (counts[:, query] < sizes)
    if len(sizes):
        labels_differ = np.minimum.reduceat(labels[rows], starts[:-1]) != np.maximum.reduceat(
            labels[rows], starts[:-1]
        )
    else:
        labels_differ = np.zeros(0, bool)
    best = np.lexsort((-sizes, ~labels_differ, ~leaks))
    rows = np.concatenate([rows[starts[one] : starts[one + 1]] for one in best] or [rows])
    starts = np.concatenate([[0], np.cumsum(sizes[best])]).astype(np.int64)
    return Sharing(
        rows, starts, counts[best], leaks[best], labels_differ[best],
        _toward(groups, duplicates.links, count), duplicates.is_copy, labels,
    )  # fmt: skip


def shared_roles(sharing: Sharing) -> list[dict[str, Any]]:
    """Return for each two roles that share pictures how many, and the photographs of each."""
    found = []
    for a, b in combinations(range(len(ROLES)), 2):
        both = (sharing.roles[:, a] > 0) & (sharing.roles[:, b] > 0)
        if both.any():
            images = sharing.roles[both][:, [a, b]].sum(axis=0).tolist()
            found.append(
                {"roles": [ROLES[a], ROLES[b]], "num_pictures": int(both.sum()), "images": images}
            )
    return found


def shared_labels(
    sharing: Sharing, landmark_ids: Sequence[str], *, most: int = 50
) -> list[dict[str, Any]]:
    """Return pairs of landmarks that share pictures, those with most first; "" is none.

    Args:
        sharing: The groups.
        landmark_ids: N landmarks.
        most: Pairs returned.
    """
    counted: Counter[tuple[str, str]] = Counter()
    for group in np.flatnonzero(sharing.labels_differ).tolist():
        some = sharing.members(group)
        _, where = np.unique(sharing.labels[some], return_index=True)
        names = sorted(landmark_ids[row] for row in some[where[:_MOST_COMPARED]].tolist())
        counted.update(combinations(names, 2))
    best = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:most]
    return [{"landmarks": list(pair), "num_pictures": count} for pair, count in best]


def example(
    sharing: Sharing, group: int, hashes: NDArray[np.uint8], kinds: Ints | None
) -> tuple[int, int, int]:
    """Return the two most alike photographs of a group whose kinds differ, and differing bits.

    Of large groups the first 64 of either kind are compared. Without kinds, or where all are of
    one, any two.

    Args:
        sharing: The groups.
        group: Its number.
        hashes: (N, 16) uint8.
        kinds: (N,) such as roles or landmarks.
    """
    rows = sharing.members(group)
    if kinds is None or (kinds[rows] == kinds[rows[0]]).all():
        first, second = rows[:1], rows[1 : 1 + _MOST_COMPARED]
    else:
        is_first = kinds[rows] == kinds[rows[0]]
        first, second = rows[is_first][:_MOST_COMPARED], rows[~is_first][:_MOST_COMPARED]
    bits = np.bitwise_count(hashes[first][:, None] ^ hashes[second]).sum(axis=2, dtype=np.int64)
    a, b = np.unravel_index(int(bits.argmin()), bits.shape)
    return int(first[a]), int(second[b]), int(bits[a, b])


def _codes(manifest: Manifest, column: str, known: Sequence[str] = ()) -> Ints:
    """Return numbers of a text column's values: places in ``known``, where that is given."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = manifest.table[column]
    if known:
        codes = pc.index_in(values, value_set=pa.array(known, pa.string()))
    else:
        codes = values.combine_chunks().dictionary_encode().indices
    return np.asarray(codes, np.int64)


def _toward(groups: Ints, links: Ints, count: int) -> Ints:
    ends = np.concatenate([links[:, 0], links[:, 1]])
    order = np.argsort(ends, kind="stable").astype(np.int64)
    starts = np.searchsorted(ends[order], np.arange(count + 1)).astype(np.int64)
    return np.asarray(toward(groups, links, starts, order))
