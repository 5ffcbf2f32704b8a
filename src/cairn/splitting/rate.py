"""The share of queries that show no known landmark, reached by leaving some out."""

from __future__ import annotations

from cairn.errors import CairnError


def thinned(num_asked: int, num_others: int, rate: float) -> tuple[int, int]:
    """Return how many queries of known landmarks and how many others to keep for a rate.

    Only one of the two kinds is thinned. The others are then ``rate`` of all to the nearest
    photograph: no other number of the kind that was thinned comes nearer.

    Args:
        num_asked: Queries that show a known landmark, at least one.
        num_others: Queries that show none.
        rate: The wished share of the others, in [0, 1).

    Raises:
        CairnError: There are too few others, even for a single query of a landmark.
    """
    wanted = round(rate * num_asked / (1.0 - rate))
    if wanted <= num_others:
        return num_asked, wanted
    kept = round(num_others * (1.0 - rate) / rate)
    if kept < 1:
        most = num_others / (num_others + 1)
        raise CairnError(
            f"a distractor rate of {rate:g} cannot be reached with {num_others:,} queries that "
            "show no known landmark",
            where="distractor_rate",
            todo=f"ask for {most:.4f} at most (one query of a known landmark), lower bank_share, "
            "or add photographs of no landmark",
        )
    return kept, num_others
