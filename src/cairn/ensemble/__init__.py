"""Ensembles: several models answer together, by similarities, votes or ranks."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cairn.ensemble.answering import answer_tables, recognize_manifest
    from cairn.ensemble.concatenation import Concatenation, build_gallery
    from cairn.ensemble.fitting import fit_ensemble, fit_manifest
    from cairn.ensemble.fusion import Fusion, answers, predictions
    from cairn.ensemble.ranks import Ranks
    from cairn.ensemble.settings import WAYS, Ensemble, Member, Validation
    from cairn.ensemble.similarity import WeightedSimilarity
    from cairn.ensemble.votes import Votes, WeightedVotes, cast_votes
    from cairn.ensemble.weights import fit_weights

__all__ = [
    "WAYS",
    "Concatenation",
    "Ensemble",
    "Fusion",
    "Member",
    "Ranks",
    "Validation",
    "Votes",
    "WeightedSimilarity",
    "WeightedVotes",
    "answer_tables",
    "answers",
    "build_gallery",
    "cast_votes",
    "fit_ensemble",
    "fit_manifest",
    "fit_weights",
    "predictions",
    "recognize_manifest",
]

_MODULES = {
    "answering": ("answer_tables", "recognize_manifest"),
    "concatenation": ("Concatenation", "build_gallery"),
    "fitting": ("fit_ensemble", "fit_manifest"),
    "fusion": ("Fusion", "answers", "predictions"),
    "ranks": ("Ranks",),
    "settings": ("WAYS", "Ensemble", "Member", "Validation"),
    "similarity": ("WeightedSimilarity",),
    "votes": ("Votes", "WeightedVotes", "cast_votes"),
    "weights": ("fit_weights",),
}


def __getattr__(name: str) -> Any:
    """Load a name when it is asked for: reading an ensemble's file needs no PyTorch."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"cairn.ensemble.{module}"), name)
    raise AttributeError(f"module 'cairn.ensemble' has no attribute {name!r}")
