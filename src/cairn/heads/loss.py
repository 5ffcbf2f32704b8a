"""The softmax cross-entropy over landmarks, its derivatives written out so that it needs little.

Of all that is B x S large there is one float buffer: cosines, logits, exponentials and their
gradient overwrite one another. No normalised copy of the weights is made, and no one-hot target.
Landmarks may be split over processes: maximum and sums of the softmax are then all-reduced.

Legend: B photographs, S landmarks of this process (or those it sampled), K centres, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.autograd.function import once_differentiable

from cairn.errors import CairnError

Margin = Callable[[Tensor], Tensor]
"""From the true landmarks' cosines (B,) to smaller ones."""


@dataclass(frozen=True)
class Terms:
    """What the loss of one batch is made of, beside embeddings and weights.

    Attributes:
        columns: (B,) int64 column of each photograph's landmark; -1 where another process has it.
        weights: (B,) factor of each photograph's loss; the loss is the sum over the batch.
        scale: s.
        margin: On the true cosines; None for none.
        offsets: (S,) added to the logits; None for none.
        smoothing: Share of the target that is spread evenly over all landmarks.
        num_landmarks: Of all processes.
        shared: Whether the landmarks are split over the processes of the group.
    """

    columns: Tensor
    weights: Tensor
    scale: float
    margin: Margin | None = None
    offsets: Tensor | None = None
    smoothing: float = 0.0
    num_landmarks: int = 0
    shared: bool = False


def landmark_loss(
    embeddings_BD: Tensor, weight_SKD: Tensor, bias_S: Tensor | None, terms: Terms
) -> Tensor:
    """Return the summed, weighted cross-entropy of a batch.

    Args:
        embeddings_BD: Of unit length, unless there is a bias.
        weight_SKD: Rows of any length; cosines to them count, of K centres the nearest.
        bias_S: With a bias, the classifier is a linear one: K is 1 and products count.
        terms: The rest.

    The gradient is computed once: a second backward pass through the same loss is refused.
    """
    if weight_SKD.shape[1] > 255:
        raise CairnError(f"{weight_SKD.shape[1]} centers a landmark; 255 is the most", where="head")
    loss: Tensor = _LandmarkLoss.apply(embeddings_BD, weight_SKD, bias_S, terms)
    return loss


class _LandmarkLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, embeddings_BD: Tensor, weight_SKD: Tensor, bias_S: Tensor | None, terms: Terms
    ) -> Tensor:
        inverse_SK = _inverse_lengths(weight_SKD) if bias_S is None else None
        values_BS, nearest_BS = _similarities(embeddings_BD, weight_SKD, inverse_SK)
        own_B = terms.columns >= 0
        columns_B1 = terms.columns.clamp(min=0)[:, None]
        slopes_B = _put_margin(values_BS, columns_B1, own_B, terms.margin)
        values_BS.mul_(terms.scale)
        for added_S in (bias_S, terms.offsets):
            if added_S is not None:
                values_BS.add_(added_S)
        losses_B, sums_B = _cross_entropy(values_BS, columns_B1, own_B, terms)
        kept = (embeddings_BD, weight_SKD, inverse_SK, values_BS, nearest_BS)
        ctx.save_for_backward(*kept, columns_B1, own_B, slopes_B, sums_B)
        ctx.terms, ctx.has_bias = terms, bias_S is not None
        return (losses_B * terms.weights).sum()

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        embeddings_BD, weight_SKD, inverse_SK, values_BS, nearest_BS, *rest = ctx.saved_tensors
        columns_B1, own_B, slopes_B, sums_B = rest
        terms: Terms = ctx.terms
        with torch.autocast(values_BS.device.type, enabled=False):
            factors_B = gradient * terms.weights
            values_BS.mul_((factors_B / sums_B)[:, None])
            if terms.smoothing:
                values_BS.sub_((factors_B * (terms.smoothing / terms.num_landmarks))[:, None])
            true_B1 = values_BS.gather(1, columns_B1)
            pulled_B1 = true_B1 - (factors_B * (1.0 - terms.smoothing))[:, None]
            values_BS.scatter_(1, columns_B1, torch.where(own_B[:, None], pulled_B1, true_B1))
            bias = values_BS.sum(dim=0) if ctx.has_bias and ctx.needs_input_grad[2] else None
            true_B1 = values_BS.gather(1, columns_B1)
            bent_B1 = torch.where(own_B[:, None], true_B1 * slopes_B[:, None], true_B1)
            values_BS.scatter_(1, columns_B1, bent_B1).mul_(terms.scale)
            wanted = ctx.needs_input_grad[:2]
            embeddings, weight = _products(
                values_BS, nearest_BS, embeddings_BD, weight_SKD, inverse_SK, wanted=wanted
            )
        return embeddings, weight, bias, None


def _inverse_lengths(weight_SKD: Tensor) -> Tensor:
    """Return 1 over the length of each centre, (S, K)."""
    inverse: Tensor = torch.linalg.vector_norm(weight_SKD, dim=2).clamp_(min=1e-12).reciprocal_()
    return inverse


def _similarities(
    embeddings_BD: Tensor, weight_SKD: Tensor, inverse_SK: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Return the similarity to each landmark's nearest centre and, for K > 1, which that is."""
    best_BS, nearest_BS = None, None
    for k in range(weight_SKD.shape[1]):
        values_BS = embeddings_BD @ weight_SKD[:, k].T
        if inverse_SK is not None:
            values_BS.mul_(inverse_SK[:, k])
        if best_BS is None:
            best_BS = values_BS
            continue
        if nearest_BS is None:
            nearest_BS = torch.zeros(values_BS.shape, dtype=torch.uint8, device=values_BS.device)
        nearest_BS.masked_fill_(values_BS > best_BS, k)
        torch.maximum(best_BS, values_BS, out=best_BS)
    assert best_BS is not None
    return best_BS, nearest_BS


def _put_margin(
    cosines_BS: Tensor, columns_B1: Tensor, own_B: Tensor, margin: Margin | None
) -> Tensor:
    """Give the true cosines their margin, in place; return its slope at each, (B,)."""
    if margin is None:
        return torch.ones_like(own_B, dtype=cosines_BS.dtype)
    true_B = cosines_BS.gather(1, columns_B1).squeeze(1)
    with torch.enable_grad():
        given_B = true_B.detach().requires_grad_()
        margined_B = margin(given_B)
        (slopes_B,) = torch.autograd.grad(margined_B.sum(), given_B)
    put_B = torch.where(own_B, margined_B.detach(), true_B)
    cosines_BS.scatter_(1, columns_B1, put_B[:, None])
    return slopes_B


def _cross_entropy(
    logits_BS: Tensor, columns_B1: Tensor, own_B: Tensor, terms: Terms
) -> tuple[Tensor, Tensor]:
    """Return losses and the sums of exponentials, (B,) each; ``logits_BS`` becomes exponentials.

    A label that no process has gives a loss that is no number.
    """
    highest_B = logits_BS.amax(dim=1)
    if terms.shared:
        dist.all_reduce(highest_B, op=dist.ReduceOp.MAX)
    logits_BS.sub_(highest_B[:, None])
    true_B = logits_BS.gather(1, columns_B1).squeeze(1)
    true_B = torch.where(own_B, true_B, torch.zeros_like(true_B))
    total_B = logits_BS.sum(dim=1) if terms.smoothing else torch.zeros_like(true_B)
    parts = torch.stack([logits_BS.exp_().sum(dim=1), true_B, total_B, own_B.to(true_B.dtype)])
    if terms.shared:
        dist.all_reduce(parts)
    sums_B, true_B, total_B, owners_B = parts.unbind()
    losses_B = sums_B.log() - (1.0 - terms.smoothing) * true_B
    if terms.smoothing:
        losses_B = losses_B - total_B * (terms.smoothing / terms.num_landmarks)
    return losses_B.masked_fill(owners_B != 1, torch.nan), sums_B


def _products(
    gradient_BS: Tensor,
    nearest_BS: Tensor | None,
    embeddings_BD: Tensor,
    weight_SKD: Tensor,
    inverse_SK: Tensor | None,
    *,
    wanted: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of embeddings and weights from that of the similarities.

    For cosines to w of length |w|, with u = w / |w| and g the gradient of x'u summed over the
    batch: the gradient of w is (g - u u'g) / |w|.
    """
    embeddings = torch.zeros_like(embeddings_BD) if wanted[0] else None
    weight = torch.empty_like(weight_SKD) if wanted[1] else None
    for k in range(weight_SKD.shape[1]):
        part_BS = gradient_BS if nearest_BS is None else gradient_BS * (nearest_BS == k)
        if inverse_SK is not None:
            part_BS.mul_(inverse_SK[:, k])
        rows_SD = weight_SKD[:, k]
        if embeddings is not None:
            embeddings.addmm_(part_BS, rows_SD)
        if weight is None:
            continue
        if nearest_BS is None:
            torch.mm(part_BS.T, embeddings_BD, out=weight[:, k])
        else:
            weight[:, k] = part_BS.T @ embeddings_BD
        if inverse_SK is not None:
            along_S1 = torch.einsum("sd,sd->s", weight[:, k], rows_SD)[:, None]
            weight[:, k].addcmul_(rows_SD, along_S1 * inverse_SK[:, k, None].square(), value=-1.0)
    return embeddings, weight
