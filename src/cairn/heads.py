"""Heads: (embeddings, labels) -> loss. They learn beside the model and are not part of it.

Shapes: B images, D dimensions, L landmarks. All maths is float32, also under autocast; labels are
int64 (half precision cannot count beyond 65,504 landmarks).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cairn.config import HeadConfig
from cairn.domain import Float32, Int64
from cairn.errors import CairnError


class Softmax(nn.Module):
    """Softmax cross-entropy over a linear classifier: the baseline that forgets the long tail.

    Args:
        dimension: D.
        num_landmarks: L.
    """

    def __init__(self, dimension: int, num_landmarks: int, *, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(num_landmarks, dimension))
        self.bias = nn.Parameter(torch.zeros(num_landmarks))
        nn.init.normal_(self.weight, std=1.0 / math.sqrt(dimension))

    def forward(self, embeddings_BD: Tensor, labels_B: Tensor) -> Tensor:
        """Return the mean cross-entropy of ``scale * embeddings @ W + b``."""
        _check(labels_B)
        with torch.autocast(embeddings_BD.device.type, enabled=False):
            logits = F.linear(embeddings_BD.float() * self.scale, self.weight, self.bias)
            return F.cross_entropy(logits, labels_B)


class ArcFace(nn.Module):
    """Additive angular margin: the true landmark's logit is ``s * cos(theta + m)``.

    Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", 2019, eq. 3.
    No "easy margin": beyond ``theta > pi - m``, where cos(theta + m) would rise again, the logit
    keeps falling as ``cos(theta) - m * sin(m)``, as in the authors' code. sin(theta) is taken as
    ``sqrt(1 - cos^2)`` with a floor under the root, so that the gradient is finite at |cos| = 1.

    Args:
        dimension: D.
        num_landmarks: L.
        scale: s.
        margin: m in radians; ``margin`` may be changed between steps (warm-up).
    """

    def __init__(
        self, dimension: int, num_landmarks: int, *, scale: float = 30.0, margin: float = 0.3
    ) -> None:
        super().__init__()
        self.scale, self.margin = scale, margin
        self.weight = nn.Parameter(torch.empty(num_landmarks, dimension))
        nn.init.normal_(self.weight, std=1.0 / math.sqrt(dimension))

    @torch.no_grad()
    def place(self, embeddings_ND: Float32, labels_N: Int64) -> None:
        """Put each landmark's centre at the mean direction of its embeddings.

        A landmark without embeddings keeps its centre: one at zero would have no direction, and a
        gradient without bounds.
        """
        sums = np.zeros(tuple(self.weight.shape), np.float32)
        np.add.at(sums, labels_N, embeddings_ND)
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        placed = torch.from_numpy(sums / np.maximum(norms, 1e-12)).to(self.weight.device)
        found_L1 = torch.from_numpy(norms > 1e-6).to(self.weight.device)
        self.weight.copy_(torch.where(found_L1, placed, self.weight))

    def forward(self, embeddings_BD: Tensor, labels_B: Tensor) -> Tensor:
        """Return the mean cross-entropy of the margin logits."""
        _check(labels_B)
        with torch.autocast(embeddings_BD.device.type, enabled=False):
            centers = F.normalize(self.weight.float())
            cosines_BL = F.linear(F.normalize(embeddings_BD.float()), centers)
            true_B = cosines_BL.gather(1, labels_B[:, None]).squeeze(1)
            margined_B = add_angular_margin(true_B, self.margin)
            logits_BL = self.scale * cosines_BL.scatter(1, labels_B[:, None], margined_B[:, None])
            return F.cross_entropy(logits_BL, labels_B)


def add_angular_margin(cosines: Tensor, margin: float) -> Tensor:
    """Return ``cos(theta + m)`` for ``cos(theta)``, falling on beyond ``theta = pi - m``.

    Args:
        cosines: Any shape, float32; values beyond [-1, 1] by rounding are clipped.
        margin: m in radians, in [0, pi).
    """
    clipped = cosines.clamp(-1.0, 1.0)
    sines = (1.0 - clipped * clipped).clamp(min=1e-7).sqrt()
    shifted = clipped * math.cos(margin) - sines * math.sin(margin)
    beyond = clipped - margin * math.sin(margin)
    return torch.where(clipped > math.cos(math.pi - margin), shifted, beyond)


def build_head(config: HeadConfig, dimension: int, num_landmarks: int) -> ArcFace | Softmax:
    """Return the head that ``config`` names, freshly initialised."""
    if num_landmarks < 2:
        raise CairnError(
            f"{num_landmarks} landmark(s) to learn from; a head needs at least two",
            where="the train rows of the manifest",
            todo="add landmarks to the manifest's train rows",
        )
    if config.kind == "softmax":
        return Softmax(dimension, num_landmarks, scale=config.scale)
    return ArcFace(dimension, num_landmarks, scale=config.scale, margin=config.margin)


def _check(labels_B: Tensor) -> None:
    if labels_B.dtype != torch.int64:
        raise CairnError(f"labels must be int64, not {labels_B.dtype}", where="head")
