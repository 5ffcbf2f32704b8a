"""A matcher of OpenCV's parts: SIFT or ORB features, a ratio test, and one geometry by RANSAC.

OpenCV is an extra: ``cairn-landmarks[local]``. Features of a photograph are kept while they are
among the last used.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.images import UnreadableImage, decode

if TYPE_CHECKING:
    from types import ModuleType

Photograph: TypeAlias = Path | NDArray[np.uint8]
"""A file, or (H, W) grey or (H, W, 3) RGB bytes."""

_FEWEST = {"homography": 4, "fundamental": 8}  # pairs that fix a geometry


@dataclass(frozen=True, eq=False)
class Features:
    """Local features of one photograph.

    Args:
        points: (N, 2) float32 x and y, in pixels.
        descriptors: (N, 128) float32 of SIFT, (N, 32) bytes of ORB.
    """

    points: Float32
    descriptors: NDArray[Any]


class LocalMatcher:
    """Counts inliers between two photographs; a ``Matcher``.

    Features are matched to the nearest of the other photograph and kept where the second nearest
    is clearly farther (Lowe 2004); of the pairs, those that fit the best geometry found by OpenCV's
    MAGSAC++ are inliers (Barath et al. 2020). SIFT's descriptors are taken as RootSIFT
    (Arandjelovic and Zisserman 2012). The same photographs give the same count.

    Args:
        features: "sift", or "orb", which is quicker and matches less.
        num_features: At most so many of a photograph, the strongest.
        ratio: Of the distances to nearest and second nearest, in (0, 1].
        geometry: "homography" (a plane or a far view) or "fundamental" (any two views).
        tolerance: Pixels that an inlier may be off.
        most_side: Photographs are shrunk to this longer side, in pixels; None for as they are.
        num_kept: Photographs whose features are kept.

    Raises:
        CairnError: OpenCV is missing.
    """

    def __init__(
        self,
        *,
        features: Literal["sift", "orb"] = "sift",
        num_features: int = 1000,
        ratio: float = 0.8,
        geometry: Literal["homography", "fundamental"] = "homography",
        tolerance: float = 4.0,
        most_side: int | None = 512,
        num_kept: int = 10_000,
    ) -> None:
        self._cv2 = _opencv()
        self.ratio, self.geometry, self.tolerance = ratio, geometry, tolerance
        self.most_side, self.num_kept = most_side, num_kept
        self._kept: OrderedDict[Hashable, Features] = OrderedDict()
        self._is_sift = features == "sift"
        if self._is_sift:
            self._detector: Any = self._cv2.SIFT_create(nfeatures=num_features)
        else:
            self._detector = self._cv2.ORB_create(nfeatures=num_features)
        norm = self._cv2.NORM_L2 if self._is_sift else self._cv2.NORM_HAMMING
        self._pairs = self._cv2.BFMatcher(norm)

    def __call__(self, one: Photograph, other: Photograph, /) -> int:
        """Return the number of inliers.

        Raises:
            CairnError: A file cannot be read.
        """
        return self.inliers(self.features_of(one), self.features_of(other))

    def features_of(self, image: Photograph) -> Features:
        """Return the features of a photograph; those of files are kept.

        Raises:
            CairnError: The file cannot be read.
        """
        if not isinstance(image, Path):
            return self._detect(image)
        found = self._kept.pop(image, None)
        if found is None:
            try:
                found = self._detect(np.asarray(decode(image, min_side=self.most_side)))
            except UnreadableImage as error:
                raise CairnError(
                    f"the photograph cannot be read: {error.reason}",
                    where=image,
                    todo="take it out of the gallery, or drop the stage that matches features",
                ) from None
        self._kept[image] = found
        while len(self._kept) > self.num_kept:
            self._kept.popitem(last=False)
        return found

    def inliers(self, one: Features, other: Features) -> int:
        """Return the number of pairs of features that agree on one geometry."""
        fewest = _FEWEST[self.geometry]
        if min(len(one.points), len(other.points)) < max(2, fewest):
            return 0
        pairs = self._pairs.knnMatch(one.descriptors, other.descriptors, k=2)
        good = [first for first, second in pairs if first.distance < self.ratio * second.distance]
        # Several features of one photograph may match one of the other: the nearest keeps it.
        nearest: dict[int, Any] = {}
        for match in good:
            held = nearest.get(match.trainIdx)
            if held is None or match.distance < held.distance:
                nearest[match.trainIdx] = match
        if len(nearest) < fewest:
            return 0
        matches = list(nearest.values())
        here = one.points[[match.queryIdx for match in matches]]
        there = other.points[[match.trainIdx for match in matches]]
        self._cv2.setRNGSeed(0)
        if self.geometry == "homography":
            _, mask = self._cv2.findHomography(
                here, there, self._cv2.USAC_MAGSAC, self.tolerance, maxIters=2000
            )
        else:
            _, mask = self._cv2.findFundamentalMat(
                here, there, self._cv2.USAC_MAGSAC, self.tolerance, 0.999, 2000
            )
        return 0 if mask is None else int(np.count_nonzero(mask))

    def _detect(self, pixels: NDArray[np.uint8]) -> Features:
        if pixels.ndim == 3:
            pixels = self._cv2.cvtColor(np.ascontiguousarray(pixels), self._cv2.COLOR_RGB2GRAY)
        longer = max(pixels.shape)
        if self.most_side is not None and longer > self.most_side:
            scale = self.most_side / longer
            pixels = self._cv2.resize(
                pixels, None, fx=scale, fy=scale, interpolation=self._cv2.INTER_AREA
            )
        keypoints, descriptors = self._detector.detectAndCompute(pixels, None)
        points = np.asarray([point.pt for point in keypoints], dtype=np.float32).reshape(-1, 2)
        if descriptors is None:
            descriptors = np.empty((0, 128 if self._is_sift else 32), np.float32)
        elif self._is_sift:
            sums = np.maximum(np.abs(descriptors).sum(axis=1, keepdims=True), 1e-12)
            descriptors = np.sqrt(descriptors / sums)
        return Features(points, descriptors)


def _opencv() -> ModuleType:
    try:
        import cv2
    except ImportError:
        raise CairnError(
            "matching local features needs OpenCV, which is not installed",
            todo="pip install 'cairn-landmarks[local]' (opencv-python-headless)",
        ) from None
    return cv2
