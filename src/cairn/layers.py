"""The house model's own layers: GeM pooling and the Global Context block.

Shapes: B images, C channels, H x W positions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cairn.config import ModelConfig


class GeM(nn.Module):
    """Generalised-mean pooling: (B, C, H, W) -> (B, C).

    ``(mean over positions of x^p)^(1/p)`` (Radenovic, Tolias and Chum, "Fine-tuning CNN image
    retrieval with no human annotation", 2018). p = 1 is the average, p -> inf the maximum. The
    powers are taken in float32 under autocast too, of values divided by their channel's maximum, so
    that no p overflows or loses a channel that is nearly zero.

    A power needs values above zero: those below ``eps`` count as ``eps``. Behind a ReLU, or a SiLU
    or GELU that hardly go below zero, that changes nearly nothing. Features behind a final layer
    norm (Swin, FocalNet, vision transformers) are negative half of the time, and GeM sees their
    positive part alone: prefer the average, or the backbone's own pooling, for weights that are
    not trained further.

    Args:
        p: Initial exponent, > 0.
        eps: Floor of the activations.
        learned: Whether p is a parameter; otherwise it is a buffer, and stays.
    """

    p: Tensor

    def __init__(self, p: float = 3.0, eps: float = 1e-6, *, learned: bool = True) -> None:
        super().__init__()
        exponent = torch.tensor([float(p)])
        if learned:
            self.p = nn.Parameter(exponent)
        else:
            self.register_buffer("p", exponent)
        self.eps = eps

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Return the pooled features (B, C), float32."""
        with torch.autocast(features_BCHW.device.type, enabled=False):
            if self.training and not torch.compiler.is_compiling():
                pooled: Tensor = _GeneralizedMean.apply(features_BCHW, self.p, self.eps)
                return pooled
            clamped_BCHW = features_BCHW.float().clamp(min=self.eps)
            # The result does not depend on what it is scaled by, so neither does a gradient.
            largest_BC11 = clamped_BCHW.detach().amax(dim=(2, 3), keepdim=True)
            mean_BC = (clamped_BCHW / largest_BC11).pow(self.p).mean(dim=(2, 3))
            return largest_BC11.flatten(1) * mean_BC.pow(1.0 / self.p)


class _GeneralizedMean(torch.autograd.Function):
    """GeM with its derivatives written out; autograd's own walk the map more than twice as often.

    With ``x`` floored at eps, M its maximum in the channel, ``y = (x / M)^p``, ``m = mean(y)`` over
    n positions and ``g = M m^(1/p)``: ``dg/dx = g y / (n m x)`` where ``x > eps``,
    ``dg/dp = g (mean(y ln(x / M)) / m - ln m / p) / p``.
    """

    @staticmethod
    def forward(ctx: Any, features_BCHW: Tensor, p: Tensor, eps: float) -> Tensor:
        clamped_BCHW = features_BCHW.float().clamp(min=eps)
        largest_BC11 = clamped_BCHW.amax(dim=(2, 3), keepdim=True)
        powers_BCHW = (clamped_BCHW / largest_BC11).pow_(p)
        mean_BC = powers_BCHW.mean(dim=(2, 3))
        pooled_BC = largest_BC11.flatten(1) * mean_BC.pow(1.0 / p)
        ctx.save_for_backward(features_BCHW, powers_BCHW, largest_BC11, mean_BC, pooled_BC, p)
        ctx.eps = eps
        return pooled_BC

    @staticmethod
    def backward(ctx: Any, change_BC: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        features_BCHW, powers_BCHW, largest_BC11, mean_BC, pooled_BC, p = ctx.saved_tensors
        clamped_BCHW = features_BCHW.float().clamp(min=ctx.eps)
        slope_BC = change_BC * pooled_BC / mean_BC
        for_features = for_p = None
        if ctx.needs_input_grad[1]:
            logs_BCHW = (clamped_BCHW / largest_BC11).log_()
            logs_BC = (logs_BCHW * powers_BCHW).mean(dim=(2, 3))
            for_p = (slope_BC * (logs_BC - mean_BC * mean_BC.log() / p)).sum().reshape(1) / p
        if ctx.needs_input_grad[0]:
            share_BC = slope_BC / features_BCHW.shape[2:].numel()
            through_BCHW = (powers_BCHW / clamped_BCHW).mul_(share_BC[:, :, None, None])
            through_BCHW.mul_(features_BCHW > ctx.eps)
            for_features = through_BCHW.to(features_BCHW.dtype)
        return for_features, for_p, None


class AveragePool(nn.Module):
    """Mean over positions: (B, C, H, W) -> (B, C), float32."""

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Return the pooled features (B, C), float32."""
        return features_BCHW.float().mean(dim=(2, 3))


def build_pool(config: ModelConfig) -> nn.Module | None:
    """Return the pooling over positions that ``config`` names; None for the backbone's own."""
    if config.pool == "own":
        return None
    if config.pool == "avg":
        return AveragePool()
    return GeM(config.gem_p, learned=config.pool == "gem")


class GlobalContext(nn.Module):
    """Global Context block, fusion by addition: (B, C, H, W) -> the same shape.

    One attention map shared by all positions gathers a context vector, a two-layer bottleneck
    with layer norm transforms it, and it is added everywhere (Cao et al., "GCNet: Non-local
    Networks Meet Squeeze-Excitation Networks and Beyond", 2019). The last weight starts at zero, so
    a fresh block changes nothing: it can be put into a pretrained network.

    Args:
        channels: C.
        reduction: The bottleneck has ``C / reduction`` channels, at least 8.

    ``last_mask``, when ``keep_mask`` is set, holds the attention map (B, H, W) of the last call;
    each map sums to one.
    """

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        hidden = max(channels // reduction, 8)
        self.attend = nn.Conv2d(channels, 1, kernel_size=1)
        self.squeeze = nn.Linear(channels, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.expand = nn.Linear(hidden, channels)
        self.keep_mask = False
        self.last_mask: Tensor | None = None
        self.reset()

    def reset(self) -> None:
        """Make the block an identity again."""
        nn.init.normal_(self.attend.weight, std=0.01)
        for bias in (self.attend.bias, self.expand.bias):
            if bias is not None:
                nn.init.zeros_(bias)
        nn.init.zeros_(self.expand.weight)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Return the features with the transformed global context added."""
        # Matrix products over the channels-last view: a convolution to one channel, and flattening
        # to (B, C, H W), would each copy the map.
        flat_BPC = features_BCHW.permute(0, 2, 3, 1).flatten(1, 2)
        logits_BP = F.linear(flat_BPC, self.attend.weight.flatten(1), self.attend.bias).squeeze(2)
        mask_BP = logits_BP.float().softmax(dim=1)
        if self.keep_mask:
            self.last_mask = mask_BP.detach().view(-1, *features_BCHW.shape[2:])
        context_BC = torch.bmm(mask_BP.to(flat_BPC.dtype).unsqueeze(1), flat_BPC).squeeze(1)
        change_BC = self.expand(F.relu(self.norm(self.squeeze(context_BC))))
        fused: Tensor = features_BCHW + change_BC.to(features_BCHW.dtype)[:, :, None, None]
        return fused
