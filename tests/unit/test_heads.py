import math

import numpy as np
import pytest
import torch
from pytorch_metric_learning.losses import ArcFaceLoss

from cairn.config import HeadConfig
from cairn.errors import CairnError
from cairn.heads import ArcFace, Softmax, add_angular_margin, build_head


def _inputs(seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(16, 32, generator=generator)
    labels = torch.randint(0, 10, (16,), generator=generator)
    return torch.nn.functional.normalize(embeddings).to(dtype), labels


@pytest.mark.parametrize(("scale", "margin"), [(30.0, 0.3), (64.0, 0.5), (16.0, 0.1)])
def test_arcface_loss_and_gradients_equal_the_reference(scale: float, margin: float) -> None:
    embeddings, labels = _inputs()
    ours = ArcFace(32, 10, scale=scale, margin=margin)
    reference = ArcFaceLoss(10, 32, margin=math.degrees(margin), scale=scale)
    with torch.no_grad():
        reference.W.copy_(ours.weight.T)
    ours_in = embeddings.clone().requires_grad_()
    reference_in = embeddings.clone().requires_grad_()
    ours(ours_in, labels).backward()
    loss = reference(reference_in, labels)
    loss.backward()
    torch.testing.assert_close(ours(embeddings, labels), loss.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours_in.grad, reference_in.grad, rtol=1e-3, atol=1e-5)
    assert ours.weight.grad is not None
    torch.testing.assert_close(ours.weight.grad, reference.W.grad.T, rtol=1e-3, atol=1e-5)


def test_arcface_equals_the_float64_formula() -> None:
    embeddings, labels = _inputs(1)
    head = ArcFace(32, 10, scale=20.0, margin=0.4)
    centers = head.weight.detach().double().numpy()
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    cosines = embeddings.double().numpy() @ centers.T
    theta = np.arccos(cosines)
    logits = 20 * cosines
    rows = np.arange(len(labels))
    logits[rows, labels] = 20 * np.cos(theta[rows, labels] + 0.4)
    expected = np.mean(np.log(np.exp(logits).sum(1)) - logits[rows, labels])
    assert float(head(embeddings, labels).detach()) == pytest.approx(expected, rel=1e-5)


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


def test_softmax_is_cross_entropy() -> None:
    embeddings, labels = _inputs(3)
    head = Softmax(32, 10, scale=4.0)
    assert head.bias is not None
    logits = 4.0 * embeddings @ head.weight.T + head.bias
    expected = torch.nn.functional.cross_entropy(logits, labels)
    torch.testing.assert_close(head(embeddings, labels), expected)


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
