from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from cairn.attention import (
    PlacedMap,
    context_masks,
    look,
    occlusion_map,
    overlay,
    overlay_signed,
    similarity_map,
    stage_masks,
)
from cairn.attention.placing import Steps, square, tiles, watching
from cairn.attention.views import shown
from cairn.augment import crop_box, eval_transform
from cairn.checkpoint import save_model
from cairn.config import ModelConfig, Preprocess
from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.layers import GlobalContext
from cairn.model import Embedder, build

SMALL = {"layers": (1, 2, 1, 1), "base_width": 64}


def embedder(side: int = 64, **settings: Any) -> Embedder:
    """An untrained embedder whose neck and norms are not at their start."""
    values = {"backbone": "resnext_small", "dimension": 24, "gc": False, **settings}
    if values["backbone"] == "resnext_small":
        values = {"backbone_args": SMALL, **values}
    preprocess = {"image_size": side, **values.pop("preprocess", {})}
    torch.manual_seed(3)
    model = build(ModelConfig.model_validate({**values, "preprocess": preprocess})).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "neck" in name or "norm" in name:
                value.add_(torch.randn_like(value), alpha=0.3)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):  # zero at a residual block's end, when fresh
                module.weight.fill_(1)
    return model


def grey(size: tuple[int, int], level: int = 124) -> Image.Image:
    return Image.new("RGB", size, (level, level - 8, level - 20))


def noisy(seed: int, size: tuple[int, int] = (90, 70)) -> Image.Image:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (size[1] // 10, size[0] // 10, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


class PatchSeer(nn.Module):
    """A backbone whose only feature that changes is how red a place is, seen through real layers.

    Padded convolutions of size 3 and stride 2, thrice: cells are centred 3.5 pixels from the middle
    of their tiles, as in a ResNet.
    """

    num_features = 2

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(2, 2, 3, stride=2, padding=1, bias=False) for _ in range(3)
        )
        kernel = torch.tensor([1.0, 2.0, 1.0])
        for layer in self.layers:
            layer.weight.data = torch.zeros(2, 2, 3, 3)
            for channel in (0, 1):
                layer.weight.data[channel, channel] = kernel[:, None] * kernel / 16

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        red = (images[:, :1] - images[:, 2:]).clamp(min=0)
        x = torch.cat([red, torch.ones_like(red)], dim=1)
        for layer in self.layers:
            x = layer(x)
        return x


def patch_seer(resize: str, side: int = 64, crop_pct: float = 0.875) -> Embedder:
    config = ModelConfig.model_validate(
        {
            "pool": "avg",
            "neck": "center",
            "dimension": 2,
            "gc": False,
            "preprocess": {"image_size": side, "resize": resize, "crop_pct": crop_pct},
        }
    )
    return Embedder(PatchSeer(), 2, config).eval()


def centre_of(map_HW: Float32) -> tuple[float, float]:
    """Return the (x, y) centre of what stands out, in pixels."""
    weights = np.nan_to_num(map_HW - np.nanmin(map_HW))
    weights = np.where(weights > 0.5 * weights.max(), weights, 0).astype(np.float64)
    y, x = np.mgrid[: map_HW.shape[0], : map_HW.shape[1]] + 0.5
    return float((x * weights).sum() / weights.sum()), float((y * weights).sum() / weights.sum())


def planted(size: tuple[int, int], at: tuple[int, int], half: int) -> Image.Image:
    image = grey(size)
    image.paste((255, 30, 20), (at[0] - half, at[1] - half, at[0] + half, at[1] + half))
    return image


@pytest.mark.parametrize("resize", ["squash", "crop", "both"])
@pytest.mark.parametrize(
    ("size", "at"),
    [((640, 640), (200, 420)), ((960, 480), (590, 150)), ((400, 1000), (130, 560))],
)
def test_a_planted_patch_is_found_where_it_is(
    resize: str, size: tuple[int, int], at: tuple[int, int]
) -> None:
    model = patch_seer(resize)
    image = planted(size, at, min(size) // 12)
    found = similarity_map(model, image, planted((300, 300), (150, 150), 140))
    assert found.method == "exact"
    x, y = centre_of(found.over(size))
    cell = max(size) / 8  # of the photograph, a cell at most
    assert abs(x - at[0]) < 0.2 * cell
    assert abs(y - at[1]) < 0.2 * cell


def test_the_camera_s_rotation_is_carried_out(tmp_path: Path) -> None:
    upright = planted((600, 400), (450, 120), 40)
    turned = upright.transpose(Image.Transpose.ROTATE_90)  # stored so; EXIF 6 turns it back
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    model = patch_seer("crop")
    match = planted((300, 300), (150, 150), 140)
    x, y = centre_of(similarity_map(model, tmp_path / "turned.jpg", match).over((600, 400)))
    assert abs(x - 450) < 15
    assert abs(y - 120) < 15
    buffer = io.BytesIO()
    upright.save(buffer, "PNG")
    with Image.open(tmp_path / "turned.jpg") as opened:
        for other in (opened, buffer.getvalue()):
            x, y = centre_of(similarity_map(model, other, match).over((600, 400)))
            assert (abs(x - 450) < 15, abs(y - 120) < 15) == (True, True)


def test_what_a_centre_crop_does_not_see_is_marked() -> None:
    found = similarity_map(patch_seer("crop"), planted((800, 400), (400, 200), 40), noisy(1))
    placed = found.over((800, 400))
    left, top, right, low = crop_box((800, 400), Preprocess(image_size=64, crop_pct=0.875))
    assert (top, low) == pytest.approx((1 / 16, 15 / 16), abs=0.02)
    assert (left, right) == pytest.approx((0.281, 0.719), abs=0.02)
    seen = ~np.isnan(placed)
    assert seen.mean() == pytest.approx((right - left) * (low - top), abs=0.01)
    assert not seen[200, 100]
    assert seen[200, 400]


EXACT: dict[str, dict[str, Any]] = {
    "gem": {"pool": "gem"},
    "average": {"pool": "avg", "gc": True},
    "gem-fixed, both views": {"pool": "gem-fixed", "preprocess": {"resize": "both"}},
    "centred": {"pool": "avg", "neck": "center", "dimension": 1024},
    "whitened": {"pool": "gem", "neck": "whitened"},
    "patch tokens": {
        "backbone": "vit_tiny_patch16_224",
        "backbone_args": {"embed_dim": 32, "depth": 2, "num_heads": 2},
        "pool": "avg",
    },
    "norm behind the tokens": {
        "backbone": "vit_tiny_patch16_224",
        "backbone_args": {
            "embed_dim": 32,
            "depth": 2,
            "num_heads": 2,
            "global_pool": "avg",
            "fc_norm": True,
        },
        "pool": "avg",
    },
    "norm behind the map": {
        "backbone": "convnext_atto",
        "backbone_args": {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)},
        "pool": "gem",
    },
    "channels last": {
        "backbone": "swin_tiny_patch4_window7_224",
        "backbone_args": {
            "embed_dim": 16,
            "depths": (2, 1),
            "num_heads": (1, 2),
            "window_size": 4,
        },
        "pool": "avg",
    },
}


@pytest.mark.parametrize("name", list(EXACT))
def test_the_places_add_up_to_the_similarity(name: str) -> None:
    model = embedder(**EXACT[name])
    query, match = noisy(1), noisy(2)
    found = similarity_map(model, query, match, method="exact")
    with torch.no_grad():
        vectors = [
            model(
                torch.stack([view.images[0] for view in shown(model, image)])[None]
                if len(shown(model, image)) > 1
                else shown(model, image)[0].images
            )[0]
            for image in (query, match)
        ]
    assert found.similarity == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-5)
    total = sum(float(part.values.sum()) for part in found.parts)
    assert total == pytest.approx(found.similarity, abs=1e-4)
    assert all(min(part.values.shape) > 1 for part in found.parts)
    placed = found.over((90, 70))
    assert placed.shape == (70, 90)
    if len(found.parts) == 1:
        assert float(np.nanmean(placed)) == pytest.approx(
            found.similarity, abs=0.25 * float(np.abs(placed).max())
        )


SEVERAL = {"scales": (0.5, 1.0), "flip": True, "resize": "both"}


def own_vector(model: Embedder, image: Image.Image) -> Tensor:
    """The embedding as `cairn embed` makes it."""
    batch = torch.from_numpy(eval_transform(model.preprocess)(image))[None]
    with torch.no_grad():
        return cast(Tensor, model(batch)[0])


@pytest.mark.parametrize("method", ["exact", "occlusion"])
def test_scales_and_mirror_images_are_shown_together(method: Any) -> None:
    model = embedder(preprocess=SEVERAL)
    query, match = noisy(1), noisy(2)
    found = similarity_map(model, query, match, method=method)
    one, two = own_vector(model, query), own_vector(model, match)
    assert found.similarity == pytest.approx(float(one @ two), abs=1e-5)
    assert len(found.parts) == 2 * 2 * 2
    assert {part.side for part in found.parts} == {32, 64}
    if method == "exact":
        total = sum(float(part.values.sum()) for part in found.parts)
        assert total == pytest.approx(found.similarity, abs=1e-4)


@pytest.mark.parametrize("method", ["exact", "occlusion"])
def test_a_mirrored_view_is_laid_where_it_is_in_the_photograph(method: Any) -> None:
    model = patch_seer("squash")
    model.preprocess = model.preprocess.model_copy(update={"flip": True, "scales": (1.0, 1.5)})
    image, match = planted((512, 512), (400, 176), 60), planted((300, 300), (150, 150), 140)
    found = similarity_map(model, image, match, method=method)
    assert len(found.parts) == 4
    for part in found.parts:
        x, y = centre_of(part.over((512, 512)))
        assert abs(x - 400) < 32  # half a cell
        assert abs(y - 176) < 32


@pytest.mark.parametrize("pool", ["avg", "gem-fixed"])
def test_the_exact_map_agrees_with_hiding_parts_where_the_answer_is_known(pool: str) -> None:
    model = patch_seer("squash")
    if pool == "gem-fixed":
        from cairn.layers import GeM

        model.pool = GeM(2.0, learned=False)
    image = planted((512, 512), (336, 176), 60)
    match = planted((300, 300), (150, 150), 140)
    exact, hidden = similarity_map(model, image, match), occlusion_map(model, image, match, cells=8)
    one, two = exact.over((64, 64)).ravel(), hidden.over((64, 64)).ravel()
    assert np.corrcoef(one, two)[0, 1] > 0.85
    assert exact.similarity == pytest.approx(hidden.similarity, abs=1e-5)
    assert hidden.method == "occlusion"
    x, y = centre_of(hidden.over((512, 512)))
    assert abs(x - 336) < 24
    assert abs(y - 176) < 24


def test_a_class_token_is_looked_at_by_hiding() -> None:
    arguments = {"embed_dim": 32, "depth": 2, "num_heads": 2}
    model = embedder(backbone="vit_tiny_patch16_224", backbone_args=arguments, pool="own")
    found = similarity_map(model, noisy(1), noisy(2))
    assert found.method == "occlusion"
    assert found.parts[0].values.shape == (8, 8)
    assert np.abs(found.parts[0].values).max() > 0
    with pytest.raises(CairnError, match="no sum over places"):
        similarity_map(model, noisy(1), noisy(2), method="exact")
    with pytest.raises(CairnError, match="1 cell to one a pixel"):
        occlusion_map(model, noisy(1), noisy(2), cells=0)


def test_context_masks_are_the_blocks_own_and_lie_where_they_look() -> None:
    model = embedder(gc=True)
    masks = context_masks(model, noisy(1))
    assert list(masks) == [
        "stage1/block1",
        "stage2/block1",
        "stage2/block2",
        "stage3/block1",
        "stage4/block1",
    ]
    assert [one.values.shape for one in masks.values()] == [
        (16, 16),
        (8, 8),
        (8, 8),
        (4, 4),
        (4, 4),
    ]
    for one in masks.values():
        assert one.values.mean() == pytest.approx(1, abs=1e-5)
        assert one.values.min() >= 0
    stages = stage_masks(masks)
    assert list(stages) == ["stage1", "stage2", "stage3", "stage4"]
    np.testing.assert_allclose(
        stages["stage2"].values,
        (masks["stage2/block1"].values + masks["stage2/block2"].values) / 2,
        rtol=1e-6,
    )
    blocks = [one for one in model.modules() if isinstance(one, GlobalContext)]
    assert not any(one.keep_mask or one.last_mask is not None for one in blocks)


@pytest.mark.parametrize("resize", ["squash", "crop"])
def test_a_block_that_attends_to_a_patch_is_drawn_over_it(resize: str) -> None:
    """The first block is made to attend to what differs from the rest; its map lies over that."""
    model = embedder(128, gc=True, preprocess={"resize": resize})
    size, at = (900, 600), (520, 220)
    bright = planted(size, at, 50)
    block = next(one for one in model.modules() if isinstance(one, GlobalContext))
    seen: list[torch.Tensor] = []
    handle = block.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    model.features(shown(model, bright)[0].images)
    handle.remove()
    features = seen[0][0].detach()
    away = features - features.mean(dim=(1, 2), keepdim=True)
    place = away.norm(dim=0).flatten().argmax()
    direction = away.flatten(1)[:, place]
    with torch.no_grad():
        block.attend.weight.copy_(8 * (direction / direction.norm() ** 2).view(1, -1, 1, 1))
    x, y = centre_of(context_masks(model, bright)["stage1/block1"].over(size))
    assert abs(x - at[0]) < 50
    assert abs(y - at[1]) < 50


def test_a_model_without_blocks_says_what_to_do() -> None:
    with pytest.raises(CairnError, match="no Global Context blocks") as caught:
        context_masks(embedder(), noisy(1))
    assert "similarity map" in caught.value.todo


@pytest.mark.parametrize(
    ("layer", "start", "stride"),
    [
        (nn.Conv2d(3, 4, 3, stride=2, padding=1), 0.0, 2.0),
        (nn.Conv2d(3, 4, 7, stride=2, padding=3), 0.0, 2.0),
        (nn.Conv2d(3, 4, 16, stride=16), 7.5, 16.0),
        (nn.MaxPool2d(2, 2), 0.5, 2.0),
        (nn.Sequential(nn.Conv2d(3, 4, 4, stride=4), nn.Conv2d(4, 4, 3, 2, 1)), 1.5, 8.0),
        (nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1)), 0.0, 4.0),
    ],
)
def test_cells_are_centred_where_convolutions_centre_them(
    layer: nn.Module, start: float, stride: float
) -> None:
    with watching(layer, 32) as geometry:
        made = layer(torch.zeros(1, 3, 32, 32))
    assert geometry.steps(made.shape[2], 0) == Steps(start, stride)
    assert geometry.steps(made.shape[3], 1) == Steps(start, stride)


def test_same_padding_is_centred_as_tensorflow_does() -> None:
    from timm.layers import Conv2dSame

    layer = Conv2dSame(3, 4, 3, stride=2)
    with watching(layer, 32) as geometry:
        layer(torch.zeros(1, 3, 32, 32))
    assert geometry.steps(16, 0) == Steps(1.0, 2.0)  # one column of zeros, at the far end


def test_unknown_shrinking_counts_as_tiles() -> None:
    with watching(nn.Identity(), 32) as geometry:
        pass
    assert geometry.steps(4, 0) == tiles(4, 32) == Steps(3.5, 8.0)


def test_a_map_is_laid_out_by_hand() -> None:
    values = np.array([[1.0, 3.0]], dtype=np.float32)
    placed = PlacedMap(values, (0.0, 0.0, 1.0, 1.0), tiles(1, 8), tiles(2, 8), 8)
    np.testing.assert_allclose(
        placed.over((8, 2)), [[1, 1, 1.25, 1.75, 2.25, 2.75, 3, 3]] * 2, rtol=1e-6
    )
    part = PlacedMap(values, (0.5, 0.0, 1.0, 0.5), tiles(1, 8), tiles(2, 8), 8).over((8, 2))
    assert np.isnan(part[1]).all()
    assert np.isnan(part[0, :4]).all()
    np.testing.assert_allclose(part[0, 4:], [1, 1.5, 2.5, 3], rtol=1e-6)


def test_tokens_become_the_square_they_are() -> None:
    tokens = torch.arange(18.0).view(2, 9, 1)
    assert square(tokens).shape == (2, 3, 3)
    assert square(torch.zeros(2, 8, 1)).shape == (2, 8, 1)
    assert square(torch.zeros(2, 4, 5)).shape == (2, 4, 5)


@pytest.mark.parametrize("level", [30, 240])
def test_overlays_are_legible_over_light_and_dark_photographs(level: int) -> None:
    """Colours far apart in the map are far apart in the picture, whatever lies beneath."""
    image = grey((60, 40), level)
    ramp = np.tile(np.linspace(0, 2, 60, dtype=np.float32), (40, 1))
    ramp[:, :6] = np.nan
    drawn = np.asarray(overlay(image, ramp), dtype=np.float64)
    assert drawn.shape == (40, 60, 3)
    lightness = drawn[20] @ (0.299, 0.587, 0.114)
    assert (np.diff(lightness[6:]) > -1).all()  # rises with the value
    assert lightness[-1] - lightness[6] > 90
    signed = np.asarray(overlay_signed(image, ramp - 1), dtype=np.float64)[20]
    assert signed[-1, 0] - signed[-1, 2] > 60  # red for
    assert signed[6, 2] - signed[6, 0] > 60  # blue against
    middle = signed[33]
    assert np.ptp(middle) < 40  # grey where it says nothing
    np.testing.assert_allclose(drawn[20, :6].std(axis=-1), 0, atol=1)  # unseen: grey, and darker
    assert drawn[20, 0, 0] < 120


def test_a_flat_map_has_no_colour_of_its_own() -> None:
    image = grey((20, 20))
    zero = np.zeros((20, 20), dtype=np.float32)
    assert len(set(map(tuple, np.asarray(overlay(image, zero)).reshape(-1, 3).tolist()))) == 1
    assert np.ptp(np.asarray(overlay_signed(image, zero)).reshape(-1, 3)[0].astype(int)) < 3


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as opened:
        return opened.size


def saved(model: Embedder, config: ModelConfig, folder: Path) -> Path:
    save_model(folder, model, config)
    return folder


@pytest.fixture
def gc_model(tmp_path: Path) -> Path:
    config = ModelConfig.model_validate(
        {
            "backbone": "resnext_small",
            "backbone_args": SMALL,
            "dimension": 16,
            "preprocess": {"image_size": 64, "resize": "crop"},
        }
    )
    torch.manual_seed(1)
    return saved(build(config), config, tmp_path / "gc")


def test_look_writes_a_picture_a_stage_and_a_sheet(gc_model: Path, tmp_path: Path) -> None:
    noisy(1, (300, 200)).save(tmp_path / "a.jpg")
    noisy(2, (200, 260)).save(tmp_path / "b.png")
    out = tmp_path / "out"
    looked = look(gc_model, tmp_path / "a.jpg", out, match=tmp_path / "b.png")
    names = {path.name for path in out.iterdir()}
    assert names == {*looked.files, "attention.json"}
    assert set(looked.files) >= {"sheet.png", "stage1.png", "stage4.png", "similarity.png"}
    assert size_of(out / "stage1.png") == (300, 200)
    assert size_of(out / "similarity-match.png") == (200, 260)
    width, height = size_of(out / "sheet.png")
    assert width <= 1440
    assert height > 500  # two rows
    told = json.loads((out / "attention.json").read_text("utf-8"))
    assert told["similarity"] == pytest.approx(looked.similarity)
    assert list(told["stages"]) == ["stage1", "stage2", "stage3", "stage4"]


def test_look_refuses_what_it_cannot_show(gc_model: Path, tmp_path: Path) -> None:
    noisy(1).save(tmp_path / "a.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(CairnError, match="cannot be read"):
        look(gc_model, tmp_path / "broken.jpg", tmp_path / "out")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "x").touch()
    with pytest.raises(CairnError, match="place is taken"):
        look(gc_model, tmp_path / "a.jpg", tmp_path / "taken")
    config = ModelConfig.model_validate(
        {
            "backbone": "resnext_small",
            "backbone_args": SMALL,
            "gc": False,
            "dimension": 16,
            "preprocess": {"image_size": 64},
        }
    )
    plain = saved(build(config), config, tmp_path / "plain")
    with pytest.raises(CairnError, match="no attention of its own") as caught:
        look(plain, tmp_path / "a.jpg", tmp_path / "out")
    assert "--match" in caught.value.todo
    assert not (tmp_path / "out").exists()
    looked = look(plain, tmp_path / "a.jpg", tmp_path / "out", match=tmp_path / "a.jpg")
    assert looked.similarity == pytest.approx(1, abs=1e-5)
    assert looked.stages == {}
