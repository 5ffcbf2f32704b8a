"""The folder of a run: a fresh one, the one to resume, or the one that a lost process left."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cairn import processes
from cairn.config import Recipe
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.runs import new_run, provenance, read_json, require_absent, write_json

RUNS = Path("runs")


def made_of(recipe: Recipe, manifest: Manifest, others: Mapping[str, Manifest]) -> dict[str, Any]:
    """Return what a run is a function of, as its config.json records it."""
    values = {"recipe": recipe.model_dump(mode="json"), "data": manifest.fingerprint}
    stages = {name: other.fingerprint for name, other in others.items()}
    return {**values, "stage_data": stages} if stages else values


def begin_run(out: Path | None, parts: Mapping[str, Any], *, device: torch.device) -> Path:
    """Return a fresh run folder that records what the run is made of.

    Args:
        out: Where; by default ``runs/<date>-<name>``.
        parts: Of `made_of`.
        device: Where it will run.

    Raises:
        CairnError: The place is taken.
    """
    recipe = parts["recipe"]
    if out is None:
        folder = new_run(RUNS, recipe["name"])
    else:
        require_absent(out)
        out.mkdir(parents=True, exist_ok=True)
        folder = out
    write_json(folder / "config.json", parts)
    write_json(
        folder / "provenance.json",
        provenance(
            data=parts["data"],
            seed=recipe["seed"],
            threads=torch.get_num_threads(),
            processes=processes.size(),
            launch=processes.launch(),
            device=torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        ),
    )
    return folder


def resume_run(out: Path | None, parts: Mapping[str, Any]) -> Path:
    """Return the folder of the run to go on with: ``out``, or the newest of the recipe's name.

    Raises:
        CairnError: There is none, or it is made of something else.
    """
    folder = out or newest_run(parts["recipe"]["name"])
    if not (folder / "config.json").is_file():
        raise CairnError(
            "no run to resume here: it has no config.json",
            where=folder.absolute(),
            todo="give the folder of a run as --out, or leave out --resume",
        )
    recorded = read_json(folder / "config.json")
    if recorded != parts:
        same = isinstance(recorded, dict) and recorded.get("recipe") == parts["recipe"]
        part = "data" if same else "recipe"
        raise CairnError(
            f"the run was started with another {part}",
            where=folder / "config.json",
            todo="start a fresh run without --resume, or give the same recipe, overrides and data",
        )
    return folder


def lost_run(out: Path | None, parts: Mapping[str, Any]) -> Path | None:
    """Return the run that torchrun has started anew after a process was lost; every process calls.

    None where it has not, or the process was lost before the run had a folder. Machines that leave
    or join make torchrun start anew without counting it; the name of the launch tells then.
    """
    restarted = processes.num_restarts() > 0
    found = [out / "config.json"] if out else list(RUNS.glob("*/config.json"))
    same = [path for path in found if path.is_file() and read_json(path) == parts]
    again = [path.parent for path in same if restarted or _is_of_this_launch(path.parent)]
    return max(again, key=lambda folder: _age(folder / "config.json"), default=None)


def newest_run(name: str) -> Path:
    """Return the folder of the newest run of a recipe's name.

    Raises:
        CairnError: There is none.
    """
    found = [path for path in RUNS.glob("*/config.json") if _name(path) == name]
    if not found:
        raise CairnError(
            f"no run of {name!r} to resume", where=RUNS.absolute(), todo="leave out --resume"
        )
    return max(found, key=_age).parent


def require_seen(folder: Path) -> None:
    """Refuse to go on where a process does not see the run folder that the first one made.

    Raises:
        CairnError: It does not.
    """
    if not (folder / "config.json").is_file():
        raise CairnError(
            f"process {processes.rank()} does not see the run folder",
            where=folder.absolute(),
            todo="put it on a file system that all machines share: --out FOLDER",
        )


def _is_of_this_launch(folder: Path) -> bool:
    path = folder / "provenance.json"
    name = processes.launch()
    return bool(name) and path.is_file() and read_json(path).get("launch") == name


def _age(path: Path) -> float:
    return path.stat().st_mtime


def _name(path: Path) -> object:
    """Return the name of the recipe that a run's config.json records; None where it is none."""
    values = read_json(path)
    recipe = values.get("recipe") if isinstance(values, dict) else None
    return recipe.get("name") if isinstance(recipe, dict) else None
