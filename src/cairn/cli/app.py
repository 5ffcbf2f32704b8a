"""Every command and where it lives; importing this module loads no heavy library."""

from __future__ import annotations

import typer
from typer.core import TyperGroup

from cairn.cli import (
    attention,
    calibrate,
    data,
    demo,
    embed,
    ensemble,
    evaluate,
    export,
    gallery,
    inspect,
    lint,
    model,
    penalize,
    publish,
    recognize,
    report,
    reproduce,
    retrieval,
    serve,
    train,
    tune,
)

_ORDER = (
    "demo", "data", "inspect", "train", "model", "embed", "gallery", "penalize", "tune",
    "calibrate", "recognize", "ensemble", "serve", "evaluate", "report", "lint", "retrieval",
    "attention", "export", "push", "pull",
)  # fmt: skip


class _InOrder(TyperGroup):
    """Lists commands as the job goes, not groups last."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Return the names of the commands, in that order."""
        names = super().list_commands(ctx)
        return sorted(names, key=[*_ORDER, *names].index)


app = typer.Typer(
    name="cairn",
    cls=_InOrder,
    help="Recognize landmarks: train, embed, search exactly, discount non-landmarks, evaluate.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("demo", short_help="The whole job on a made-up world, to see what comes out.")(
    demo.demo
)
app.add_typer(data.data, name="data")
app.command("inspect", short_help="Imbalance, unreadable files, duplicates and leaks.")(
    inspect.inspect
)
app.command("train", short_help="Train an embedder on a manifest.")(train.train)
app.add_typer(model.app, name="model")
app.command("embed", short_help="Embed the images of one role of a manifest.")(embed.embed)
app.add_typer(gallery.app, name="gallery")
app.command("penalize", short_help="Discount gallery images that anything resembles.")(
    penalize.penalize
)
app.command("tune", short_help="Choose stages of re-ranking, and say what they are worth.")(
    tune.tune
)
app.command("calibrate", short_help="Say how likely answers are right, and what is unknown.")(
    calibrate.calibrate
)
app.command("recognize", short_help="Name the landmarks in photographs, with evidence.")(
    recognize.recognize
)
app.add_typer(ensemble.app, name="ensemble")
app.command("serve", short_help="Answer photographs over HTTP; the gallery lives on.")(serve.serve)
app.command("evaluate", short_help="Score answers, and write the report.")(evaluate.evaluate)
app.command("report", short_help="Compare runs, with what is significant and what changed.")(
    report.report
)
app.command("lint", short_help="List all that is wrong with a submission file.")(lint.lint)
app.command("attention", short_help="Where a model looks, and what speaks for a match.")(
    attention.attention
)
app.command("export", short_help="A model as ONNX or OpenVINO, float32 or int8.")(export.export)
app.add_typer(retrieval.app, name="retrieval")
app.command("push", short_help="Publish a gallery with its model: a folder, or the hub.")(
    publish.push
)
app.command("pull", short_help="Take in a published gallery, checked.")(publish.pull)
app.add_typer(reproduce.app, name="reproduce")
