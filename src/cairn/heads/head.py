"""What all heads are: (embeddings, labels) -> loss, over the rows that a process holds.

They learn beside the model and are no part of it. All maths is float32, also under autocast; labels
are int64 (half precision cannot count beyond 65,504 landmarks). Legend: B photographs of all
processes, b of this one, D dimensions, L landmarks, S of this process, K centres.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cairn.domain import Float32, Int64
from cairn.errors import CairnError
from cairn.heads.loss import Margin, Terms, landmark_loss
from cairn.heads.partial import columns_among, sample_rows
from cairn.heads.shard import Shard, gather_batch

_DRAWN_AT_ONCE = 4096  # rows: a shard is drawn as part of the whole, without the whole in memory


@dataclass(frozen=True, kw_only=True)
class HeadOptions:
    """What any head can be given.

    Attributes:
        scale_start: Scale before the first step, None for the final one from the start.
        scale_warmup_epochs: Epochs over which the scale goes linearly from ``scale_start``.
        margin_warmup_epochs: Epochs over which the margins grow linearly from 0.
        offsets: (L,) added to the logits (`cairn.heads.log_priors`).
        weights: (L,) factor on the loss of each landmark's photographs (`cairn.heads.log_weights`).
            They are not divided by their sum over a batch: parts of a batch, weighted by their
            photographs, add up to the whole.
        label_smoothing: Share of the target spread over all landmarks; only without margin.
        sampled: Share of the landmarks that a step compares with (`cairn.heads.partial`).
        shard: The rows of this process; None for all of them.
    """

    scale_start: float | None = None
    scale_warmup_epochs: float = 0.0
    margin_warmup_epochs: float = 0.0
    offsets: Tensor | None = None
    weights: Tensor | None = None
    label_smoothing: float = 0.0
    sampled: float = 1.0
    shard: Shard | None = None


class Head(nn.Module):
    """The loss over landmarks that the named heads are forms of.

    Args:
        dimension: D.
        num_landmarks: L, at least two; a class of non-landmarks counts as one more.
        centers: K; ``weight`` is (S, D) for one centre, (S, K, D) for more.
        scale: s.
        linear: Products and a bias in place of cosines.
        add_margin: From the true cosines (B,) and margins (B,) or one; None for no margin.
        margin: m: one, or (L,) one for each landmark.
        options: The rest.
    """

    margins: Tensor | None
    offsets: Tensor | None
    class_weights: Tensor | None

    def __init__(
        self,
        dimension: int,
        num_landmarks: int,
        *,
        scale: float,
        centers: int = 1,
        linear: bool = False,
        add_margin: Callable[[Tensor, float | Tensor], Tensor] | None = None,
        margin: float | Tensor = 0.0,
        options: HeadOptions | None = None,
    ) -> None:
        super().__init__()
        self.options = options = options or HeadOptions()
        self.shard = options.shard or Shard(num_landmarks, 0, 1)
        _check(
            num_landmarks, self.shard, smooths=options.label_smoothing > 0, bends=bool(add_margin)
        )
        self.full_scale, self.add_margin = scale, add_margin
        self.margin = margin if isinstance(margin, float | int) else 1.0
        shape = (dimension,) if centers == 1 else (centers, dimension)
        self.weight = nn.Parameter(_draw(self.shard, shape))
        num_own = self.shard.stop - self.shard.start
        self.bias = nn.Parameter(torch.zeros(num_own)) if linear else None
        by_landmark = margin if isinstance(margin, Tensor) else None
        offsets = None if options.offsets is None else self.shard.take(options.offsets)
        for name, values in (
            ("margins", by_landmark),
            ("offsets", offsets),
            ("class_weights", options.weights),
        ):
            self.register_buffer(name, values, persistent=False)
        self.set_epoch(0.0)

    def set_epoch(self, epoch: float) -> None:
        """Bring scale and margin to where they are after ``epoch`` epochs, parts counting."""
        options = self.options
        start = self.full_scale if options.scale_start is None else options.scale_start
        grown = _grown(epoch, options.scale_warmup_epochs)
        self.scale = start + (self.full_scale - start) * grown
        self.margin_share = _grown(epoch, options.margin_warmup_epochs)

    @torch.no_grad()
    def place(self, embeddings_ND: Float32, labels_N: Int64) -> None:
        """Put each landmark's centres at mean directions of its embeddings.

        Of K centres, each gets every K-th of the embeddings, so that they begin apart. A centre
        without embeddings stays: one at zero would have no direction and a boundless gradient.

        Args:
            embeddings_ND: Of any landmarks; the process takes those of its own.
            labels_N: Their landmarks, in [0, L).
        """
        labels = torch.from_numpy(labels_N)
        rows = ((labels >= self.shard.start) & (labels < self.shard.stop)).nonzero().squeeze(1)
        own, order = (labels[rows] - self.shard.start).sort(stable=True)
        first = torch.searchsorted(own, own)
        weight = self.weight.view(len(self.weight), -1, self.weight.shape[-1])
        num_centers = weight.shape[1]
        center = own * num_centers + (torch.arange(len(own)) - first) % num_centers
        sums = torch.zeros(len(weight) * num_centers, weight.shape[2])
        sums.index_add_(0, center, torch.from_numpy(embeddings_ND)[rows[order]])
        found = torch.linalg.vector_norm(sums, dim=1) > 1e-6
        placed = F.normalize(sums).view_as(self.weight).to(weight)
        mask = found.view(*self.weight.shape[:-1], 1).to(weight.device)
        self.weight.copy_(torch.where(mask, placed, self.weight))

    def forward(self, embeddings_bD: Tensor, labels_b: Tensor) -> Tensor:
        """Return the mean loss of the photographs of all processes, the same on each.

        Args:
            embeddings_bD: Of this process: any number, and none where others have some.
            labels_b: int64 landmarks in [0, L).
        """
        if labels_b.dtype != torch.int64:
            raise CairnError(f"labels must be int64, not {labels_b.dtype}", where="head")
        if not labels_b.is_cuda and len(labels_b):
            low, high = int(labels_b.min()), int(labels_b.max())
            if low < 0 or high >= self.shard.num_rows:
                raise CairnError(
                    f"labels from {low} to {high} for {self.shard.num_rows} landmarks", where="head"
                )
        with torch.autocast(embeddings_bD.device.type, enabled=False):
            embeddings_BD, labels_B = embeddings_bD.to(self.weight.dtype), labels_b
            if self.shard.size > 1:
                embeddings_BD, labels_B = gather_batch(embeddings_BD, labels_B)
            return self._loss(embeddings_BD, labels_B)

    def _loss(self, embeddings_BD: Tensor, labels_B: Tensor) -> Tensor:
        shard, options = self.shard, self.options
        own_B = (labels_B >= shard.start) & (labels_B < shard.stop)
        columns_B = torch.where(own_B, labels_B - shard.start, -1)
        weight: Tensor = self.weight
        bias: Tensor | None = self.bias
        offsets_S = self.offsets
        if options.sampled < 1:
            rows_S = sample_rows(columns_B, len(weight), options.sampled)
            columns_B = columns_among(rows_S, columns_B)
            weight = weight.index_select(0, rows_S)
            bias = None if bias is None else bias.index_select(0, rows_S)
            offsets_S = None if offsets_S is None else offsets_S.index_select(0, rows_S)
        weights_B = torch.ones_like(labels_B, dtype=weight.dtype)
        if self.class_weights is not None:
            weights_B = self.class_weights.to(weight.dtype)[labels_B]
        terms = Terms(
            columns=columns_B,
            weights=weights_B / max(len(labels_B), 1),
            scale=self.scale,
            margin=self._margin(labels_B),
            offsets=offsets_S,
            smoothing=options.label_smoothing,
            num_landmarks=shard.num_rows,
            shared=shard.size > 1,
        )
        if self.bias is None:
            embeddings_BD = F.normalize(embeddings_BD)
        return landmark_loss(
            embeddings_BD, weight.view(len(weight), -1, weight.shape[-1]), bias, terms
        )

    def _margin(self, labels_B: Tensor) -> Margin | None:
        """Return what the margins of these labels, as far as they have grown, do to cosines."""
        add_margin = self.add_margin
        if add_margin is None:
            return None
        margin: float | Tensor = self.margin * self.margin_share
        if self.margins is not None:
            margin = self.margins[labels_B] * margin
        return lambda cosines_B: add_margin(cosines_B, margin)


def _draw(shard: Shard, shape: tuple[int, ...]) -> Tensor:
    """Return the shard of normal weights that are the same for any number of processes.

    Every process draws all rows, a few at once, and keeps its own; torch's global generator stands
    the same after it on all.
    """
    own = torch.empty(shard.stop - shard.start, *shape)
    for low in range(0, shard.num_rows, _DRAWN_AT_ONCE):
        high = min(low + _DRAWN_AT_ONCE, shard.num_rows)
        drawn = torch.empty(high - low, *shape).normal_(std=1.0 / math.sqrt(shape[-1]))
        first, last = max(low, shard.start), min(high, shard.stop)
        if first < last:
            own[first - shard.start : last - shard.start] = drawn[first - low : last - low]
    return own


def _grown(epoch: float, epochs: float) -> float:
    """Return how much of a linear warm-up over ``epochs`` is done after ``epoch``."""
    return min(max(epoch / epochs, 0.0), 1.0) if epochs else 1.0


def _check(num_landmarks: int, shard: Shard, *, smooths: bool, bends: bool) -> None:
    if num_landmarks < 2:
        raise CairnError(
            f"{num_landmarks} landmark(s) to learn from; a head needs at least two",
            where="the train rows of the manifest",
            todo="add landmarks to the manifest's train rows",
        )
    if shard.num_rows != num_landmarks:
        raise CairnError(f"a shard of {shard.num_rows} rows, for {num_landmarks}", where="head")
    if smooths and bends:
        raise CairnError(
            "label smoothing pulls against a margin",
            where="head",
            todo="use it with Softmax or NormalizedSoftmax",
        )
