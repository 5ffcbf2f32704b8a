"""From the settings of a recipe to a head."""

from __future__ import annotations

import torch
from torch import Tensor

from cairn.config import HeadConfig
from cairn.domain import Int64
from cairn.heads.forms import ArcFace, CosFace, NormalizedSoftmax, Softmax, SubCenterArcFace
from cairn.heads.head import Head, HeadOptions
from cairn.heads.margins import log_priors, log_weights, margins_by_size
from cairn.heads.shard import Shard


def build_head(
    config: HeadConfig, dimension: int, counts_L: Int64, *, shard: Shard | None = None
) -> Head:
    """Return the head that ``config`` names, freshly drawn from torch's global generator.

    Args:
        config: Its settings.
        dimension: D of the embeddings.
        counts_L: Training photographs of each landmark, in the order of the labels; with
            ``config.nonlandmark`` the last are the non-landmarks'.
        shard: The rows of this process; None for all of them. The weights that are drawn are the
            same for any number of processes.
    """
    counts, num_landmarks = torch.from_numpy(counts_L), len(counts_L)
    tau = config.logit_adjustment
    options = HeadOptions(
        scale_start=config.scale_start,
        scale_warmup_epochs=config.scale_warmup_epochs,
        margin_warmup_epochs=config.margin_warmup_epochs,
        offsets=log_priors(counts, tau) if tau else None,
        weights=log_weights(counts) if config.class_weights == "log" else None,
        label_smoothing=config.label_smoothing,
        sampled=config.sampled,
        shard=shard,
    )
    scale, centers = config.scale, config.centers
    if config.kind == "softmax":
        return Softmax(dimension, num_landmarks, scale=scale, options=options)
    if config.kind == "normalized-softmax":
        return NormalizedSoftmax(
            dimension, num_landmarks, scale=scale, centers=centers, options=options
        )
    margin: float | Tensor = config.margin
    if config.size_margin is not None and num_landmarks:
        low, high = config.size_margin
        margin = margins_by_size(counts, low, high, power=config.size_power)
    if config.kind == "cosface":
        return CosFace(
            dimension, num_landmarks, scale=scale, margin=margin, centers=centers, options=options
        )
    if centers > 1:
        return SubCenterArcFace(
            dimension, num_landmarks, scale=scale, margin=margin, centers=centers, options=options
        )
    return ArcFace(dimension, num_landmarks, scale=scale, margin=margin, options=options)
