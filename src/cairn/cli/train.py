"""``cairn train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cairn.cli.output import Json, emit


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A TOML file, or a built-in recipe: demo, small, frozen, finetune, ablation, "
            "ablation-gldv2, resnext101, gc-resnext101, gc-resnext101-avg, gc-resnext101-32x8d, "
            "efficientnet-b3, efficientnet-b7, densenet, focalnet, swin, nfnet, dinov2 or dinov3."
        ),
    ],
    data: Annotated[Path, typer.Option(help="The manifest: train and nonlandmark rows are used.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting, as section.key=value; may be repeated."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Run folder [runs/<date>-<name>].")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --out, or the newest.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    as_json: Json = False,
) -> None:
    """Train a model on the manifest's train rows; the run folder holds it in model/.

    Several GPUs or machines: torchrun --nproc-per-node 4 --max-restarts 3 -m cairn train ...; a run
    that loses a process goes on from its last state.
    """
    from cairn.config import read_recipe
    from cairn.errors import CairnError
    from cairn.manifest import Manifest
    from cairn.processes import is_main, let_main_speak
    from cairn.progress import say
    from cairn.train import train as run

    try:
        chosen = read_recipe(recipe, overrides or ())
        folder = run(chosen, Manifest.read(data), out=out, resume=resume, device=device)
    except CairnError:
        let_main_speak()
        raise
    except KeyboardInterrupt:
        if is_main():
            say("interrupted; the same command with --resume goes on where the state was saved")
        raise
    if not is_main():
        return
    emit(
        {"run": str(folder), "model": str(folder / "model")},
        f"model: {folder / 'model'}\nnext:  cairn embed {folder / 'model'} {data} "
        "--role gallery -o embeddings/gallery",
        as_json=as_json,
    )
