"""The loss of heads for any shapes: derivatives written out against autograd's, in float64."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from cairn.config import HeadConfig
from cairn.heads import Head, Shard, build_head


@settings(max_examples=40, deadline=None)
@given(
    photographs=st.integers(1, 6),
    landmarks=st.integers(2, 9),
    centers=st.integers(1, 3),
    scale=st.floats(0.5, 80),
    margin=st.floats(0, 0.9),
    tau=st.sampled_from([0.0, 1.0]),
    seed=st.integers(0, 1000),
)
def test_gradients_are_those_of_autograd(
    photographs: int,
    landmarks: int,
    centers: int,
    scale: float,
    margin: float,
    tau: float,
    seed: int,
) -> None:
    config = HeadConfig(
        kind="cosface", scale=scale, margin=margin, centers=centers, logit_adjustment=tau
    )
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    head = build_head(config, 5, rng.integers(1, 50, landmarks)).double()
    labels = torch.from_numpy(rng.integers(0, landmarks, photographs))
    embeddings = torch.randn(photographs, 5, dtype=torch.float64)
    ours = _derivatives(head(x := _leaf(embeddings), labels), x, head.weight)
    weight = _leaf(head.weight)
    plain = _cross_entropy(head, y := _leaf(embeddings), weight, labels)
    for found, expected in zip(ours, _derivatives(plain, y, weight), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def _cross_entropy(head: Head, embeddings: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    centers = F.normalize(weight.view(len(weight), -1, weight.shape[-1]), dim=-1)
    cosines = torch.einsum("bd,lkd->blk", F.normalize(embeddings), centers).amax(-1)
    logits = head.scale * (cosines - head.margin * F.one_hot(labels, len(weight)))
    return F.cross_entropy(logits if head.offsets is None else logits + head.offsets, labels)


def _leaf(value: Tensor) -> Tensor:
    return value.detach().clone().requires_grad_()


def _derivatives(loss: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
    return (loss.detach(), *torch.autograd.grad(loss, leaves))


@given(num_rows=st.integers(1, 500), sizes=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_rows_that_were_put_together_split_anew(num_rows: int, sizes: tuple[int, int]) -> None:
    full = torch.arange(num_rows)
    for size in (min(number, num_rows) for number in sizes):
        parts = [Shard(num_rows, rank, size).take(full) for rank in range(size)]
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        full = torch.cat(parts)
    assert torch.equal(full, torch.arange(num_rows))
