"""``cairn export``: a model as a file that runs without PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cairn.cli.embed import Workers
from cairn.cli.output import Json, emit


def export(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write.")],
    form: Annotated[str, typer.Option("--format", help="onnx or openvino.")] = "onnx",
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantise, by ranges measured on photographs of --data.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="int8: a manifest; its train and gallery rows give the ranges."),
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(help="int8: a gallery of this model; measures the GAP that is lost on --data"),
    ] = None,
    max_loss: Annotated[
        float | None,
        typer.Option(help="int8: GAP that may be lost to stand in for the model; 0.01 by default."),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Least cosine to PyTorch; by default 0.9999, in int8 0.9."),
    ] = None,
    workers: Workers = 0,
    as_json: Json = False,
) -> None:
    """Export a model to ONNX or OpenVINO, and prove that it gives the model's embeddings."""
    from dataclasses import asdict

    from cairn.errors import CairnError
    from cairn.export import MAX_LOSS, export_model
    from cairn.gallery import Gallery
    from cairn.manifest import Manifest

    if not int8 and (data is not None or max_loss is not None):
        raise CairnError("--data and --max-loss are for --int8", todo="add --int8")
    made = export_model(
        model,
        output,
        form=form,
        int8=int8,
        manifest=None if data is None else Manifest.read(data),
        gallery=None if gallery is None else Gallery.load(gallery),
        max_loss=MAX_LOSS if max_loss is None else max_loss,
        tolerance=tolerance,
        workers=workers,
    )
    parity, loss = made.parity, made.loss
    lines = [
        f"{made.form} {made.precision}: {output / made.network}",
        f"beside float32 PyTorch: least cosine {parity['min_cosine']:.6f}, largest difference "
        f"{parity['max_difference']:.2g}",
    ]
    if loss is not None:
        lines.append(
            f"GAP on {loss['num_queries']} queries: {loss['gap_before']:.4f} by the model, "
            f"{loss['gap_after']:.4f} in int8; lost {loss['lost']:.4f} "
            f"[{loss['low']:.4f}, {loss['high']:.4f}]"
        )
    if not made.stands_for:
        told = "was not measured (--gallery)" if loss is None else f"is above {loss['allowed']}"
        lines.append(f"galleries of this model refuse the export: the loss of GAP {told}")
        lines.append(f"next: cairn embed {output} manifest.parquet --role gallery -o embeddings")
    else:
        lines.append(f"next: cairn recognize gallery photo.jpg --model {output}")
    emit(
        {"export": output, "stands_for": made.stands_for, **asdict(made)},
        "\n".join(lines),
        as_json=as_json,
    )
