"""Losses of one photograph and two landmarks, worked out by hand.

The centres are the axes of the plane; the photograph lies 60 degrees from its own landmark's and 30
from the other's. The scale is 2, and every logit follows with a pocket calculator.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from cairn.config import HeadConfig
from cairn.heads import build_head

APART = 2 * (math.sqrt(3) / 2 - 1 / 2)  # the other's logit less its own: 0.7320508
PLAIN = 1.1247155  # ln(1 + e^0.7320508)
MARGIN = 1.8949527  # ln(1 + e^1.7320508): the own logit is 0


@pytest.mark.parametrize(
    ("settings", "loss"),
    [
        ({"kind": "softmax"}, PLAIN),
        ({"kind": "normalized-softmax"}, PLAIN),
        ({"kind": "arcface", "margin": math.pi / 6}, MARGIN),  # cos(60 + 30 degrees) = 0
        ({"kind": "cosface", "margin": 0.5}, MARGIN),  # 1/2 - 1/2 = 0
        # n = 3 and 1: the crowded landmark's margin is the lower one
        ({"kind": "cosface", "size_margin": (0.5, 0.7)}, MARGIN),
        ({"kind": "normalized-softmax", "label_smoothing": 0.2}, PLAIN - 0.1 * APART),
        # ln 3/4 and ln 1/4 move the logits ln 3 apart: ln(1 + e^0.7320508 / 3)
        ({"kind": "normalized-softmax", "logit_adjustment": 1}, 0.5265692),
        # 1 / ln 4 and 1 / ln 2 are as 1 to 2; with n = 3 and 1 their mean is 5/4 of the first
        ({"kind": "normalized-softmax", "class_weights": "log"}, 0.8 * PLAIN),
    ],
)
def test_loss_by_hand(settings: dict[str, Any], loss: float) -> None:
    head = build_head(HeadConfig.model_validate({"scale": 2, **settings}), 2, np.array([3, 1]))
    with torch.no_grad():
        head.weight.copy_(torch.eye(2))
    photograph = torch.tensor([[0.5, math.sqrt(3) / 2]])
    assert float(head(photograph, torch.tensor([0])).detach()) == pytest.approx(loss, abs=2e-6)
