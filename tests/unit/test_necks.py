import pytest
import torch

from cairn.config import ModelConfig
from cairn.errors import CairnError
from cairn.necks import Center, Whitened, build_neck, within_covariance


def _clusters(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Ten landmarks in 6-d whose photographs vary mostly along the last two directions."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(10).repeat_interleave(20)
    centers = torch.randn(10, 6, generator=generator)
    noise = torch.randn(200, 6, generator=generator) * torch.tensor([0.1, 0.1, 0.1, 0.1, 4.0, 4.0])
    return centers[labels] + noise + 5.0, labels


def _hit_rate(embeddings: torch.Tensor, labels: torch.Tensor) -> float:
    unit = torch.nn.functional.normalize(embeddings)
    similarities = unit @ unit.T
    similarities.fill_diagonal_(-2)
    return float((labels[similarities.argmax(1)] == labels).float().mean())


def test_center_takes_away_the_mean() -> None:
    features, labels = _clusters()
    neck = Center(6)
    neck.fit(features, labels)
    torch.testing.assert_close(neck(features).mean(0), torch.zeros(6), atol=1e-4, rtol=0)


def test_within_covariance_weighs_landmarks_alike_and_skips_singles() -> None:
    features = torch.tensor([[0.0, 0], [2, 0], [0, 0], [0, 4], [0, 8], [9, 9]])
    labels = torch.tensor([0, 0, 1, 1, 1, 2])
    expected = (torch.tensor([[2.0, 0], [0, 0]]) + torch.tensor([[0.0, 0], [0, 16]])) / 2
    torch.testing.assert_close(within_covariance(features, labels), expected.double())


def test_within_covariance_is_the_plain_mean_of_covariances(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features, labels = _clusters()
    labels = labels[torch.randperm(200)]
    labels[:7] = -1
    plain = torch.stack([features[labels == i].double().T.cov() for i in range(10)]).mean(0)
    torch.testing.assert_close(within_covariance(features, labels), plain)
    whole = Whitened(6, 4, shrinkage=0.1)
    whole.fit(features, labels)
    monkeypatch.setattr("cairn.necks._ROWS_AT_ONCE", 13)
    torch.testing.assert_close(within_covariance(features, labels), plain)
    parted = Whitened(6, 4, shrinkage=0.1)
    parted.fit(features, labels)
    torch.testing.assert_close(parted.projection.weight.abs(), whole.projection.weight.abs())


def test_whitening_finds_landmarks_behind_large_variation() -> None:
    features, labels = _clusters()
    neck = Whitened(6, 4, shrinkage=0.01)
    neck.fit(features, labels)
    with torch.no_grad():
        whitened = neck(features)
    assert whitened.shape == (200, 4)
    assert _hit_rate(whitened, labels) > 0.95
    assert _hit_rate(features - features.mean(0), labels) < 0.75


def test_nonlandmarks_move_the_mean_and_no_covariance() -> None:
    features, labels = _clusters()
    others = torch.randn(100, 6) + 50.0
    everything = torch.cat([features, others])
    marks = torch.cat([labels, torch.full((100,), -1)])
    torch.testing.assert_close(
        within_covariance(everything, marks), within_covariance(features, labels)
    )
    neck = Whitened(6, 6, shrinkage=0.01)
    neck.fit(everything, marks)
    with torch.no_grad():
        torch.testing.assert_close(neck(everything).mean(0), torch.zeros(6), atol=1e-2, rtol=0)


def test_landmarks_of_one_photograph_each_cannot_be_whitened() -> None:
    with pytest.raises(CairnError, match="two training photographs"):
        Whitened(4, 2, shrinkage=0.2).fit(torch.randn(3, 4), torch.arange(3))


def test_whitened_refuses_more_dimensions_than_there_are() -> None:
    with pytest.raises(CairnError, match="at most 256"):
        build_neck(ModelConfig(neck="whitened", dimension=512), 256)
