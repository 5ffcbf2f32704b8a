"""Training: a recipe and a manifest in, a run folder with a model out.

A run is a function of recipe, data and seed; the folder records all three, and `--resume` refuses
to go on with others.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from cairn.config import Recipe
from cairn.curves import draw_curves
from cairn.engine import pick_device
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.progress import say
from cairn.runs import new_run, provenance, read_json, require_absent, write_json
from cairn.state import state_path
from cairn.trainer import Trainer


def train(
    recipe: Recipe,
    manifest: Manifest,
    *,
    out: Path | None = None,
    resume: bool = False,
    device: str = "auto",
) -> Path:
    """Train and return the run folder; the best model lies in its ``model/``.

    Args:
        recipe: What to train and how.
        manifest: Images; train rows are learned from, some of them and of the nonlandmark rows
            are held out to be scored on after each epoch.
        out: The run folder; by default a fresh ``runs/<date>-<name>``.
        resume: Continue the run in ``out``, or the newest of that recipe's name.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        CairnError: Nothing to learn from, another recipe or other data than the run to resume
            had, or a loss that is no longer finite.
    """
    target = pick_device(device)
    folder = _open_run(recipe, manifest, out=out, resume=resume, device=target)
    if (folder / "model").is_dir():
        say(f"{folder} is finished already")
        return folder
    say(f"run folder: {folder}")
    try:
        trainer = Trainer(recipe, manifest, folder, target)
        trainer.restore()
        trainer.run()
    except CairnError:
        if not resume and not state_path(folder).is_file():
            shutil.rmtree(folder)  # nothing was learned: leave the place free for the next try
        raise
    draw_curves(folder)
    trainer.publish()
    return folder


def _open_run(
    recipe: Recipe, manifest: Manifest, *, out: Path | None, resume: bool, device: torch.device
) -> Path:
    """Return the run folder: a fresh one, or the one to resume after checking that it fits."""
    made_of = {"recipe": recipe.model_dump(mode="json"), "data": manifest.fingerprint}
    if not resume:
        if out is None:
            folder = new_run(Path("runs"), recipe.name)
        else:
            require_absent(out)
            out.mkdir(parents=True, exist_ok=True)
            folder = out
        write_json(folder / "config.json", made_of)
        write_json(
            folder / "provenance.json",
            provenance(
                data=manifest.fingerprint,
                seed=recipe.seed,
                threads=torch.get_num_threads(),
                device=torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
            ),
        )
        return folder
    folder = out or _newest_run(recipe.name)
    if not (folder / "config.json").is_file():
        raise CairnError(
            "no run to resume here: it has no config.json",
            where=folder.absolute(),
            todo="give the folder of a run as --out, or leave out --resume",
        )
    recorded = read_json(folder / "config.json")
    if recorded != made_of:
        same = isinstance(recorded, dict) and recorded.get("recipe") == made_of["recipe"]
        part = "data" if same else "recipe"
        raise CairnError(
            f"the run was started with another {part}",
            where=folder / "config.json",
            todo="start a fresh run without --resume, or give the same recipe, overrides and data",
        )
    return folder


def _newest_run(name: str) -> Path:
    found = [path.parent for path in Path("runs").glob("*/config.json") if _name(path) == name]
    if not found:
        raise CairnError(
            f"no run of {name!r} to resume",
            where=Path("runs").absolute(),
            todo="leave out --resume",
        )
    return max(found, key=lambda path: (path / "config.json").stat().st_mtime)


def _name(path: Path) -> object:
    """Return the name of the recipe that a run's config.json records; None where it is none."""
    values = read_json(path)
    recipe = values.get("recipe") if isinstance(values, dict) else None
    return recipe.get("name") if isinstance(recipe, dict) else None
