"""Before the first step: centres stand where the model as it will be kept puts photographs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cairn.config import Recipe
from cairn.domain import Float32, Int64
from cairn.heads import Head
from cairn.manifest import Manifest
from cairn.training import Trainer
from cairn.training.preparing import prepare


@pytest.mark.parametrize("fit_all", [False, True])
def test_centres_follow_the_neck_that_is_kept(
    pictures: Manifest,
    tiny_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fit_all: bool,
) -> None:
    model = tiny_recipe.model.model_copy(update={"neck": "whitened"})
    recipe = tiny_recipe.model_copy(update={"model": model})
    trainer = Trainer(recipe, pictures, tmp_path, torch.device("cpu"))
    learner, photographs = trainer.learner, trainer.photographs
    loaded = model.model_copy(update={"weights": "imagenet"})
    learner.stage = learner.stage.model_copy(update={"model": loaded})
    seen: list[tuple[Float32, Int64]] = []
    placed: list[tuple[Float32, Int64]] = []

    def encode(
        rows: Int64, function: Callable[[torch.Tensor], torch.Tensor], what: str
    ) -> tuple[Float32, Int64]:
        seen.append(trainer._encode(rows, function, what))
        return seen[-1]

    monkeypatch.setattr(Head, "place", lambda _, *given: placed.append(given))
    scored, found = prepare(learner, photographs, encode, fit_all=fit_all)
    ((features, rows),), ((embeddings, labels),) = seen, placed
    learned = np.isin(rows, photographs.split.train)
    with torch.inference_mode():
        kept = learner.model.project(torch.from_numpy(features)).numpy()
    assert np.array_equal(labels, photographs.labels[rows[learned]])
    np.testing.assert_allclose(embeddings, kept[learned], atol=1e-6)
    assert np.allclose(scored, kept, atol=1e-6) != fit_all, "scored before it saw what is held out"
    assert np.array_equal(found, rows)
