"""What the steps of an epoch show, and that showings are counted over the whole of it."""

from __future__ import annotations

import numpy as np

from cairn.config import Recipe
from cairn.training.showing import epoch_steps


def test_a_photograph_that_comes_twice_is_told_apart() -> None:
    """Balanced: the only photograph of landmark 1 comes as often as the seven of landmark 0."""
    rows, targets = np.arange(10, 18), np.array([-1] * 10 + [0] * 7 + [1])
    stage = Recipe.model_validate({"sampling": {"kind": "balanced"}, "train": {"batch_size": 3}})
    steps = epoch_steps(rows, targets, stage, epoch=0, begun=0)
    assert [step.shape for step in steps] == [(3, 2), (3, 2), (2, 2)]
    shown = np.concatenate(steps)
    assert shown[shown[:, 0] == 17, 1].tolist() == [0, 1, 2, 3]
    assert shown[shown[:, 0] != 17, 1].tolist() == [0, 0, 0, 0]
