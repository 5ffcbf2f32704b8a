import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cairn.checkpoint import load_model, model_fingerprint, read_config
from cairn.config import Recipe
from cairn.errors import CairnError
from cairn.loading import train_batches
from cairn.manifest import Manifest
from cairn.necks import Whitened
from cairn.runs import write_json
from cairn.state import peek_state, state_path
from cairn.train import train
from cairn.training import Trainer
from cairn.training.folder import newest_run
from cairn.training.learner import Learner
from cairn.validation import Score


def _lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(
    pictures: Manifest, tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return train(tiny_recipe, pictures, out=tmp_path_factory.mktemp("run") / "whole")


def test_a_run_folder_holds_everything(finished: Path) -> None:
    for name in (
        "config.json",
        "provenance.json",
        "metrics.jsonl",
        "train.log",
        "plots/training.png",
        "checkpoints/last/trainer.pt",
        "checkpoints/best/model.safetensors",
        "model/config.json",
        "model/model.safetensors",
        "model/head.safetensors",
        "model/landmarks.json",
        "model/README.md",
    ):
        assert (finished / name).is_file(), name
    provenance = json.loads((finished / "provenance.json").read_text())
    assert {"command", "versions", "hardware", "data", "seed"} <= provenance.keys()


def test_every_epoch_is_scored_with_nonlandmarks(finished: Path) -> None:
    lines = _lines(finished)
    assert [line["epoch"] for line in lines] == [0, 1, 2, 3]
    assert all(0 <= line["val_gap"] <= 1 for line in lines)
    assert lines[-1]["loss"] < lines[1]["loss"]
    assert "and 6 non-landmarks" in (finished / "train.log").read_text()


def test_the_model_is_the_best_scored_one(finished: Path) -> None:
    model, config = load_model(finished / "model")
    assert config.dimension == 32
    with torch.inference_mode():
        norms = model(torch.randn(2, 3, 32, 32)).norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(2))
    best = max(line["val_gap"] for line in _lines(finished))
    assert f"{best:.4f}" in (finished / "model" / "README.md").read_text()
    assert model_fingerprint(finished / "model") == model_fingerprint(
        finished / "checkpoints" / "best"
    )


def test_results_are_never_overwritten(
    finished: Path, pictures: Manifest, tiny_recipe: Recipe
) -> None:
    with pytest.raises(CairnError, match="never overwritten"):
        train(tiny_recipe, pictures, out=finished)


def test_resume_refuses_another_recipe(
    finished: Path, pictures: Manifest, tiny_recipe: Recipe
) -> None:
    other = tiny_recipe.model_copy(update={"seed": 5})
    with pytest.raises(CairnError, match="another recipe"):
        train(other, pictures, out=finished, resume=True)


class KilledError(Exception):
    """Stands for a kill: nothing of the run's own handles it."""


def _kill_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the step of that number, counted from 1 over the run, be the one that kills it."""
    taken, step = [0], Learner.step

    def dying(self: Learner, *args: Any, **kwargs: Any) -> torch.Tensor:
        taken[0] += 1
        if taken[0] == number:
            raise KilledError
        return step(self, *args, **kwargs)

    monkeypatch.setattr(Learner, "step", dying)


@pytest.fixture(scope="module")
def staged_recipe(tiny_recipe: Recipe) -> Recipe:
    """Three stages of two epochs of four steps, with all that a state must hold."""
    values = tiny_recipe.model_dump()
    values["model"]["backbone_args"]["drop_path_rate"] = 0.3
    values["train"] |= {"epochs": 2, "accumulate": 2, "checkpoint_steps": 1, "warmup_epochs": 0.5}
    values["stages"] = [
        {"name": "first", "train": {"freeze": ["backbone.layer1"]}},
        {
            "name": "larger",
            "model": {"preprocess": {"image_size": 48}},
            "head": {"margin": 0.1, "scale": 20.0},
            "train": {"optimizer": "adamw", "learning_rate": 0.001},
        },
        {"name": "plain", "train": {"ema": 0.0, "freeze": ["head", "backbone"]}},
    ]
    return Recipe.model_validate(values)


@pytest.fixture(scope="module")
def staged(
    pictures: Manifest, staged_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return train(staged_recipe, pictures, out=tmp_path_factory.mktemp("run") / "whole")


@pytest.mark.parametrize("number", [1, 3, 5, 9, 14, 17, 24])
def test_killed_at_any_step_and_resumed_equals_uninterrupted(
    pictures: Manifest,
    staged_recipe: Recipe,
    staged: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    assert_same_state: Callable[[Path, Path], None],
    number: int,
) -> None:
    """In the middle of an epoch, at the first step of one, of a stage, and at the last of all."""
    with monkeypatch.context() as patched:
        _kill_at(patched, number)
        with pytest.raises(KilledError):
            train(staged_recipe, pictures, out=tmp_path / "run")
    train(staged_recipe, pictures, out=tmp_path / "run", resume=True)
    assert_same_state(tmp_path / "run", staged)


def test_a_resumed_epoch_decodes_only_what_is_left(
    pictures: Manifest, staged_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        _kill_at(patched, 4)
        with pytest.raises(KilledError):
            train(staged_recipe, pictures, out=tmp_path / "run")
    steps: list[int] = []
    shown = train_batches

    def counting(paths: Any, parts: Any, *args: Any, **kwargs: Any) -> Any:
        steps.append(len(parts))
        return shown(paths, parts, *args, **kwargs)

    monkeypatch.setattr("cairn.training.showing.train_batches", counting)
    train(staged_recipe, pictures, out=tmp_path / "run", resume=True)
    assert steps == [2, 8, 8, 8, 8, 8], "three of four steps of two parts were taken already"


def test_stages_change_what_they_say(staged: Path, staged_recipe: Recipe) -> None:
    lines = _lines(staged)
    assert [line["epoch"] for line in lines] == list(range(7))
    assert [line["stage"] for line in lines] == [1, 1, 1, 2, 2, 3, 3]
    assert lines[-1]["stage_name"] == "plain"
    assert lines[3]["learning_rate"] <= 0.001 < lines[1]["learning_rate"]
    assert all(line["images_per_s"] > 0 for line in lines[1:])
    log = (staged / "train.log").read_text()
    assert "stage 2 of 3 (larger): 2 epochs of 25 photographs at 48 px" in log
    assert "stage 3 of 3 (plain)" in log
    assert "frozen: head, backbone" in log


def test_the_best_model_has_the_size_of_its_stage(
    pictures: Manifest, staged_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gaps = iter([0.1, 0.2, 0.3, 0.5, 0.4, 0.3, 0.2])
    monkeypatch.setattr(Trainer, "_score", lambda *_: Score(next(gaps), 0.5))
    folder = train(staged_recipe, pictures, out=tmp_path / "run")
    assert read_config(folder / "model").preprocess.image_size == 48
    assert "best: epoch 3, validation GAP 0.5000" in (folder / "train.log").read_text()


def test_frozen_parts_stay_as_they_are(
    pictures: Manifest, staged_recipe: Recipe, tmp_path: Path
) -> None:
    trainer = Trainer(staged_recipe, pictures, tmp_path, torch.device("cpu"))
    trainer.state.epoch = 0
    before = {k: v.clone() for k, v in trainer.learner.model.state_dict().items()}
    trainer._train_epoch()
    after = trainer.learner.model.state_dict()
    frozen = [name for name in before if name.startswith("backbone.layer1.")]
    assert any("running_mean" in name for name in frozen)
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert not torch.equal(
        before["backbone.layer2.0.bn1.running_mean"], after["backbone.layer2.0.bn1.running_mean"]
    )


def test_patience_ends_the_stage_and_the_next_begins(
    pictures: Manifest, staged_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "_score", lambda *_: Score(0.5, 0.5))
    recipe = _changed(staged_recipe, train={"patience": 1, "epochs": 3})
    folder = train(recipe, pictures, out=tmp_path / "run")
    assert [line["stage"] for line in _lines(folder)] == [1, 1, 2, 2, 3, 3]
    assert (folder / "train.log").read_text().count("stopped: no better validation GAP in 1") == 3


def test_asked_to_stop_a_run_saves_where_it_is(
    pictures: Manifest,
    staged_recipe: Recipe,
    staged: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    assert_same_state: Callable[[Path, Path], None],
) -> None:
    """SIGTERM in the middle of a step: the step is finished, the state saved, and nothing lost."""
    recipe = _changed(staged_recipe, train={"checkpoint_steps": 1000})
    step, before = Learner.step, signal.getsignal(signal.SIGTERM)

    def interrupted(self: Learner, *args: Any, **kwargs: Any) -> torch.Tensor:
        if os.environ.pop("CAIRN_TEST_STOP", None):
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *args, **kwargs)

    monkeypatch.setattr(Learner, "step", interrupted)
    monkeypatch.setenv("CAIRN_TEST_STOP", "1")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, pictures, out=tmp_path / "run")
    assert signal.getsignal(signal.SIGTERM) == before
    assert (
        "asked to stop: saved after step 2 of epoch 1"
        in (tmp_path / "run" / "train.log").read_text()
    )
    assert peek_state(state_path(tmp_path / "run")).step == 2
    train(recipe, pictures, out=tmp_path / "run", resume=True)
    assert_same_state(tmp_path / "run", staged)


def test_unreadable_photographs_are_reported_and_left_out(
    pictures: Manifest, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    train_rows = [row for row, role in enumerate(pictures.roles) if role == "train"]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not a picture")
    paths = [str(path) for path in pictures.paths]
    paths[train_rows[0]] = str(broken)
    columns = {name: pictures.table[name].to_pylist() for name in pictures.table.column_names}
    manifest = Manifest.from_columns({**columns, "path": paths}, root=tmp_path)
    recipe = tiny_recipe.model_copy(
        update={"train": tiny_recipe.train.model_copy(update={"epochs": 1})}
    )
    folder = train(recipe, manifest, out=tmp_path / "run")
    log = (folder / "train.log").read_text()
    assert log.count("unreadable, left out") == 1
    assert "broken.jpg" in log


def test_a_manifest_without_train_rows_is_refused(
    pictures: Manifest, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(CairnError, match="no train rows"):
        train(tiny_recipe, pictures.select("query"), out=tmp_path / "run")


def _changed(recipe: Recipe, **sections: dict[str, object]) -> Recipe:
    updates = {
        name: getattr(recipe, name).model_copy(update=values) for name, values in sections.items()
    }
    return recipe.model_copy(update=updates)


@pytest.mark.parametrize("fault", ["one landmark", "no readable photograph", "no such backbone"])
def test_a_run_that_cannot_begin_leaves_its_place_free(
    pictures: Manifest, tiny_recipe: Recipe, tmp_path: Path, fault: str
) -> None:
    recipe, manifest = tiny_recipe, pictures
    if fault == "one landmark":
        manifest = pictures.take(list(range(6)))
    elif fault == "no readable photograph":
        manifest = Manifest(pictures.table, tmp_path / "elsewhere")
    else:
        recipe = _changed(tiny_recipe, model={"backbone": "resnext_smal"})
    for _ in range(2):
        with pytest.raises(CairnError) as caught:
            train(recipe, manifest, out=tmp_path / "run")
        assert "never overwritten" not in caught.value.what
        assert caught.value.where
    assert not (tmp_path / "run").exists()


def test_resume_of_no_run_says_so(pictures: Manifest, tiny_recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(CairnError, match="no run to resume here") as caught:
        train(tiny_recipe, pictures, out=tmp_path / "run", resume=True)
    assert "--resume" in caught.value.todo


def test_a_run_killed_after_its_last_epoch_does_not_train_on(
    pictures: Manifest, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state of the epoch that ends a run is saved before the run ends: both ways to stop."""
    monkeypatch.setattr(Trainer, "_score", lambda *_: Score(0.5, 0.5))
    recipe = _changed(tiny_recipe, train={"patience": 1, "epochs": 3})
    first = Trainer(recipe, pictures, tmp_path, torch.device("cpu"))
    first.run()
    assert (first.state.epoch, first.state.best_epoch, first.state.stale) == (1, 0, 1)
    resumed = Trainer(recipe, pictures, tmp_path, torch.device("cpu"))
    resumed.restore()
    resumed.run()
    assert resumed.state == first.state
    assert len(_lines(tmp_path)) == 2


def test_killed_while_it_is_scored_an_epoch_keeps_what_its_steps_told(
    pictures: Manifest,
    staged_recipe: Recipe,
    staged: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    assert_same_state: Callable[[Path, Path], None],
) -> None:
    def dying(self: Trainer) -> Score:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_score_epoch", dying)
        with pytest.raises(KilledError):
            train(staged_recipe, pictures, out=tmp_path / "run")
    train(staged_recipe, pictures, out=tmp_path / "run", resume=True)
    assert_same_state(tmp_path / "run", staged)


def test_what_was_not_scored_is_not_said_to_be(
    pictures: Manifest, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    recipe = _changed(tiny_recipe, train={"epochs": 1}, validation={"min_images": 100})
    folder = train(recipe, pictures, out=tmp_path / "run")
    assert "validation GAP: not scored" in (folder / "model" / "README.md").read_text()
    assert "not scored" in (folder / "train.log").read_text()
    assert "-1.0" not in (folder / "train.log").read_text()


def test_a_loss_that_is_no_number_ends_the_run_at_once(
    pictures: Manifest, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []

    def step(*_: object, **__: object) -> torch.Tensor:
        steps.append(1)
        return torch.tensor(float("nan"))

    monkeypatch.setattr(Learner, "step", step)
    with pytest.raises(CairnError, match="the loss is nan in epoch 1") as caught:
        train(tiny_recipe, pictures, out=tmp_path / "run")
    assert "learning_rate" in caught.value.todo
    assert len(steps) == 1


def test_a_gradient_that_is_no_number_is_never_saved(
    pictures: Manifest, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    recipe = _changed(tiny_recipe, train={"checkpoint_steps": 1})
    trainer = Trainer(recipe, pictures, tmp_path, torch.device("cpu"))
    trainer.state.epoch = 0
    weight = trainer.learner.head.weight
    weight.register_hook(lambda gradient: gradient * float("inf"))  # type: ignore[no-untyped-call]
    with pytest.raises(CairnError, match="the loss is nan in epoch 1"):
        trainer._train_epoch()
    assert not state_path(tmp_path).exists()


def test_a_whitened_neck_is_fitted_before_the_first_step(
    pictures: Manifest, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    recipe = tiny_recipe.model_copy(
        update={
            "model": tiny_recipe.model.model_copy(update={"neck": "whitened"}),
            "train": tiny_recipe.train.model_copy(update={"epochs": 0}),
        }
    )
    folder = train(recipe, pictures, out=tmp_path / "run")
    model, _ = load_model(folder / "model")
    assert isinstance(model.neck, Whitened)
    assert float(model.neck.projection.bias.detach().abs().max()) > 0
    assert np.isfinite(_lines(folder)[0]["val_gap"])


def test_resume_takes_the_newest_run_of_that_very_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for age, (folder, name) in enumerate(
        (
            ("2026-01-02-demo", "demo"),
            ("2026-01-01-demo-2", "demo"),
            ("2026-01-03-demo-x", "demo-x"),
        )
    ):
        write_json(tmp_path / "runs" / folder / "config.json", {"recipe": {"name": name}})
        os.utime(tmp_path / "runs" / folder / "config.json", (age, age))
    assert newest_run("demo") == Path("runs/2026-01-01-demo-2")
    assert newest_run("demo-x") == Path("runs/2026-01-03-demo-x")
    with pytest.raises(CairnError, match="no run of 'dem' to resume"):
        newest_run("dem")
