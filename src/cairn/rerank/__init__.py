"""Stages that turn the nearest images into an answer, for Cairn's galleries or anyone's vectors.

A search finds hits; stages re-order them, weigh them and vote. Each idea of the field is a module:
a plain function of arrays, and a stage of the same idea that a recipe can name. ``compose`` puts
stages in a row and checks that they fit; docs/rerank.md has their table.
"""

from cairn.rerank.answers import Answer, Votes, code_landmarks, predictions_of
from cairn.rerank.context import Context, GallerySide, Picks, QuerySide
from cairn.rerank.head import Head, HeadTable, HeadVectors
from cairn.rerank.recipe import (
    NUM_HITS,
    STAGES,
    Pipeline,
    as_pipeline,
    compose,
    read_stages,
    require_online,
)
from cairn.rerank.stage import Stage

__all__ = [
    "NUM_HITS",
    "STAGES",
    "Answer",
    "Context",
    "GallerySide",
    "Head",
    "HeadTable",
    "HeadVectors",
    "Picks",
    "Pipeline",
    "QuerySide",
    "Stage",
    "Votes",
    "as_pipeline",
    "code_landmarks",
    "compose",
    "predictions_of",
    "read_stages",
    "require_online",
]
