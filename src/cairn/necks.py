"""Necks: pooled features (B, F) -> (B, D) before unit length is made.

Two of them are fitted in closed form from the training features, which on a few hundred
photographs beats learning them by gradient (docs/log.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cairn.config import ModelConfig
from cairn.errors import CairnError

_ROWS_AT_ONCE = 8192  # features in float64 at a time


class Center(nn.Module):
    """Subtract a stored mean: takes away what all photographs share."""

    mean: Tensor

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_features))

    def forward(self, features_BF: Tensor) -> Tensor:
        """Return the features less the mean."""
        return features_BF - self.mean

    def fit(self, features_NF: Tensor, labels_N: Tensor) -> None:
        """Store the mean of the training features."""
        self.mean.copy_(features_NF.mean(dim=0))


class Whitened(nn.Module):
    """A linear projection found in closed form: within-landmark whitening, then PCA.

    ``W = E^T S^(-1/2)`` with S the shrunk within-landmark covariance, each landmark weighing the
    same, and E the D main directions of the whitened training features; a relative of the learned
    whitening of Mikolajczyk and Matas (2007) and of linear discriminant analysis. It stays an
    ordinary affine layer, so training may go on from it.

    Args:
        num_features: F.
        dimension: D, at most F.
        shrinkage: Weight in (0, 1] of the mean variance against the covariance.
    """

    def __init__(self, num_features: int, dimension: int, *, shrinkage: float) -> None:
        super().__init__()
        self.shrinkage = shrinkage
        self.projection = nn.Linear(num_features, dimension)

    def forward(self, features_BF: Tensor) -> Tensor:
        """Return the projected features (B, D)."""
        projected: Tensor = self.projection(features_BF)
        return projected

    @torch.no_grad()
    def fit(self, features_NF: Tensor, labels_N: Tensor) -> None:
        """Set the projection from training features and their labels; -1 marks non-landmarks.

        Non-landmarks take part in the mean and in the main directions.

        Raises:
            CairnError: No landmark has two photographs, so nothing is known of what varies.
        """
        mean = features_NF.mean(dim=0, dtype=torch.float64)
        within = within_covariance(features_NF, labels_N)
        average = within.diagonal().mean()
        shrunk = (1 - self.shrinkage) * within + self.shrinkage * average * torch.eye(
            len(within), dtype=torch.float64, device=within.device
        )
        values, vectors = torch.linalg.eigh(shrunk)
        whitener = (vectors / values.clamp(min=1e-12).sqrt()) @ vectors.T
        scatter = torch.zeros_like(within)
        for block in torch.split(features_NF, _ROWS_AT_ONCE):
            whitened = (block.double() - mean) @ whitener
            scatter += whitened.T @ whitened
        _, directions = torch.linalg.eigh(scatter)
        dimension = self.projection.out_features
        main = directions.flip(1)[:, :dimension]
        weight = (whitener @ main).T
        self.projection.weight.copy_(weight)
        self.projection.bias.copy_(-(weight @ mean))


def within_covariance(features_NF: Tensor, labels_N: Tensor) -> Tensor:
    """Return the mean over landmarks of their covariance (F, F), float64.

    Landmarks with one photograph, and images without a landmark (label -1), tell nothing.
    """
    size, device = features_NF.shape[1], features_NF.device
    _, own_N, counts_L = torch.unique(labels_N, return_inverse=True, return_counts=True)
    usable_N = (labels_N >= 0) & (counts_L[own_N] >= 2)
    counted = len(torch.unique(own_N[usable_N]))
    if not counted:
        raise CairnError(
            "no landmark has two training photographs, so the neck cannot be fitted",
            where="model.neck = 'whitened'",
            todo="use model.neck = 'center' or 'linear'",
        )
    sums_LF = torch.zeros((len(counts_L), size), dtype=torch.float64, device=device)
    for block, own in zip(
        torch.split(features_NF, _ROWS_AT_ONCE), torch.split(own_N, _ROWS_AT_ONCE), strict=True
    ):
        sums_LF.index_add_(0, own, block.double())
    total = torch.zeros((size, size), dtype=torch.float64, device=device)
    for rows in torch.split(usable_N.nonzero()[:, 0], _ROWS_AT_ONCE):
        own, counts_N = own_N[rows], counts_L[own_N[rows], None]
        residual = features_NF[rows].double() - sums_LF[own] / counts_N
        residual /= (counts_N - 1).double().sqrt()  # so that each landmark weighs the same
        total += residual.T @ residual
    return total / counted


def build_neck(config: ModelConfig, num_features: int) -> nn.Module:
    """Return the neck that ``config`` names.

    Raises:
        CairnError: The dimension does not suit the neck.
    """
    if config.neck == "center" and config.dimension != num_features:
        raise CairnError(
            f"neck 'center' keeps the backbone's {num_features} dimensions, not {config.dimension}",
            where="model.dimension",
            todo=f"set model.dimension = {num_features}, or another model.neck",
        )
    if config.neck == "center":
        return Center(num_features)
    if config.neck == "whitened":
        if config.dimension > num_features:
            raise CairnError(
                f"neck 'whitened' can give at most {num_features} dimensions here",
                where="model.dimension",
            )
        return Whitened(num_features, config.dimension, shrinkage=config.shrinkage)
    return nn.Sequential(
        nn.Linear(num_features, config.dimension, bias=False), nn.BatchNorm1d(config.dimension)
    )
