"""Local features: the formula, the matcher on warped and rendered photographs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cairn import images
from cairn.domain import Neighbors
from cairn.errors import CairnError
from cairn.rerank import local
from cairn.rerank.local import LocalMatcher
from cairn.rerank.verification import inliers_between, verify
from cairn.rerank.voting import sum_votes
from cairn.world import render_photo
from cairn.world.dataset import generator
from cairn.world.setting import place
from cairn.world.structures import draw_structure

cv2: Any = pytest.importorskip("cv2", reason="OpenCV is not installed")

Bytes = NDArray[np.uint8]


def scene(seed: int, side: int = 256) -> Bytes:
    """Return an RGB picture of boxes and dots, as no other seed has them."""
    rng = np.random.default_rng(seed)
    pixels = np.full((side, side, 3), 128, np.uint8)
    for _ in range(60):
        (x, y), (w, h) = rng.integers(0, side, 2).tolist(), rng.integers(6, 50, 2).tolist()
        colour = [int(c) for c in rng.integers(0, 256, 3)]
        cv2.rectangle(pixels, (x, y), (x + w, y + h), colour, -1)
        cv2.circle(pixels, (y, x), w // 4, [255 - c for c in colour], -1)
    return pixels


def warped(pixels: Bytes, seed: int) -> Bytes:
    """Return the picture from another place, in other light."""
    rng = np.random.default_rng(seed)
    side = len(pixels)
    corners = np.asarray([[0, 0], [side, 0], [side, side], [0, side]], np.float32)
    moved = corners + rng.uniform(-0.12, 0.12, (4, 2)).astype(np.float32) * side
    view = cv2.warpPerspective(
        pixels, cv2.getPerspectiveTransform(corners, moved), (side, side), borderValue=(90, 90, 90)
    )
    light = view * rng.uniform(0.7, 1.1) + rng.normal(0, 4, view.shape)
    return np.asarray(np.clip(light, 0, 255), np.uint8)


def test_the_score_r3_by_hand() -> None:
    found = Neighbors(
        np.asarray([[2, 0, 1, 3], [1, 2, -1, -1]]),
        np.asarray([[0.9, 0.8, 0.7, 0.6], [0.5, 0.4, -np.inf, -np.inf]], np.float32),
    )
    table = np.asarray([[0, 45, 180, 0], [0, 9, 0, 0], [9, 9, 9, 9]])
    asked: list[tuple[int, int]] = []

    def inliers(query: int, row: int) -> int:
        asked.append((query, row))
        return int(table[query, row])

    answer = verify(found, inliers, num_hits=3)
    assert asked == [(0, 2), (0, 0), (0, 1), (1, 1), (1, 2)]
    assert answer.indices.tolist() == [[2, 1, 0, 3], [1, 2, -1, -1]]
    wanted = [[0.9 + 1, 0.7 + 0.5, 0.8, 0.6], [0.5 + 0.1, 0.4, -np.inf, -np.inf]]
    np.testing.assert_allclose(answer.similarities, wanted, atol=1e-6)
    strict = verify(found, inliers, num_hits=3, least=10, most=60, weight=0.5)
    wanted = [[0.9 + 0.5, 0.8, 0.7 + 0.5 * 45 / 60, 0.6], [0.5, 0.4, -np.inf, -np.inf]]
    by_score = [[wanted[0][at] for at in (0, 2, 1, 3)], wanted[1]]  # 9 inliers are too few
    np.testing.assert_allclose(strict.similarities, by_score, atol=1e-6)
    votes = sum_votes(answer, np.asarray([4, 6, 6, 6]), num_hits=3)
    assert votes.landmarks[0].tolist() == [6, 4, -1]
    np.testing.assert_allclose(votes.scores[0, :2], [1.9 + 1.2, 0.8], atol=1e-6)


@pytest.mark.parametrize(
    ("features", "geometry"),
    [("sift", "homography"), ("sift", "fundamental"), ("orb", "homography")],
)
def test_the_same_scene_has_many_inliers_and_another_few(features: Any, geometry: Any) -> None:
    matcher = LocalMatcher(features=features, geometry=geometry)
    scenes = [scene(seed) for seed in range(3)]
    counts = np.asarray(
        [[matcher(warped(one, 7 + at), other) for other in scenes] for at, one in enumerate(scenes)]
    )
    same, other = np.diag(counts), counts[~np.eye(3, dtype=np.bool_)]
    assert same.min() >= 30
    assert other.max() <= 15
    assert same.min() > 3 * other.max()
    assert counts[0, 0] == matcher(warped(scenes[0], 7), scenes[0])  # the same again


def test_rendered_photographs_of_one_landmark_match() -> None:
    places = []
    for number in (2, 3):
        rng = generator(3, 0, number)
        places.append(place(draw_structure(rng), rng))
    first, second = (
        [
            render_photo(one, generator(9, number, shot), size=320, variety=0.0)
            for number, one in enumerate(places, start=2)
        ]
        for shot in (0, 1)
    )
    matcher = LocalMatcher()
    counts = np.asarray([[matcher(one, other) for other in second] for one in first])
    assert np.diag(counts).min() >= 12
    assert counts[~np.eye(2, dtype=np.bool_)].max() <= 6


def test_files_are_read_once_and_features_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []
    for number in range(3):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(scene(number)).save(paths[-1])
    read: list[Path] = []
    decode = images.decode

    def counted(source: Path, **options: Any) -> Any:
        read.append(source)
        return decode(source, **options)

    monkeypatch.setattr(local, "decode", counted)
    matcher = LocalMatcher(num_kept=2)
    inliers = inliers_between(matcher, paths[:1], paths)
    assert inliers(0, 0) > inliers(0, 1)
    assert inliers(0, 0) == matcher(paths[0], paths[0])
    assert read == paths[:2]
    inliers(0, 2)  # 1 was used longest ago
    inliers(0, 0)
    assert read == paths
    inliers(0, 1)
    assert read == [*paths, paths[1]]


def test_photographs_without_features_have_no_inliers() -> None:
    matcher = LocalMatcher()
    plain = np.full((64, 64, 3), 90, np.uint8)
    assert matcher(plain, scene(0)) == 0
    assert matcher(scene(0), plain) == 0
    assert matcher(plain[:, :, 0], plain) == 0


def test_large_photographs_are_shrunk() -> None:
    big = np.asarray(Image.fromarray(scene(1)).resize((1024, 1024)))
    found = LocalMatcher(most_side=200).features_of(big)
    assert len(found.points) > 20
    assert found.points.max() < 200


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    with pytest.raises(CairnError, match="cannot be read: not an image") as caught:
        LocalMatcher()(tmp_path / "bad.jpg", scene(0))
    assert caught.value.where.endswith("bad.jpg")


def test_a_missing_opencv_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(CairnError, match="needs OpenCV") as caught:
        LocalMatcher()
    assert "cairn-landmarks[local]" in caught.value.todo
