"""What depends on the sizes of landmarks, and margins on the cosine of the true one.

Legend: L landmarks, n_c training photographs of landmark c, N of all. A landmark without
photographs counts as if it had one, so that all values are finite.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def add_angular_margin(cosines: Tensor, margin: float | Tensor) -> Tensor:
    """Return ``cos(theta + m)`` for ``cos(theta)``, falling on beyond ``theta = pi - m``.

    Deng et al., "ArcFace", 2019, eq. 3. No "easy margin": where cos(theta + m) would rise again,
    the value keeps falling as ``cos(theta) - m * sin(m)``, as in the authors' code. sin(theta) is
    taken as ``sqrt(1 - cos^2)`` with a floor under the root: the gradient is finite at |cos| = 1.

    Args:
        cosines: Any shape, float32; values beyond [-1, 1] by rounding are clipped.
        margin: m in radians, in [0, pi): one, or one for each cosine.
    """
    m = torch.as_tensor(margin, dtype=cosines.dtype, device=cosines.device)
    clipped = cosines.clamp(-1.0, 1.0)
    sines = (1.0 - clipped * clipped).clamp(min=1e-7).sqrt()
    shifted = clipped * m.cos() - sines * m.sin()
    return torch.where(clipped > (math.pi - m).cos(), shifted, clipped - m * m.sin())


def add_cosine_margin(cosines: Tensor, margin: float | Tensor) -> Tensor:
    """Return ``cos(theta) - m``: Wang et al., "CosFace", 2018, eq. 4."""
    return cosines - margin


def margins_by_size(counts_L: Tensor, low: float, high: float, *, power: float) -> Tensor:
    """Return a margin for each landmark, from ``low`` for the largest to ``high`` for the smallest.

    ``u_c = n_c^-power`` and ``m_c = (high - low) (u_c - u_min) / (u_max - u_min) + low``: Ha et
    al., "Google Landmark Recognition 2020 Competition Third Place Solution", 2020. Where all
    landmarks are of one size, the margin is ``low``.

    Args:
        counts_L: n_c.
        low: Margin of the largest landmark.
        high: Margin of the smallest.
        power: 1/4 in the source.
    """
    u = _at_least_one(counts_L).pow(-power)
    spread = u.max() - u.min()
    share = (u - u.min()) / spread if spread > 0 else torch.zeros_like(u)
    return ((high - low) * share + low).float()


def log_priors(counts_L: Tensor, tau: float) -> Tensor:
    """Return ``tau * ln(n_c / N)``, added to the logits while learning.

    Menon et al., "Long-tail learning via logit adjustment", 2021, eq. 10; tau = 1 is the balanced
    softmax of Ren et al., 2020.
    """
    counts = _at_least_one(counts_L)
    return (tau * (counts / counts.sum()).log()).float()


def log_weights(counts_L: Tensor) -> Tensor:
    """Return ``1 / ln(1 + n_c)``, times what makes its mean over the training photographs 1."""
    counts = _at_least_one(counts_L)
    weights = 1.0 / (1.0 + counts).log()
    return (weights * counts.sum() / (weights * counts).sum()).float()


def _at_least_one(counts_L: Tensor) -> Tensor:
    return counts_L.double().clamp(min=1.0)
