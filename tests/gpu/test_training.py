"""Training on CUDA: heads as on the processor, a run from end to end, a compiled embedder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cairn.checkpoint import load_model
from cairn.config import HeadConfig, ModelConfig, Recipe
from cairn.engine import compile_backbone
from cairn.heads import build_head
from cairn.manifest import Manifest
from cairn.model import build
from cairn.train import train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

HEADS = {
    "softmax": HeadConfig(kind="softmax", label_smoothing=0.1),
    "arcface": HeadConfig(kind="arcface", margin=0.4, logit_adjustment=1.0),
    "cosface": HeadConfig(kind="cosface", class_weights="log"),
    "sub-centres": HeadConfig(centers=3, size_margin=(0.05, 0.5)),
    "sampled": HeadConfig(sampled=0.5),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_head_s_loss_and_gradients_are_the_processor_s(name: str) -> None:
    counts = np.arange(1, 41)
    rng = np.random.default_rng(0)
    embeddings = torch.from_numpy(rng.normal(size=(16, 32)).astype(np.float32))
    labels = torch.from_numpy(rng.integers(0, 40, 16))
    found = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        head = build_head(HEADS[name], 32, counts).to(device)
        head.set_epoch(1.0)
        torch.manual_seed(1)  # what `sampled` draws
        given = embeddings.to(device).requires_grad_()
        loss = head(given, labels.to(device))
        loss.backward()
        assert given.grad is not None
        assert head.weight.grad is not None
        found.append((loss.detach().cpu(), given.grad.cpu(), head.weight.grad.cpu()))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_a_run_on_cuda_learns_and_its_model_runs_anywhere(
    pictures: Manifest, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    folder = train(tiny_recipe, pictures, out=tmp_path / "run", device="cuda")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < lines[1]["loss"]
    model, _ = load_model(folder / "model")
    with torch.inference_mode():
        norms = model(torch.randn(2, 3, 32, 32)).norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(2))


def test_a_compiled_embedder_gives_the_same_embeddings() -> None:
    model = build(ModelConfig(backbone="resnext_small", dimension=32)).cuda().eval()
    images = torch.randn(4, 3, 64, 64, device="cuda")
    with torch.inference_mode():
        plain = model(images)
    names = set(model.state_dict())
    compile_backbone(model, "on", torch.device("cuda"))
    with torch.inference_mode():
        torch.testing.assert_close(model(images), plain, rtol=1e-3, atol=1e-3)
    assert set(model.state_dict()) == names
