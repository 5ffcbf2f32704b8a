"""Every command and where it lives; importing this module loads no heavy library."""

from __future__ import annotations

import typer

from cairn.cli import data, demo, embed, evaluate, gallery, inspect, penalize, recognize, train

app = typer.Typer(
    name="cairn",
    help="Recognize landmarks: train, embed, search exactly, discount non-landmarks, evaluate.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("demo")(demo.demo)
app.add_typer(data.data, name="data")
app.command("inspect")(inspect.inspect)
app.command("train")(train.train)
app.command("embed")(embed.embed)
app.add_typer(gallery.app, name="gallery")
app.command("penalize")(penalize.penalize)
app.command("recognize")(recognize.recognize)
app.command("evaluate")(evaluate.evaluate)
