"""``cairn embed``: the images of a manifest into a table of embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cairn.cli.output import Json, emit, resumable

Workers = Annotated[int, typer.Option(help="Decoding threads; 0 for as many as processors.")]
Backend = Annotated[str, typer.Option(help="auto, torch, openvino or onnx.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]


def embed(
    model: Annotated[Path, typer.Argument(help="A model folder, or an export.")],
    manifest: Annotated[Path, typer.Argument(help="The images: .parquet or .csv.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The folder to write, or to continue.")
    ],
    role: Annotated[
        str,
        typer.Option(
            help="Which images: gallery (without any, the train ones), train, query, nonlandmark."
        ),
    ] = "gallery",
    batch_size: Annotated[
        int | None, typer.Option(help="Images that go through the network together.")
    ] = None,
    backend: Backend = "auto",
    device: Device = "auto",
    workers: Workers = 0,
    as_json: Json = False,
) -> None:
    """Embed the images of one role; an interrupted call continues when called again."""
    from dataclasses import asdict

    from cairn.embed import BATCH_SIZE
    from cairn.embed import embed as embed_manifest
    from cairn.manifest import Manifest
    from cairn.progress import say

    images = Manifest.read(manifest)
    chosen = images.gallery() if role == "gallery" else images.select(role)
    if role == "gallery" and "train" in chosen.roles:
        say("the manifest has no gallery images; its training images serve as the gallery")
    with resumable():
        result = embed_manifest(
            model,
            chosen,
            output,
            batch_size=BATCH_SIZE if batch_size is None else batch_size,
            backend=backend,
            device=device,
            workers=workers,
        )
    names = f" --names {manifest}" if "landmark_name" in images.table.column_names else ""
    next_step = {
        "gallery": f"\nnext: cairn gallery build {output} {model}{names} -o gallery",
        "nonlandmark": f"\nnext: cairn penalize gallery {output}",
    }
    emit(
        asdict(result),
        f"{result.num_embedded} images embedded, {result.num_unreadable} unreadable, "
        f"in {result.seconds:.1f} s: {output}{next_step.get(role, '')}",
        as_json=as_json,
    )
