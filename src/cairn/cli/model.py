"""``cairn model``: what is done to a finished model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cairn.cli.output import Json, emit

app = typer.Typer(
    help="Change a finished model folder.", no_args_is_help=True, short_help="Change a model."
)


@app.callback()
def group() -> None:
    """Keep ``views`` a command of its own."""


@app.command("views", short_help="Look at several scales and mirror images, without training.")
def views(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The model folder to write, of the same weights.")
    ],
    flip: Annotated[
        bool, typer.Option("--flip", help="Mirror images too: twice the cost.")
    ] = False,
    scales: Annotated[
        str | None,
        typer.Option(help="Multiples of the model's image size, such as 0.7071,1,1.4142."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a model that averages the embeddings of several views of a photograph.

    Every command follows the new folder by itself; galleries must be embedded with it.
    """
    from cairn.checkpoint import model_fingerprint
    from cairn.views import add_views

    config = add_views(model, output, flip=flip, scales=_numbers(scales))
    seen = config.preprocess
    emit(
        {
            "model": output,
            "fingerprint": model_fingerprint(output),
            "sides": list(seen.sides),
            "flip": seen.flip,
            "cost": seen.cost,
        },
        f"{output} looks at {seen.views}: {seen.cost:.1f} times the pixels of one picture of "
        f"{seen.image_size} px\nnext: cairn embed {output} manifest.parquet -o embeddings",
        as_json=as_json,
    )


def _numbers(text: str | None) -> tuple[float, ...]:
    from cairn.errors import CairnError

    try:
        return (1.0,) if text is None else tuple(float(part) for part in text.split(","))
    except ValueError:
        raise CairnError(
            f"scales are numbers with commas between, not {text!r}",
            where="--scales",
            todo="such as --scales 0.7071,1,1.4142",
        ) from None
