"""Training: a recipe and a manifest in, a run folder with a model out.

A run is a function of recipe, data and seed; the folder records all three, and `--resume` refuses
to go on with others.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from cairn import processes
from cairn.config import Recipe
from cairn.curves import draw_curves
from cairn.engine import pick_device
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.progress import say
from cairn.state import state_path
from cairn.training import Trainer
from cairn.training.data import stage_manifests
from cairn.training.folder import begin_run, lost_run, made_of, require_seen, resume_run


def train(
    recipe: Recipe,
    manifest: Manifest,
    *,
    out: Path | None = None,
    resume: bool = False,
    device: str = "auto",
) -> Path:
    """Train and return the run folder; the best model lies in its ``model/``.

    Under torchrun every process calls this; the first writes and speaks. When torchrun starts the
    processes anew because one was lost, they take up the state saved last, without ``resume``.

    Args:
        recipe: What to train and how.
        manifest: Images; train rows are learned from, some of them and of the nonlandmark rows
            are held out to be scored on after each epoch.
        out: The run folder; by default a fresh ``runs/<date>-<name>``.
        resume: Continue the run in ``out``, or the newest of that recipe's name.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; under torchrun without a number.

    Raises:
        CairnError: Nothing to learn from, another recipe or other data than the run to resume
            had, or a loss that is no longer finite.
        KeyboardInterrupt: Asked to stop by Ctrl-C or SIGTERM; the state is saved where steps are
            under way.
    """
    with processes.process_group(device) as own:
        target = pick_device(own)
        others = stage_manifests(recipe)
        parts = made_of(recipe, manifest, others)
        lost = lost_run(out, parts)
        again = resume or lost is not None

        def place() -> tuple[Path, bool]:
            if again:
                found = resume_run(lost or out, parts)
            else:
                found = begin_run(out, parts, device=target)
            return found, (found / "model").is_dir()

        folder, finished = processes.from_main(place)
        if processes.is_main():
            say(f"{folder} is finished already" if finished else f"run folder: {folder}")
        if finished:
            return folder
        require_seen(folder)
        try:
            trainer = Trainer(recipe, manifest, folder, target, others=others)
            trainer.restore()
            trainer.run()
        except CairnError:
            if processes.is_main() and not again and not state_path(folder).is_file():
                shutil.rmtree(folder)  # nothing was learned: leave the place free for the next try
            raise
        if processes.is_main():
            draw_curves(folder)
        trainer.publish()
    return folder
