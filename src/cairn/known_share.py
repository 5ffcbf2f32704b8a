"""GAP at another share of landmarks among the queries than the set at hand has.

A wrong answer on a non-landmark takes a rank, so GAP falls with the share of non-landmarks: 98 % of
the queries of Google Landmarks v2 show none, and few validation sets have so many. What the score
would be at a stated share needs no more photographs: each non-landmark takes as many ranks as it
stands for. That is the GAP of a set in which every non-landmark is there so many times, which is
how the tests check it. It says what the *same kind* of non-landmarks would do in other numbers;
intervals stay as wide as the photographs that there are make them.

Legend of shapes: Q queries.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cairn.errors import CairnError


def unknown_weight(
    labelled: NDArray[np.bool_],
    known_share: float | None,
    weights: NDArray[np.int64] | None = None,
) -> float:
    """Return for how many queries each non-landmark stands at a share of landmarks.

    With L landmark queries and U others at hand it is w = (L / U) (1 - share) / share, so that
    L / (L + w U) = share.

    Args:
        labelled: (Q,) whether the query shows a known landmark.
        known_share: The share of such queries where the system will work, in (0, 1]; 1 leaves
            non-landmarks out (GAP-). None takes the set as it is: the weight is 1.
        weights: (Q,) how often each query stands in a resample; None counts each once.

    Raises:
        CairnError: A share out of range, or below 1 where no query is a non-landmark.
    """
    if known_share is None:
        return 1.0
    check_share(known_share)
    counts = np.ones(len(labelled), dtype=np.int64) if weights is None else weights
    known, unknown = int(counts[labelled].sum()), int(counts[~labelled].sum())
    if known_share == 1:
        return 0.0
    if not unknown:
        raise CairnError(
            "no query is a non-landmark, so other shares of them cannot be told from these",
            where=f"a known share of {known_share:g}",
            todo="add queries of no landmark (or of unknown ones), or leave the share out",
        )
    return known / unknown * (1 - known_share) / known_share


def check_share(known_share: float) -> None:
    """Refuse what is no share of landmarks.

    Raises:
        CairnError: It does not lie in (0, 1].
    """
    if not 0 < known_share <= 1:
        raise CairnError(
            "the share of queries with a known landmark lies above 0 and up to 1",
            where=f"known share {known_share}",
            todo="give 0.02, say, where 2 of 100 photographs show one",
        )
