"""The ways of putting models together, by name."""

from __future__ import annotations

from collections.abc import Sequence

from cairn.calibration import Logistic
from cairn.ensemble.alignment import require_same_landmarks, require_same_queries
from cairn.ensemble.concatenation import Concatenation
from cairn.ensemble.fusion import Fusion
from cairn.ensemble.ranks import DEPTH, NUM_RANKED, Ranks
from cairn.ensemble.settings import Way, require_way
from cairn.ensemble.similarity import WeightedSimilarity
from cairn.ensemble.votes import NUM_NEIGHBORS, NUM_VOTES, Votes, WeightedVotes, cast_votes
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.tables import EmbeddingTable


def fuse(
    by: Way,
    queries: Sequence[EmbeddingTable],
    galleries: Sequence[Gallery],
    *,
    curves: Sequence[Logistic] = (),
) -> Fusion:
    """Return the models side by side on some photographs.

    Args:
        by: One of ``WAYS``.
        queries: For each model, its embeddings of the same photographs in the same order.
        galleries: For each model, its gallery: of the same landmarks, and for ``similarity`` and
            ``concatenation`` of the same images. Their penalties come off where they have any.
        curves: For ``votes``, each model's curve from score to chance.

    Raises:
        CairnError: The way is unknown, galleries or queries differ, or curves are missing.
    """
    require_way(by)
    if by == "votes":
        if len(curves) != len(galleries):
            raise CairnError(f"{len(galleries)} models vote with {len(curves)} curves")
        cast = all_votes(queries, galleries)
        return WeightedVotes([one.calibrated(c) for one, c in zip(cast, curves, strict=True)])
    if by == "similarity":
        return WeightedSimilarity(queries, galleries)
    if by == "concatenation":
        return Concatenation(queries, galleries)
    lists = all_votes(queries, galleries, num_votes=NUM_RANKED, num_neighbors=DEPTH)
    return Ranks(lists, how="borda" if by == "borda" else "reciprocal")


def all_votes(
    queries: Sequence[EmbeddingTable],
    galleries: Sequence[Gallery],
    *,
    num_votes: int = NUM_VOTES,
    num_neighbors: int = NUM_NEIGHBORS,
) -> list[Votes]:
    """Return each model's best landmarks; see ``cast_votes``.

    Raises:
        CairnError: Galleries know different landmarks, or queries differ.
    """
    require_same_landmarks(galleries)
    require_same_queries(queries, galleries)
    return [
        cast_votes(*one, num_votes=num_votes, num_neighbors=num_neighbors)
        for one in zip(queries, galleries, strict=True)
    ]
