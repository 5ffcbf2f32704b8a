"""Heads: what embeddings and labels cost, over all landmarks, on one process or several."""

from cairn.heads.build import build_head
from cairn.heads.forms import ArcFace, CosFace, NormalizedSoftmax, Softmax, SubCenterArcFace
from cairn.heads.head import Head, HeadOptions
from cairn.heads.margins import (
    add_angular_margin,
    add_cosine_margin,
    log_priors,
    log_weights,
    margins_by_size,
)
from cairn.heads.shard import Shard

__all__ = [
    "ArcFace",
    "CosFace",
    "Head",
    "HeadOptions",
    "NormalizedSoftmax",
    "Shard",
    "Softmax",
    "SubCenterArcFace",
    "add_angular_margin",
    "add_cosine_margin",
    "build_head",
    "log_priors",
    "log_weights",
    "margins_by_size",
]
