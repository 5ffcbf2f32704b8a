"""Training through the command line: killed and resumed, by two processes, by one after two."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cairn.config import read_recipe
from cairn.manifest import Manifest
from cairn.state import peek_state, state_path
from cairn.train import train

DYING = Path(__file__).parent / "dying.py"

RECIPE = """
name = "staged"

[model]
backbone = "resnext_small"
dimension = 32
neck = "whitened"

[model.backbone_args]
layers = [1, 1, 1, 1]
channels = [8, 16, 32, 64]
cardinality = 2
base_width = 16

[model.preprocess]
image_size = 32

[head]
scale = 16.0
centers = 2

[train]
epochs = 2
batch_size = 8
accumulate = 2
ema = 0.9
precision = "float32"
freeze_batchnorm = true
checkpoint_steps = 2
workers = 1

[[stages]]
name = "first"

[[stages]]
name = "larger"
[stages.model.preprocess]
image_size = 48
[stages.train]
learning_rate = 0.01
freeze = ["backbone.conv1", "backbone.bn1"]
"""
"""Two stages of two epochs of four steps. Nothing in it depends on who shares a step: the only
batch norms keep their statistics, so that one process and two compute the same."""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "staged.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def photographs(pictures: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """The pictures, some unreadable: processes get unequal parts, of one photograph and of none."""
    root = tmp_path_factory.mktemp("flawed")
    shutil.copytree(pictures.root, root, dirs_exist_ok=True)
    for number in range(4):
        (root / f"train/landmark{number}/1.jpg").write_bytes(b"no picture")
        (root / f"train/landmark{number}/4.jpg").unlink()
    return Manifest.read(root / "manifest.parquet")


@pytest.fixture(scope="module")
def alone(recipe: Path, photographs: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process, uninterrupted."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = train(read_recipe(recipe), photographs, out=tmp_path_factory.mktemp("alone") / "run")
    torch.set_num_threads(threads)
    return folder


def _cairn(
    recipe: Path,
    photographs: Manifest,
    out: Path,
    *options: str,
    processes: int = 1,
    restarts: int = 0,
    **told: str,
) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone"]
        launcher += ["--nproc-per-node", str(processes), "--max-restarts", str(restarts)]
    data = str(photographs.root / "manifest.parquet")
    command = ["train", str(recipe), "--data", data, "-o", str(out), "--device", "cpu", *options]
    environment = {**os.environ, **told, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*launcher, str(DYING), *command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def _lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def _assert_close(ours: Path, theirs: Path) -> None:
    """The same run by other processes: sums in another order, and else the same."""
    one, two = (torch.load(state_path(run), weights_only=True) for run in (ours, theirs))
    for part in ("model", "head", "average"):
        for name, values in one[part].items():
            torch.testing.assert_close(values, two[part][name], rtol=1e-4, atol=1e-5, msg=name)
    momenta = [state["optimizer"]["state"] for state in (one, two)]
    assert momenta[0].keys() == momenta[1].keys()
    for index, values in momenta[0].items():
        assert values["momentum_buffer"].shape == momenta[1][index]["momentum_buffer"].shape
    losses = [[line["loss"] for line in _lines(run) if "loss" in line] for run in (ours, theirs)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_killed_in_a_later_stage_and_resumed_through_the_command_line(
    recipe: Path,
    photographs: Manifest,
    alone: Path,
    tmp_path: Path,
    assert_same_state: Callable[[Path, Path], None],
) -> None:
    """kill -9 in the middle of an epoch of stage 2, then --resume: the same, bit by bit."""
    out = tmp_path / "run"
    killed = _cairn(recipe, photographs, out, DIE_AT="12")
    assert killed.returncode == -signal.SIGKILL
    assert not (out / "model").exists()
    left = peek_state(state_path(out))
    assert (left.stage, left.epoch, left.step) == (1, 2, 2)
    resumed = _cairn(recipe, photographs, out, "--resume", "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed after epoch 2, step 2" in resumed.stderr
    assert json.loads(resumed.stdout)["model"] == str(out / "model")
    assert_same_state(out, alone)


@pytest.fixture(scope="module")
def together(
    recipe: Path, photographs: Manifest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The run of two processes, and a copy as a kill in its eighth step would have left it."""
    out = tmp_path_factory.mktemp("together")
    kept = str(out / "kept")
    done = _cairn(
        recipe, photographs, out / "run", "--json", processes=2, KEEP_AT="8", KEEP_TO=kept
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"] == str(out / "run"), "one process speaks"
    return out / "run", out / "kept"


def test_two_processes_learn_what_one_does(together: tuple[Path, Path], alone: Path) -> None:
    run, _ = together
    assert "2 processes" in (run / "train.log").read_text()
    assert len(_lines(run)) == 5
    told = [(folder / "train.log").read_text().count("unreadable, left") for folder in (run, alone)]
    assert told == [8, 8], "each is told once, whoever met it"
    _assert_close(run, alone)


def test_a_lost_process_loses_nothing(
    recipe: Path,
    photographs: Manifest,
    together: tuple[Path, Path],
    tmp_path: Path,
    assert_same_state: Callable[[Path, Path], None],
) -> None:
    """One of two is killed in stage 2; torchrun starts both anew; all is as if nothing happened."""
    out = tmp_path / "run"
    done = _cairn(recipe, photographs, out, processes=2, restarts=1, DIE_AT="12", DIE_RANK="1")
    assert done.returncode == 0, done.stderr
    assert "resumed after epoch 2, step 2" in (out / "train.log").read_text()
    assert_same_state(out, together[0])


def test_one_process_goes_on_with_what_two_began(
    recipe: Path, photographs: Manifest, together: tuple[Path, Path], tmp_path: Path
) -> None:
    run, kept = together
    shutil.copytree(kept, tmp_path / "run")
    train(read_recipe(recipe), photographs, out=tmp_path / "run", resume=True)
    assert "resumed after epoch 1, step 2" in (tmp_path / "run" / "train.log").read_text()
    _assert_close(tmp_path / "run", run)


def test_a_fault_is_told_once(recipe: Path, photographs: Manifest, tmp_path: Path) -> None:
    options = ("--set", "train.batch_size=6")
    refused = _cairn(recipe, photographs, tmp_path / "run", *options, processes=2)
    assert refused.returncode != 0
    assert refused.stderr.count("error: 6 photographs a step are fewer than two") == 1
