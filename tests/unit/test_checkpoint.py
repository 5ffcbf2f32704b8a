"""Model folders: what is saved comes back, and the fingerprint names what the model computes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cairn.checkpoint import load_model, model_fingerprint, read_config, save_model
from cairn.config import HeadConfig, ModelConfig, Preprocess
from cairn.errors import CairnError
from cairn.heads import build_head
from cairn.model import Embedder, build

CONFIG = ModelConfig(
    backbone="resnext_small",
    backbone_args={"layers": [1, 1, 1, 1]},
    dimension=8,
    preprocess=Preprocess(image_size=32),
)


def made(seed: int = 0) -> Embedder:
    torch.manual_seed(seed)
    return build(CONFIG)


@pytest.fixture(scope="module")
def original() -> Embedder:
    return made()


@pytest.fixture
def folder(original: Embedder, tmp_path: Path) -> Path:
    save_model(tmp_path / "模型", original, CONFIG, facts={"validation GAP": "0.5"})
    return tmp_path / "模型"


def test_a_model_comes_back_to_the_bit(original: Embedder, folder: Path) -> None:
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    model, config = load_model(folder)
    assert config == CONFIG
    assert not model.training
    with torch.inference_mode():
        assert torch.equal(model(images), original.eval()(images))
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "config.json", "model.safetensors"
    ]  # fmt: skip


def test_the_head_and_its_landmarks_are_kept(original: Embedder, tmp_path: Path) -> None:
    head = build_head(HeadConfig(), 8, np.full(2, 2))
    save_model(tmp_path / "m", original, CONFIG, head=head, landmarks=["故宫", "tower"])
    assert json.loads((tmp_path / "m" / "landmarks.json").read_text("utf-8")) == ["故宫", "tower"]
    weights = load_file(tmp_path / "m" / "head.safetensors")
    assert torch.equal(weights["weight"], head.weight.detach())
    assert json.loads((tmp_path / "m" / "config.json").read_text())["num_landmarks"] == 2


def test_the_card_tells_what_the_model_is(folder: Path) -> None:
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "# resnext_small with Global Context blocks, gem pooling, 8-d" in card
    assert "32 x 32 RGB, squash" in card
    assert "- validation GAP: 0.5" in card
    assert "- started from: random weights" in card


def test_the_fingerprint_follows_what_is_computed_not_where_it_lies(
    original: Embedder, folder: Path, tmp_path: Path
) -> None:
    own = model_fingerprint(folder)
    assert len(own) == 16
    int(own, 16)
    moved = tmp_path / "elsewhere" / "m"
    shutil.copytree(folder, moved)
    assert model_fingerprint(moved) == own
    head = build_head(HeadConfig(), 8, np.full(2, 2))
    save_model(tmp_path / "head", original, CONFIG, head=head, landmarks=["a", "b"], facts={"x": 1})
    assert model_fingerprint(tmp_path / "head") == own, "the head is no part of the embedding"
    named = CONFIG.model_copy(update={"weights": "pretrained.safetensors"})
    save_model(tmp_path / "named", original, named)
    assert model_fingerprint(tmp_path / "named") == own, "only where it started from differs"


@pytest.mark.parametrize(
    "changes",
    [{"image_size": 48}, {"resize": "crop"}, {"mean": (0, 0, 0)}, {"interpolation": "bicubic"}],
)
def test_another_preprocessing_is_another_model(
    original: Embedder, folder: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    preprocess = CONFIG.preprocess.model_copy(update=changes)
    save_model(tmp_path / "p", original, CONFIG.model_copy(update={"preprocess": preprocess}))
    assert model_fingerprint(tmp_path / "p") != model_fingerprint(folder)


def test_other_weights_are_another_model(folder: Path, tmp_path: Path) -> None:
    model = made()
    with torch.no_grad():
        next(model.neck.parameters()).view(-1)[0] += 1e-6
    save_model(tmp_path / "w", model, CONFIG)
    assert model_fingerprint(tmp_path / "w") != model_fingerprint(folder)


def test_a_model_is_replaced_only_where_told(original: Embedder, folder: Path) -> None:
    own = model_fingerprint(folder)
    with pytest.raises(CairnError, match="never overwritten"):
        save_model(folder, original, CONFIG)
    assert model_fingerprint(folder) == own
    save_model(folder, made(1), CONFIG, replace=True)
    assert model_fingerprint(folder) != own


def rewrite(folder: Path, change: dict[str, Any]) -> None:
    path = folder / "config.json"
    value = json.loads(path.read_text(encoding="utf-8"))
    value["model"] |= change
    path.write_text(json.dumps(value), encoding="utf-8")


def test_weights_that_do_not_fit_are_refused(folder: Path) -> None:
    rewrite(folder, {"dimension": 16})
    with pytest.raises(CairnError, match="cannot load the weights") as caught:
        load_model(folder)
    assert caught.value.where == str(folder / "model.safetensors")
    assert "\n" not in caught.value.what


@pytest.mark.parametrize("size", [0, 4, 5000])
def test_truncated_weights_are_refused(folder: Path, size: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CairnError, match="cannot load the weights"):
        load_model(folder)


def test_a_folder_without_its_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(CairnError, match="cannot load the weights"):
        load_model(folder)
    with pytest.raises(CairnError, match=r"no model\.safetensors"):
        model_fingerprint(folder)


def test_what_is_no_model_folder(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CairnError, match="not a model folder") as caught:
            read_config(place)
        assert "cairn train" in caught.value.todo


@pytest.mark.parametrize(
    "text", ["[]", '{"format": 99, "model": {}}', '{"model": {}}', '{"format": 1}', "{", "nonsense"]
)
def test_a_config_of_another_kind_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text, encoding="utf-8")
    for function in (read_config, load_model, model_fingerprint):
        with pytest.raises(CairnError):
            function(folder)


def test_a_config_with_unknown_settings_names_them(folder: Path) -> None:
    rewrite(folder, {"pol": "gem"})
    with pytest.raises(CairnError, match="unknown setting 'pol'") as caught:
        read_config(folder)
    assert "did you mean 'pool'" in caught.value.todo


def test_a_run_folder_is_told_from_its_model(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "run" / "model")
    (tmp_path / "run" / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CairnError, match="no model folder, but holds one") as caught:
        read_config(tmp_path / "run")
    assert caught.value.todo == f"give {tmp_path / 'run' / 'model'}"
