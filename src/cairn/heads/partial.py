"""Partial FC: each step compares with a sample of the landmarks.

An et al., "Partial FC: Training 10 Million Identities on a Single Machine", 2021: the batch's own
landmarks always, others at random. Logits, which fill the memory at many landmarks, shrink to the
share; the weights' gradient stays dense, zero in the rows that were not drawn. Such rows still
move: weight decay shrinks them, and momentum carries them on after a step that drew them, as with
every optimiser of this project. Lengths do not count for cosines; a linear classifier feels them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sample_rows(columns_B: Tensor, num_rows: int, share: float) -> Tensor:
    """Return sorted rows, int64: those in ``columns_B`` and others at random, without replacement.

    As many as ``share`` says, but at least as many as the batch has photographs: so every true
    landmark fits in, and the number is known without asking the device. The draw is from torch's
    global generator of the processor, whose state a training run keeps or seeds anew each step:
    a resumed run draws what the first would have.

    Args:
        columns_B: Rows that must be there, possibly repeated; -1 is none.
        num_rows: To draw from.
        share: In (0, 1].
    """
    num = min(max(math.ceil(share * num_rows), len(columns_B)), num_rows)
    chance = torch.rand(num_rows).to(columns_B.device)
    padded = torch.cat([chance, chance.new_zeros(1)])  # -1 is the last: no row
    padded[columns_B] = 2.0
    rows: Tensor = padded[:-1].topk(num, sorted=False).indices.sort().values
    return rows


def columns_among(rows_S: Tensor, columns_B: Tensor) -> Tensor:
    """Return where ``columns_B`` stand in the sorted ``rows_S``; -1 stays."""
    found_B = torch.searchsorted(rows_S, columns_B)
    return torch.where(columns_B < 0, columns_B, found_B)
