"""The five heads by name: cosines or products, a margin or none.

Each is called with (embeddings, int64 labels) and returns the mean loss. Legend: L landmarks, D
dimensions, K centres, s scale, m margin.
"""

from __future__ import annotations

from torch import Tensor

from cairn.heads.head import Head, HeadOptions
from cairn.heads.margins import add_angular_margin, add_cosine_margin


class Softmax(Head):
    """Softmax cross-entropy of ``scale * W x + b``: the baseline that forgets the long tail."""

    def __init__(
        self,
        dimension: int,
        num_landmarks: int,
        *,
        scale: float = 1.0,
        options: HeadOptions | None = None,
    ) -> None:
        super().__init__(dimension, num_landmarks, scale=scale, linear=True, options=options)


class NormalizedSoftmax(Head):
    """Softmax cross-entropy of ``s * cos(theta)``; with K centres the nearest counts.

    Zhai and Wu, "Classification is a Strong Baseline for Deep Metric Learning", 2019.
    """

    def __init__(
        self,
        dimension: int,
        num_landmarks: int,
        *,
        scale: float = 30.0,
        centers: int = 1,
        options: HeadOptions | None = None,
    ) -> None:
        super().__init__(dimension, num_landmarks, scale=scale, centers=centers, options=options)


class ArcFace(Head):
    """Additive angular margin: the true landmark's logit is ``s * cos(theta + m)``.

    Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", 2019, eq. 3.
    m is in radians, one or one for each landmark; see `cairn.heads.add_angular_margin`.
    """

    def __init__(
        self,
        dimension: int,
        num_landmarks: int,
        *,
        scale: float = 30.0,
        margin: float | Tensor = 0.3,
        options: HeadOptions | None = None,
    ) -> None:
        super().__init__(
            dimension,
            num_landmarks,
            scale=scale,
            margin=margin,
            add_margin=add_angular_margin,
            options=options,
        )


class SubCenterArcFace(Head):
    """ArcFace with K centres a landmark, the nearest of which counts.

    Deng et al., "Sub-center ArcFace: Boosting Face Recognition by Large-Scale Noisy Web Faces",
    2020. ``weight`` is (L, K, D).
    """

    def __init__(
        self,
        dimension: int,
        num_landmarks: int,
        *,
        centers: int = 3,
        scale: float = 30.0,
        margin: float | Tensor = 0.3,
        options: HeadOptions | None = None,
    ) -> None:
        super().__init__(
            dimension,
            num_landmarks,
            scale=scale,
            centers=centers,
            margin=margin,
            add_margin=add_angular_margin,
            options=options,
        )


class CosFace(Head):
    """Additive cosine margin: the true landmark's logit is ``s * (cos(theta) - m)``.

    Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition", 2018, eq. 4; with K
    centres the nearest counts.
    """

    def __init__(
        self,
        dimension: int,
        num_landmarks: int,
        *,
        scale: float = 30.0,
        margin: float | Tensor = 0.35,
        centers: int = 1,
        options: HeadOptions | None = None,
    ) -> None:
        super().__init__(
            dimension,
            num_landmarks,
            scale=scale,
            centers=centers,
            margin=margin,
            add_margin=add_cosine_margin,
            options=options,
        )
