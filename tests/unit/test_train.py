import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cairn.checkpoint import load_model, model_fingerprint
from cairn.config import Recipe
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.necks import Whitened
from cairn.runs import write_json
from cairn.train import _newest_run, train
from cairn.trainer import Trainer
from cairn.validation import Score


def _lines(folder: Path) -> list[dict[str, float]]:
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


def test_killed_and_resumed_equals_uninterrupted(
    finished: Path, pictures: Manifest, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """kill -9 in the middle of an epoch, then --resume: the same weights, bit by bit."""
    recipe_path, run = tmp_path / "recipe.json", tmp_path / "run"
    recipe_path.write_text(tiny_recipe.model_dump_json())
    code = (
        f"import sys, torch; torch.set_num_threads({torch.get_num_threads()})\n"
        "from pathlib import Path\n"
        "from cairn.config import Recipe\nfrom cairn.manifest import Manifest\n"
        "from cairn.train import train\n"
        "recipe = Recipe.model_validate_json(Path(sys.argv[1]).read_text())\n"
        "train(recipe, Manifest.read(Path(sys.argv[2])), out=Path(sys.argv[3]),"
        " resume=sys.argv[4] == 'resume')\n"
    )
    data = pictures.root / "manifest.parquet"
    command = [sys.executable, "-c", code, str(recipe_path), str(data), str(run)]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen([*command, "fresh"], env=environment, stderr=subprocess.DEVNULL)
    log = run / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (log.is_file() and len(log.read_text().splitlines()) >= 2):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (run / "model").exists()
    subprocess.run([*command, "resume"], env=environment, check=True, timeout=120)
    assert "resumed after epoch" in (run / "train.log").read_text()
    for kind in ("model", "head"):
        whole = load_file(finished / "model" / f"{kind}.safetensors")
        again = load_file(run / "model" / f"{kind}.safetensors")
        assert whole.keys() == again.keys()
        for name, values in whole.items():
            assert torch.equal(values, again[name]), name
    ours = [{k: line.get(k) for k in ("epoch", "loss", "val_gap")} for line in _lines(run)]
    theirs = [{k: line.get(k) for k in ("epoch", "loss", "val_gap")} for line in _lines(finished)]
    assert ours == theirs


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


def test_layers_that_draw_at_random_resume_exactly(
    pictures: Manifest, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    arguments = {**tiny_recipe.model.backbone_args, "drop_path_rate": 0.5}
    recipe = _changed(tiny_recipe, model={"backbone_args": arguments}, train={"epochs": 2})
    whole = Trainer(recipe, pictures, tmp_path, torch.device("cpu"))
    whole._prepare()
    whole._finish_epoch(0, whole._train_epoch(0), None)
    whole._train_epoch(1)
    resumed = Trainer(recipe, pictures, tmp_path, torch.device("cpu"))
    resumed.restore()
    resumed._train_epoch(1)
    for (name, ours), theirs in zip(
        resumed.model.state_dict().items(), whole.model.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs), name


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
    trainer = Trainer(tiny_recipe, pictures, tmp_path, torch.device("cpu"))
    steps: list[int] = []

    def step(*_: object) -> torch.Tensor:
        steps.append(1)
        return torch.tensor(float("nan"))

    monkeypatch.setattr(trainer, "_step", step)
    with pytest.raises(CairnError, match="the loss is nan in epoch 1") as caught:
        trainer._train_epoch(0)
    assert "learning_rate" in caught.value.todo
    assert len(steps) == 1


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
    assert _newest_run("demo") == Path("runs/2026-01-01-demo-2")
    assert _newest_run("demo-x") == Path("runs/2026-01-03-demo-x")
    with pytest.raises(CairnError, match="no run of 'dem' to resume"):
        _newest_run("dem")
