"""Heads of one process, against pytorch-metric-learning and against plain float64 formulas."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_metric_learning.losses import (
    ArcFaceLoss,
    CosFaceLoss,
    NormalizedSoftmaxLoss,
    SubCenterArcFaceLoss,
)
from torch.nn import functional as F

from cairn.config import HeadConfig
from cairn.errors import CairnError
from cairn.heads import (
    ArcFace,
    CosFace,
    Head,
    HeadOptions,
    NormalizedSoftmax,
    Softmax,
    SubCenterArcFace,
    add_angular_margin,
    build_head,
)

COUNTS = np.array([90, 40, 17, 9, 5, 3, 2, 2, 1, 1])
EXTRAS = {"logit_adjustment": 0.7, "class_weights": "log"}
CASES: dict[str, dict[str, Any]] = {
    "softmax": {"kind": "softmax", "scale": 4.0},
    "softmax, all": {"kind": "softmax", "scale": 4.0, "label_smoothing": 0.1, **EXTRAS},
    "normalized": {"kind": "normalized-softmax", "scale": 12.0},
    "normalized, all": {"kind": "normalized-softmax", "label_smoothing": 0.2, **EXTRAS},
    "normalized, centers": {"kind": "normalized-softmax", "centers": 2},
    "arcface": {"kind": "arcface", "scale": 20.0, "margin": 0.4},
    "arcface, all": {"kind": "arcface", "size_margin": (0.05, 0.5), **EXTRAS},
    "cosface": {"kind": "cosface", "margin": 0.35},
    "cosface, centers": {"kind": "cosface", "centers": 3, "size_margin": (0.1, 0.4)},
    "sub-centers": {"kind": "arcface", "centers": 3, **EXTRAS},
}


def _inputs(seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(16, 32, generator=generator)
    labels = torch.randint(0, 10, (16,), generator=generator)
    return torch.nn.functional.normalize(embeddings).to(dtype), labels


@pytest.mark.parametrize(
    ("ours", "reference"),
    [
        (
            ArcFace(32, 10, scale=30.0, margin=0.3),
            ArcFaceLoss(10, 32, margin=math.degrees(0.3), scale=30),
        ),
        (
            ArcFace(32, 10, scale=64.0, margin=0.5),
            ArcFaceLoss(10, 32, margin=math.degrees(0.5), scale=64),
        ),
        (
            ArcFace(32, 10, scale=8.0, margin=2.5),
            ArcFaceLoss(10, 32, margin=math.degrees(2.5), scale=8),
        ),
        (CosFace(32, 10, scale=30.0, margin=0.35), CosFaceLoss(10, 32, margin=0.35, scale=30)),
        (NormalizedSoftmax(32, 10, scale=20.0), NormalizedSoftmaxLoss(10, 32, temperature=0.05)),
        (
            SubCenterArcFace(32, 10, scale=30.0, margin=0.3),
            SubCenterArcFaceLoss(
                num_classes=10, embedding_size=32, margin=math.degrees(0.3), scale=30, sub_centers=3
            ),
        ),
    ],
    ids=["arcface", "arcface s=64", "arcface m=2.5", "cosface", "normalized", "sub-centers"],
)
def test_loss_and_gradients_equal_the_reference(ours: Head, reference: torch.nn.Module) -> None:
    embeddings, labels = _inputs()
    assert isinstance(reference.W, torch.nn.Parameter)
    with torch.no_grad():
        reference.W.copy_(ours.weight.flatten(0, -2).T)
    ours_in = embeddings.clone().requires_grad_()
    reference_in = embeddings.clone().requires_grad_()
    found, expected = ours(ours_in, labels), reference(reference_in, labels)
    found.backward()
    expected.backward()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours_in.grad, reference_in.grad, rtol=1e-3, atol=1e-5)
    assert ours.weight.grad is not None
    assert reference.W.grad is not None
    torch.testing.assert_close(
        ours.weight.grad.flatten(0, -2), reference.W.grad.T, rtol=1e-3, atol=1e-5
    )


def _plain_loss(
    config: HeadConfig,
    x: torch.Tensor,
    w: torch.Tensor,
    b: torch.Tensor | None,
    labels: torch.Tensor,
) -> torch.Tensor:
    """Return the loss by the formulas of the papers, in float64 and with every matrix built."""
    sizes = torch.from_numpy(COUNTS).double()
    true = F.one_hot(labels, len(sizes)).bool()
    if b is not None:
        logits = config.scale * x @ w.T + b
    else:
        nearest = torch.einsum("bd,lkd->blk", F.normalize(x), F.normalize(w, dim=-1)).amax(-1)
        margins = torch.full_like(sizes, config.margin)
        if config.size_margin is not None:
            low, high = config.size_margin
            u = sizes**-config.size_power
            margins = (high - low) * (u - u.min()) / (u.max() - u.min()) + low
        changed = nearest
        if config.kind == "arcface":
            changed = torch.cos(torch.acos(nearest) + margins)
        if config.kind == "cosface":
            changed = nearest - margins
        logits = config.scale * torch.where(true, changed, nearest)
    logits = logits + config.logit_adjustment * (sizes / sizes.sum()).log()
    smooth = config.label_smoothing
    targets = true * (1 - smooth) + smooth / len(sizes)
    losses = -(targets * logits.log_softmax(1)).sum(1)
    weights = torch.ones_like(sizes)
    if config.class_weights == "log":
        weights = 1 / (1 + sizes).log()
        weights = weights / ((weights * sizes).sum() / sizes.sum())
    return (losses * weights[labels]).mean()


@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradients_equal_the_float64_formula(name: str) -> None:
    config = HeadConfig.model_validate(CASES[name])
    torch.manual_seed(5)
    head = build_head(config, 32, COUNTS)
    embeddings, labels = _inputs(1)
    given = embeddings.clone().requires_grad_()
    loss = 0.5 * head(given, labels)
    loss.backward()
    plain = [given, *head.parameters()]
    x, w, *b = (value.detach().double().requires_grad_() for value in plain)
    centers = w if b or w.ndim == 3 else w[:, None]
    expected = _plain_loss(config, x, centers, b[0] if b else None, labels)
    (0.5 * expected).backward()  # type: ignore[no-untyped-call]
    assert float(head(embeddings, labels).detach()) == pytest.approx(
        float(expected.detach()), rel=1e-5
    )
    for ours, reference in zip(plain, (x, w, *b), strict=True):
        assert ours.grad is not None
        assert reference.grad is not None
        torch.testing.assert_close(ours.grad.double(), reference.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_no_nan_at_cosine_of_one(sign: float) -> None:
    head = ArcFace(8, 4, margin=0.5)
    embeddings = torch.nn.functional.normalize(sign * head.weight.detach()).requires_grad_()
    loss = head(embeddings, torch.arange(4))
    loss.backward()
    assert torch.isfinite(loss)
    assert embeddings.grad is not None
    assert head.weight.grad is not None
    assert torch.isfinite(embeddings.grad).all()
    assert torch.isfinite(head.weight.grad).all()


def test_bfloat16_embeddings_give_the_float32_loss() -> None:
    embeddings, labels = _inputs(2)
    head = ArcFace(32, 10)
    exact = head(embeddings, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = head(embeddings.bfloat16(), labels)
    assert rounded.dtype == torch.float32
    assert float(rounded.detach()) == pytest.approx(float(exact.detach()), rel=0.02)


def test_margin_lowers_the_logit_everywhere_and_monotonically() -> None:
    cosines = torch.linspace(-1, 1, 4001)
    margined = add_angular_margin(cosines, 0.5)
    assert (margined < cosines + 1e-6).all()
    steps = margined[1:] - margined[:-1]
    jump = steps.argmin()  # the one step down where cos(theta + m) meets its continuation
    assert (torch.cat([steps[:jump], steps[jump + 1 :]]) > 0).all()


@pytest.mark.parametrize("kind", ["arcface", "softmax"])
def test_labels_must_be_int64(kind: str) -> None:
    head = build_head(HeadConfig.model_validate({"kind": kind}), 32, np.full(10, 2))
    with pytest.raises(CairnError, match="int64"):
        head(_inputs()[0], torch.zeros(16, dtype=torch.int32))


def test_one_landmark_is_refused() -> None:
    with pytest.raises(CairnError, match="at least two"):
        build_head(HeadConfig(), 32, np.ones(1, np.int64))


def test_many_landmarks_are_counted_in_int64() -> None:
    head = ArcFace(4, 70_000)
    labels = torch.tensor([69_999, 65_505])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = head(torch.nn.functional.normalize(torch.randn(2, 4)), labels)
    assert torch.isfinite(loss)


def test_centres_are_placed_at_mean_directions() -> None:
    head = ArcFace(2, 3)
    drawn = head.weight[1].tolist()
    head.place(np.array([[1, 0], [0, 1], [0, -1]], np.float32), np.array([0, 0, 2]))
    half = 0.5**0.5
    assert max(map(abs, drawn)) > 0
    torch.testing.assert_close(head.weight.data, torch.tensor([[half, half], drawn, [0, -1]]))


@pytest.mark.parametrize("name", ["softmax, all", "arcface, all", "sub-centers"])
def test_parts_weighted_by_their_size_add_up_to_the_batch(name: str) -> None:
    head = build_head(HeadConfig.model_validate(CASES[name]), 32, COUNTS)
    embeddings, labels = _inputs(7)
    head(embeddings, labels).backward()
    whole = [p.grad.clone() for p in head.parameters() if p.grad is not None]
    head.zero_grad()
    for part in (slice(0, 5), slice(5, 5), slice(5, 16)):
        (head(embeddings[part], labels[part]) * (len(labels[part]) / 16)).backward()
    for before, parameter in zip(whole, head.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, before, rtol=1e-4, atol=1e-6)


def test_class_weights_average_to_one_over_the_photographs() -> None:
    head = build_head(HeadConfig(class_weights="log"), 8, np.array([0, 1, 30]))
    assert head.class_weights is not None
    weights = head.class_weights.double()
    assert float((weights * torch.tensor([1, 1, 30])).sum() / 32) == pytest.approx(1)
    assert float(weights[1] / weights[2]) == pytest.approx(math.log(31) / math.log(2))


def test_margins_by_size_span_the_range() -> None:
    head = build_head(HeadConfig(size_margin=(0.05, 0.5)), 8, np.array([1, 16, 256]))
    assert head.margins is not None
    # u = 1, 1/2, 1/4; (1/2 - 1/4) / (1 - 1/4) = 1/3
    torch.testing.assert_close(head.margins, torch.tensor([0.5, 0.2, 0.05]))
    equal = build_head(HeadConfig(size_margin=(0.05, 0.5)), 8, np.array([7, 7]))
    torch.testing.assert_close(equal.margins, torch.tensor([0.05, 0.05]))


def test_scale_and_margin_follow_the_epochs() -> None:
    settings = {"scale_start": 10, "scale_warmup_epochs": 4, "margin_warmup_epochs": 2}
    config = HeadConfig.model_validate({"scale": 30, "margin": 0.4, **settings})
    head = build_head(config, 32, COUNTS)
    embeddings, labels = _inputs(8)
    for epoch, scale, margin in ((0, 10, 0), (1, 15, 0.2), (2.5, 22.5, 0.4), (9, 30, 0.4)):
        head.set_epoch(epoch)
        fixed = ArcFace(32, 10, scale=scale, margin=margin)
        fixed.load_state_dict(head.state_dict())
        torch.testing.assert_close(head(embeddings, labels), fixed(embeddings, labels))


def test_what_is_counted_is_no_part_of_the_state() -> None:
    """So that rows alone are split and put together, and other settings take up the weights."""
    head = build_head(HeadConfig.model_validate(CASES["arcface, all"]), 8, COUNTS)
    assert list(head.state_dict()) == ["weight"]
    assert head.margins is not None
    assert dict(head.to("meta").named_buffers())["margins"].is_meta, "but it moves with the head"


def test_centres_of_one_landmark_begin_apart() -> None:
    head = SubCenterArcFace(2, 2, centers=2)
    drawn = head.weight[1].tolist()
    given = np.array([[1, 0], [0, 1], [1, 0], [0, 1], [0, -1]], np.float32)
    head.place(given, np.array([0, 0, 0, 0, 1]))
    torch.testing.assert_close(
        head.weight.data, torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, -1.0], drawn[1]]])
    )


def test_labels_beyond_the_landmarks_are_refused() -> None:
    head = ArcFace(32, 10)
    with pytest.raises(CairnError, match="labels from 0 to 10"):
        head(_inputs()[0], torch.arange(16) % 11)


def test_smoothing_beside_a_margin_is_refused() -> None:
    with pytest.raises(CairnError, match="pulls against a margin"):
        CosFace(8, 4, options=HeadOptions(label_smoothing=0.1))
    assert NormalizedSoftmax(8, 4, options=HeadOptions(label_smoothing=0.1))


def test_a_second_backward_pass_is_refused() -> None:
    """The gradient overwrote what the loss had kept: a silent second one would be wrong."""
    head = Softmax(32, 10)
    loss = head(*_inputs())
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


# -- sampled ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["arcface", "softmax"])
def test_a_sampled_step_compares_with_its_own_and_some_others(kind: str) -> None:
    config = HeadConfig.model_validate({"kind": kind, "sampled": 0.3, "logit_adjustment": 1.0})
    torch.manual_seed(9)
    head = build_head(config, 32, np.arange(1, 61))
    embeddings, labels = _inputs(10)  # 16 photographs; 0.3 of 60 are 18 landmarks
    loss = head(embeddings, labels)
    loss.backward()
    assert head.weight.grad is not None
    rows = head.weight.grad.abs().sum(1).nonzero().squeeze(1)
    assert len(rows) == 18
    assert set(labels.tolist()) < set(rows.tolist())
    full = build_head(config.model_copy(update={"sampled": 1.0}), 32, np.arange(1, 61))
    few = build_head(config.model_copy(update={"sampled": 1.0}), 32, np.ones(18, np.int64))
    assert full.offsets is not None
    few.offsets = full.offsets[rows]
    few.load_state_dict({name: value[rows] for name, value in head.state_dict().items()})
    torch.testing.assert_close(loss, few(embeddings, torch.searchsorted(rows, labels)))


def test_a_sample_is_drawn_again_from_the_same_random_state() -> None:
    head = build_head(HeadConfig(sampled=0.1), 32, np.full(500, 2))
    embeddings, labels = _inputs(11)
    state = torch.get_rng_state()
    first, other = head(embeddings, labels), head(embeddings, labels)
    torch.set_rng_state(state)
    assert torch.equal(head(embeddings, labels), first)
    assert not torch.equal(first, other)


def test_all_true_landmarks_fit_in_a_sample() -> None:
    head = build_head(HeadConfig(sampled=0.01), 32, np.full(40, 2))
    loss = head(torch.randn(60, 32), torch.arange(60) % 40)
    assert torch.isfinite(loss)
