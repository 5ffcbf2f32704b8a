"""The way from photograph to input: geometry and colours on pictures whose answer is known."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image

from cairn.augment import (
    LUMA,
    Box,
    _random_box,
    change_batch,
    change_table,
    cut,
    decode_side,
    decode_size,
    draw_change,
    eval_transform,
    normalisation,
)
from cairn.config import AugmentConfig, Preprocess
from cairn.domain import Float32
from cairn.pixels import change_pixels

PLAIN = AugmentConfig(
    crop_scale=(1.0, 1.0),
    crop_ratio=(1.0, 1.0),
    flip=0,
    brightness=0,
    contrast=0,
    saturation=0,
    erase=0,
)
RAW = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def train_transform(
    preprocess: Preprocess, config: AugmentConfig
) -> Callable[[Image.Image, np.random.Generator], Float32]:
    """Return the training's way from photograph to input, (3, S, S).

    The batch's way and the compiled one are compared wherever it is used.
    """

    def transform(image: Image.Image, generator: np.random.Generator) -> Float32:
        change = draw_change(preprocess, config, generator)
        pixels, table = cut(image, change.box, preprocess), change_table([change])
        batch = change_batch(torch.from_numpy(pixels)[None], torch.from_numpy(table), preprocess)
        assert batch.is_contiguous(memory_format=torch.channels_last)
        side = preprocess.image_size
        compiled = np.full((side, side, 3), np.nan, dtype=np.float32)
        luma = np.array(LUMA, dtype=np.float32)
        change_pixels(pixels, table[0], luma, *normalisation(preprocess), compiled)
        array: Float32 = batch[0].numpy()
        np.testing.assert_allclose(compiled.transpose(2, 0, 1), array, atol=3e-6, rtol=1e-5)
        return array

    return transform


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(width: int, height: int) -> Image.Image:
    pixels = rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def flat(colour: tuple[int, int, int], size: tuple[int, int] = (60, 40)) -> Image.Image:
    return Image.new("RGB", size, colour)


@pytest.mark.parametrize("resize", ["squash", "crop", "both"])
def test_a_flat_picture_gives_its_colour_normalised(resize: str) -> None:
    preprocess = Preprocess.model_validate({"image_size": 16, "resize": resize})
    array = eval_transform(preprocess)(flat((255, 0, 51)))
    assert array.shape == preprocess.input_shape
    assert array.dtype == np.float32
    assert array.flags.c_contiguous
    expected = (np.array([1, 0, 0.2]) - preprocess.mean) / preprocess.std
    channels = array.reshape(-1, 3, 16 * 16)
    np.testing.assert_allclose(
        channels, np.broadcast_to(expected[:, None], channels.shape), atol=1e-5
    )


def test_squash_shows_all_and_crop_the_middle() -> None:
    """Three stripes, 20 pixels each: the centre crop of 60 x 20 is the middle one."""
    image = flat((255, 0, 0))
    image = image.resize((60, 20))
    image.paste((0, 255, 0), (20, 0, 40, 20))
    image.paste((0, 0, 255), (40, 0, 60, 20))
    squash = eval_transform(Preprocess(image_size=20, resize="squash", **RAW))(image)
    crop = eval_transform(Preprocess(image_size=20, resize="crop", **RAW))(image)
    both = eval_transform(Preprocess(image_size=20, resize="both", **RAW))(image)
    np.testing.assert_allclose(squash[:, 10, [2, 10, 17]], np.eye(3), atol=1e-6)
    np.testing.assert_allclose(crop[1], 1, atol=1e-6)
    np.testing.assert_allclose(crop[[0, 2]], 0, atol=1e-6)
    np.testing.assert_array_equal(both, np.stack([crop, squash]))


@pytest.mark.parametrize("size", [(90, 60), (61, 83), (256, 64)])
@pytest.mark.parametrize("crop_pct", [1.0, 0.875])
def test_the_centre_crop_is_torchvision_s(size: tuple[int, int], crop_pct: float) -> None:
    from torchvision import transforms

    preprocess = Preprocess(image_size=32, resize="crop", crop_pct=crop_pct, **RAW)
    image = noise(*size)
    usual = transforms.Compose(
        [
            transforms.Resize(int(32 / crop_pct)),
            transforms.CenterCrop(32),
            transforms.ToTensor(),
        ]
    )
    np.testing.assert_allclose(eval_transform(preprocess)(image), usual(image), atol=2.01 / 255)


def test_a_strip_s_centre_crop_is_its_middle() -> None:
    image = flat((0, 0, 0), (4000, 4))
    image.paste((255, 255, 255), (1990, 0, 2010, 4))
    preprocess = Preprocess(image_size=16, resize="crop", **RAW)
    np.testing.assert_array_equal(eval_transform(preprocess)(image), 1)


def test_crop_pct_keeps_its_share_of_the_shorter_side() -> None:
    """A white square of 20 in a black 40 x 80: half of the shorter side is all white."""
    image = flat((0, 0, 0), (80, 40))
    image.paste((255, 255, 255), (30, 10, 50, 30))
    half = Preprocess(image_size=20, resize="crop", crop_pct=0.5, **RAW)
    np.testing.assert_array_equal(eval_transform(half)(image), 1)
    whole = half.model_copy(update={"crop_pct": 1.0})
    assert eval_transform(whole)(image).mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_training_without_changes_is_the_evaluation_s_squash(interpolation: str) -> None:
    preprocess = Preprocess.model_validate({"image_size": 24, "interpolation": interpolation})
    image = noise(70, 50)
    trained = train_transform(preprocess, PLAIN)(image, rng())
    np.testing.assert_allclose(trained, eval_transform(preprocess)(image), atol=1e-6)


@pytest.mark.parametrize("resize", ["squash", "crop", "both"])
def test_training_shows_one_view_and_the_generator_decides_all(resize: str) -> None:
    preprocess = Preprocess.model_validate({"image_size": 16, "resize": resize})
    change = train_transform(preprocess, AugmentConfig())
    image = noise(50, 40)
    first, again, other = (change(image, rng(seed)) for seed in (1, 1, 2))
    assert first.shape == (3, 16, 16)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_flip_mirrors() -> None:
    preprocess = Preprocess(image_size=16)
    change = train_transform(preprocess, PLAIN.model_copy(update={"flip": 1.0}))
    image = noise(40, 40)
    expected = eval_transform(preprocess)(image)[:, :, ::-1]
    np.testing.assert_allclose(change(image, rng()), expected, atol=1e-6)


def changed(image: Image.Image, seed: int, **settings: float) -> np.ndarray:
    config = PLAIN.model_copy(update=settings)
    return train_transform(Preprocess(image_size=16, **RAW), config)(image, rng(seed))


def test_brightness_scales_and_stays_within_its_range() -> None:
    values = [changed(flat((100, 100, 100)), seed, brightness=0.3) for seed in range(40)]
    assert all(np.ptp(value) < 1e-6 for value in values)
    factors = np.array([value[0, 0, 0] / (100 / 255) for value in values])
    assert 0.7 <= factors.min() < 0.8 < 1.2 < factors.max() <= 1.3
    assert changed(flat((250, 250, 250)), 1, brightness=0.9).max() <= 1


def test_contrast_and_saturation_leave_a_flat_grey_alone() -> None:
    for seed in range(5):
        value = changed(flat((100, 100, 100)), seed, contrast=0.9, saturation=0.9)
        np.testing.assert_allclose(value, 100 / 255, atol=1e-5)


def test_contrast_spreads_about_the_mean() -> None:
    image = flat((100, 100, 100))
    image.paste((140, 140, 140), (0, 0, 30, 40))
    for seed in range(5):
        value = changed(image, seed, contrast=0.5)
        assert value.mean() == pytest.approx(120 / 255, abs=2e-3)
        spread = (value[0, 0, 0] - value[0, 0, -1]) * 255 / 40
        assert 0.5 <= spread <= 1.5
        assert spread != pytest.approx(1, abs=1e-3)


def test_grayscale_is_the_luma_of_the_colour() -> None:
    value = changed(flat((200, 100, 50)), 0, grayscale=1.0)
    luma = (0.299 * 200 + 0.587 * 100 + 0.114 * 50) / 255
    np.testing.assert_allclose(value, luma, atol=1e-5)


def test_a_blanked_rectangle_has_the_mean_colour() -> None:
    preprocess = Preprocess(image_size=40)
    change = train_transform(preprocess, PLAIN.model_copy(update={"erase": 1.0}))
    image = flat((255, 255, 255))
    for seed in range(30):
        blank = (change(image, rng(seed)) == 0).all(axis=0)
        rows, columns = np.flatnonzero(blank.any(axis=1)), np.flatnonzero(blank.any(axis=0))
        assert blank[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all(), "a rectangle"
        assert blank.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        assert 0.01 < blank.mean() < 0.3


@pytest.mark.parametrize("scale", [(0.001, 0.01), (0.5, 1.0), (1.0, 1.0)])
def test_the_box_lies_within_the_photograph(scale: tuple[float, float]) -> None:
    config = AugmentConfig(crop_scale=scale)
    for seed in range(50):
        left, top, right, low = _random_box(config, rng(seed))
        assert 0 <= left < right <= 1
        assert 0 <= top < low <= 1
        share = (right - left) * (low - top)
        assert scale[0] * 0.8 - 1e-9 <= share <= scale[1] + 1e-9


def test_the_box_s_shape_follows_its_ratio() -> None:
    boxes: list[Box] = [
        _random_box(AugmentConfig(crop_scale=(0.25, 0.25)), rng(seed)) for seed in range(300)
    ]
    ratios = np.array([(right - left) / (low - top) for left, top, right, low in boxes])
    assert 0.75 <= ratios.min() < 0.8
    assert 1.25 < ratios.max() <= 1.3334
    lefts = np.array([box[0] for box in boxes])
    assert lefts.min() < 0.05
    assert lefts.max() > 0.4


def test_a_crop_is_taken_from_its_place() -> None:
    """A 4 x 2 chequerboard of flat tiles: a tile's box gives its colour and no other's."""
    image = Image.new("RGB", (80, 40))
    for column, row in product(range(4), range(2)):
        colour = (60 * column, 200 * row, 7)
        image.paste(colour, (20 * column, 20 * row, 20 * column + 20, 20 * row + 20))
    for column, row in product(range(4), range(2)):
        box = (column / 4, row / 2, (column + 1) / 4, (row + 1) / 2)
        pixels = cut(image, box, Preprocess(image_size=16))
        assert pixels.shape == (3, 16, 16)
        expected = np.broadcast_to(
            np.array([60 * column, 200 * row, 7])[:, None, None], (3, 16, 16)
        )
        np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(90, 70), (20, 70), (9, 12)])
def test_resampling_is_pillow_s(interpolation: str, size: tuple[int, int]) -> None:
    """To rounding: bicubic weights are negative too, and each pass of noise is clipped to bytes."""
    preprocess = Preprocess.model_validate({"image_size": 24, "interpolation": interpolation})
    image = noise(*size)
    found = cut(image, (0.0, 0.0, 1.0, 1.0), preprocess).transpose(1, 2, 0).astype(int)
    kind = Image.Resampling[interpolation.upper()]
    expected = np.asarray(image.resize((24, 24), kind)).astype(int)
    difference = np.abs(found - expected)
    assert difference.max() <= {"bilinear": 2, "bicubic": 8}[interpolation]
    assert difference.mean() < 0.6


def test_a_photograph_s_change_does_not_hang_on_its_company() -> None:
    preprocess = Preprocess(image_size=16)
    changes = [draw_change(preprocess, AugmentConfig(), rng(seed)) for seed in range(5)]
    pixels = torch.from_numpy(rng(9).integers(0, 256, (5, 3, 16, 16), dtype=np.uint8))
    together = change_batch(pixels, torch.from_numpy(change_table(changes)), preprocess)
    for i, change in enumerate(changes):
        alone = change_batch(
            pixels[i : i + 1], torch.from_numpy(change_table([change])), preprocess
        )
        assert torch.equal(alone[0], together[i])
    none = change_batch(pixels[:0], torch.from_numpy(change_table([])), preprocess)
    assert none.shape == (0, 3, 16, 16)


@pytest.mark.parametrize(
    ("size", "resize"),
    list(product([(1, 1), (1, 900), (900, 1), (2, 3)], ["squash", "crop", "both"])),
)
def test_pictures_of_hardly_a_pixel_have_an_input(size: tuple[int, int], resize: str) -> None:
    preprocess = Preprocess.model_validate(
        {"image_size": 16, "resize": resize, "crop_pct": 0.8, **RAW}
    )
    image = flat((255, 255, 255), size)
    np.testing.assert_allclose(eval_transform(preprocess)(image), 1, atol=1e-5)
    change = train_transform(preprocess, AugmentConfig(crop_scale=(0.01, 0.1)))
    for seed in range(10):
        assert np.isfinite(change(image, rng(seed))).all()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"resize": "squash"}, 130),
        ({"resize": "squash", "crop_pct": 0.5}, 130),
        ({"resize": "crop", "crop_pct": 0.8}, 163),
        ({"resize": "both", "crop_pct": 0.8}, 163),
    ],
)
def test_the_decoder_keeps_the_detail_that_is_looked_at(
    settings: dict[str, object], expected: int
) -> None:
    preprocess = Preprocess.model_validate({"image_size": 100, **settings})
    assert decode_side(preprocess) == expected


def test_the_decoder_keeps_the_detail_of_the_crop() -> None:
    """But for an eighth, by which a training crop may be enlarged."""
    assert decode_size(Preprocess(image_size=160), (0.25, 0.0, 0.75, 1.0)) == (280, 140)
