from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cairn import execution, runtime
from cairn.checkpoint import load_model, model_fingerprint, save_model
from cairn.config import ModelConfig, Preprocess
from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.model import build
from cairn.runtime import FAITHFUL, load_runtime, module_runtime, sample_pictures

SIDE = 32
PREPROCESS = Preprocess(image_size=SIDE)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = ModelConfig(
        backbone="resnext_small",
        backbone_args={"layers": (1, 1, 1, 1)},
        dimension=16,
        preprocess=PREPROCESS,
    )
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model") / "m"
    save_model(folder, build(config), config)
    return folder


def expected(model_dir: Path, images: Float32) -> Float32:
    module, _ = load_model(model_dir)
    with torch.no_grad():
        embeddings: Float32 = module(torch.from_numpy(images)).numpy()
    return embeddings


@pytest.mark.parametrize("backend", ["torch", "openvino", "auto"])
def test_every_backend_gives_the_model_s_embeddings_for_any_batch(
    model_dir: Path, backend: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = load_runtime(model_dir, backend=backend, device="cpu")
    images = np.random.default_rng(1).standard_normal((5, 3, SIDE, SIDE), dtype=np.float32)
    want = expected(model_dir, images)
    for part in (images, images[:1], images[1:3]):
        got = run(part)
        assert got.shape == (len(part), 16)
        assert got.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-5)
        start = 1 if len(part) == 2 else 0
        assert (got * want[start : start + len(part)]).sum(axis=1).min() >= FAITHFUL
    assert run(images[:0]).shape == (0, 16)
    assert run.fingerprint == model_fingerprint(model_dir)
    assert run.preprocess == PREPROCESS
    assert run.dimension == 16
    assert run.description.startswith("PyTorch" if backend == "torch" else "OpenVINO")


@pytest.mark.parametrize(
    ("backbone", "arguments", "pool"),
    [
        ("vit_tiny_patch16_224", {"embed_dim": 32, "depth": 2, "num_heads": 2}, "avg"),
        ("vit_small_patch16_dinov3", {"embed_dim": 32, "depth": 2, "num_heads": 2}, "own"),
        (
            "swin_tiny_patch4_window7_224",
            {"embed_dim": 16, "depths": (2, 1), "num_heads": (1, 2), "window_size": 4},
            "gem",
        ),
    ],
)
def test_transformers_run_on_openvino_at_another_size_than_the_weights(
    backbone: str, arguments: dict[str, object], pool: str
) -> None:
    """Position embeddings are resampled and windows shifted and padded; batches stay free."""
    settings = {"backbone": backbone, "backbone_args": arguments, "pool": pool, "gc": False}
    config = ModelConfig.model_validate(
        {**settings, "dimension": 16, "preprocess": {"image_size": 48}}
    )
    torch.manual_seed(0)
    module = build(config).eval()
    with torch.no_grad():  # far enough from its start that the pictures come out apart
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    images = np.random.default_rng(1).standard_normal((5, 3, 48, 48), dtype=np.float32)
    with torch.no_grad():
        want = module(torch.from_numpy(images)).numpy()
    assert (want[1:] * want[:-1]).sum(axis=1).max() < 0.995
    run = module_runtime(module, config.preprocess, backend="openvino")
    assert run.description.startswith("OpenVINO"), run.description
    for start, stop in [(0, 5), (4, 5), (1, 3)]:
        got = run(images[start:stop])
        assert (got * want[start:stop]).sum(axis=1).min() >= FAITHFUL - 0.001


SIGNALLED = """
import os, signal, sys, threading
from cairn.runtime import load_runtime

held = [load_runtime(sys.argv[1], backend="openvino", device="cpu")]
last = threading.Thread(target=held.clear)  # the one that lets the network go
last.start()
last.join()
signal.signal(signal.SIGTERM, lambda *_: print("heard"))
os.kill(os.getpid(), signal.SIGTERM)
print("goes on")
"""


def test_a_signal_is_heard_after_another_thread_let_openvino_go(model_dir: Path) -> None:
    words = [sys.executable, "-c", SIGNALLED, str(model_dir)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, ["heard", "goes", "on"]), done


def test_openvino_neither_forks_nor_reports_home(model_dir: Path, tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "forks = []; os.register_at_fork(before=lambda: forks.append(1))\n"
        "from cairn.runtime import load_runtime\n"
        "run = load_runtime(Path(sys.argv[1]), backend='openvino')\n"
        "assert run.description.startswith('OpenVINO'), run.description\n"
        "assert 'openvino_telemetry' not in sys.modules\n"
        "assert not forks, forks\n"
    )
    environment = {**os.environ, "HOME": str(tmp_path)}
    environment.pop("CI", None)
    subprocess.run([sys.executable, "-c", code, str(model_dir)], check=True, env=environment)
    assert not (tmp_path / "intel").exists()


def test_what_comes_back_stays_when_the_next_batch_runs(model_dir: Path) -> None:
    run = load_runtime(model_dir, backend="openvino")
    images = sample_pictures(SIDE)
    first = run(images[:2])
    kept = first.copy()
    run(images[2:])
    np.testing.assert_array_equal(first, kept)


class MeanColour(nn.Module):
    """The mean colour as a direction."""

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        sums = images_BCHW.mean(dim=(2, 3))
        return nn.functional.normalize(sums, dim=1)


def test_an_unfaithful_precision_gives_way_to_the_next(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = execution.openvino_forwards

    def spoiled(model: object):  # type: ignore[no-untyped-def]
        for name, forward in honest(model):
            yield (
                name,
                (lambda images, f=forward: np.roll(f(images), 1, axis=1))
                if "bf16" in name or spoil_all
                else forward,
            )

    monkeypatch.setattr(runtime, "openvino_forwards", spoiled)
    spoil_all = False
    run = module_runtime(MeanColour(), PREPROCESS, backend="openvino")
    assert run.description == "OpenVINO on CPU, f32"
    spoil_all = True
    run = module_runtime(MeanColour(), PREPROCESS, backend="openvino")
    assert run.description == "PyTorch on cpu, float32"
    assert "below 0.999; not used" in capsys.readouterr().err


def test_a_network_that_openvino_cannot_convert_runs_on_pytorch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no conversion rule for aten::strange\nmore")

    monkeypatch.setattr(runtime, "to_openvino", refuse)
    run = module_runtime(MeanColour(), PREPROCESS, backend="openvino")
    assert run.description == "PyTorch on cpu, float32"
    assert "no conversion rule for aten::strange" in capsys.readouterr().err


def test_without_openvino_auto_takes_pytorch_and_openvino_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtime, "find_spec", lambda name: None)
    assert module_runtime(MeanColour(), PREPROCESS, backend="auto", device="cpu").description == (
        "PyTorch on cpu, float32"
    )
    with pytest.raises(CairnError, match="not installed"):
        module_runtime(MeanColour(), PREPROCESS, backend="openvino")


def test_wrong_wishes_are_refused(model_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(CairnError, match="unknown backend") as caught:
        load_runtime(model_dir, backend="openvina")
    assert "openvino" in caught.value.todo
    with pytest.raises(CairnError, match="OpenVINO runs on the CPU"):
        load_runtime(model_dir, backend="openvino", device="cuda")
    with pytest.raises(CairnError, match="not a model folder"):
        load_runtime(tmp_path)


def test_images_of_another_shape_or_type_are_refused(model_dir: Path) -> None:
    run = load_runtime(model_dir, backend="torch", device="cpu")
    for images in (np.zeros((1, 3, 16, 16), np.float32), np.zeros((1, 3, SIDE, SIDE))):
        with pytest.raises(CairnError, match="this model takes"):
            run(images.astype(images.dtype))


def test_sample_pictures_are_seeded_differ_and_lie_where_photographs_do() -> None:
    pictures = sample_pictures(SIDE)
    np.testing.assert_array_equal(pictures, sample_pictures(SIDE))
    assert pictures.dtype == np.float32
    flat = pictures.reshape(len(pictures), -1)
    assert np.abs(np.corrcoef(flat) - np.eye(len(flat))).max() < 0.7
    assert flat.std(axis=1).min() < 0.5 < 0.9 < flat.std(axis=1).max()
    assert flat.mean(axis=1).min() < -0.5 < 0.5 < flat.mean(axis=1).max()
    assert np.abs(flat).max() < 6
