"""Before the first step: a neck fitted in closed form, centres placed, the model scored.

The backbone sees each photograph at most once. From scratch, that is the validation's photographs
alone; a neck is fitted to, and the centres of a pretrained model placed at, those learned from.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from cairn import processes
from cairn.domain import Float32, Int64
from cairn.necks import Center, Whitened
from cairn.training.data import Photographs, union
from cairn.training.learner import Learner

Encode = Callable[[Int64, Callable[[torch.Tensor], torch.Tensor], str], tuple[Float32, Int64]]


def prepare(
    learner: Learner, photographs: Photographs, encode: Encode, *, fit_all: bool
) -> tuple[Float32, Int64]:
    """Fit and place what can be; return the embeddings seen on the way, and their rows.

    Every process calls; the embeddings come back in the first, and those of the validation are
    always among them.

    Args:
        learner: At its beginning.
        photographs: Of the run.
        encode: From rows, a function of images and a word to values and the rows that can be read.
        fit_all: Nothing will be learned after this: once the embeddings are known, let held-out
            photographs take part in the neck, too.
    """
    model, split = learner.model.eval(), photographs.split
    fits = isinstance(model.neck, Center | Whitened)
    places = learner.stage.model.weights is not None
    learned = union(split.train, *photographs.shown)
    rows = union(split.gallery, split.queries, split.nonlandmarks)
    if fits:
        rows = union(rows, learned, split.spare)
    elif places:
        rows = union(rows, _without_gallery(photographs, learned))
    values, found = encode(rows, model.features if fits else model, "first look")
    embeddings = values
    if fits:
        _fit_neck(learner, photographs, values, found, union(learned, split.spare))
        embeddings = _projected(learner, values)
    placed = embeddings
    if fits and fit_all:
        _fit_neck(learner, photographs, values, found, rows)
        placed = _projected(learner, values)
    if places:
        _place(learner, photographs, placed, found, learned)
    return embeddings, found


def _fit_neck(
    learner: Learner, photographs: Photographs, features: Float32, found: Int64, rows: Int64
) -> None:
    """Fit a closed-form neck to the features of ``rows``; the average begins there."""
    neck = learner.model.neck
    assert isinstance(neck, Center | Whitened)

    def fit() -> None:
        usable = np.isin(found, rows)
        labels = torch.from_numpy(photographs.labels[found[usable]]).to(learner.device)
        neck.fit(torch.from_numpy(features[usable]).to(learner.device), labels)

    processes.from_main(fit)
    processes.broadcast_weights(neck)
    learner.begin_average()


def _projected(learner: Learner, features: Float32) -> Float32:
    """Return the embeddings of features seen before; none in processes that hold none."""
    if not len(features):
        return np.empty((0, learner.stage.model.dimension), np.float32)
    with torch.inference_mode():
        embeddings: Float32 = (
            learner.model.project(torch.from_numpy(features).to(learner.device)).cpu().numpy()
        )
    return embeddings


def _place(
    learner: Learner, photographs: Photographs, embeddings: Float32, found: Int64, rows: Int64
) -> None:
    """Put the head's centres at the embeddings of ``rows``."""
    known = np.isin(found, rows) & (photographs.labels[found] >= 0)
    main = processes.is_main()
    given = processes.broadcast_rows(embeddings[known] if main else None)
    labels = processes.broadcast_rows(photographs.labels[found[known]] if main else None)
    learner.head.place(given, labels)


def _without_gallery(photographs: Photographs, learned: Int64) -> Int64:
    """Return the rows of landmarks that the validation's gallery, which may be capped, lacks.

    Non-landmarks, which have no centre to place, are not among them.
    """
    labels = photographs.labels
    seen = np.unique(labels[list(photographs.split.gallery)])
    return learned[~np.isin(labels[learned], [-1, *seen])]
