"""``cairn gallery``: what photographs are recognized against, and how it changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cairn.cli import gallery_check, gallery_history, gallery_recalibrate, gallery_tune
from cairn.cli.embed import Backend, Device, Workers
from cairn.cli.output import Json, emit
from cairn.errors import CairnError

if TYPE_CHECKING:
    from cairn.gallery import Entry, Gallery
    from cairn.labels import Labels

app = typer.Typer(
    no_args_is_help=True, help="Make a gallery to recognize against, change it, go back."
)

Where = Annotated[str, typer.Argument(help="The gallery: a folder, or s3://bucket/prefix.")]
BatchSize = Annotated[int | None, typer.Option(help="Images that go through the network together.")]


@app.callback()
def _group() -> None:
    """Make a gallery to recognize against, change it, go back."""


@app.command("build", short_help="Make a gallery, with its model, of embeddings.")
def build(
    embeddings: Annotated[Path, typer.Argument(help="A folder that `cairn embed` wrote.")],
    model: Annotated[Path, typer.Argument(help="The model folder that made it.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="Where to: a new folder, or s3://bucket/prefix.")
    ],
    names: Annotated[
        Path | None,
        typer.Option(help="The manifest: names, categories, places, links, authors, licences."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a gallery, complete with its model, of labelled embeddings."""
    from cairn.gallery import Gallery

    labels = None if names is None else _labels(names)
    made = Gallery.build(embeddings, model, output, labels=labels)
    emit(
        {
            "folder": output,
            "version": made.version,
            "num_images": len(made.table),
            "num_landmarks": made.num_landmarks,
            "num_named": len(made.landmark_names),
            "fingerprint": made.table.fingerprint,
        },
        f"gallery of {len(made.table)} images of {made.num_landmarks} landmarks: {output}\n"
        + _unnamed(made, names)
        + f"next: cairn penalize {output} BANK, or cairn recognize {output} PHOTOGRAPH",
        as_json=as_json,
    )


@app.command("add")
def add(
    gallery: Where,
    source: Annotated[
        Path,
        typer.Argument(
            help="Embeddings by the gallery's model, or a manifest of photographs to embed with it."
        ),
    ],
    names: Annotated[
        Path | None,
        typer.Option(help="With embeddings: the manifest with names and what else is known."),
    ] = None,
    batch_size: BatchSize = None,
    backend: Backend = "auto",
    device: Device = "auto",
    workers: Workers = 0,
    as_json: Json = False,
) -> None:
    """Add images, all or none. Ids that the gallery has are refused."""
    from cairn.columns import TABLE_SUFFIXES
    from cairn.embed import BATCH_SIZE
    from cairn.gallery import add_embeddings, add_photographs
    from cairn.manifest import Manifest
    from cairn.tables import DATASET_NAME

    if source.suffix.lower() not in TABLE_SUFFIXES or source.is_dir():
        if source.exists() and not (source / DATASET_NAME).exists():
            folder = source if source.is_dir() else "PHOTOGRAPHS"
            raise CairnError(
                "these are neither embeddings nor a manifest",
                where=source,
                todo=f"photographs need a manifest: cairn data folder {folder} -o new.parquet",
            )
        labels = None if names is None else _labels(names)
        _emit(add_embeddings(gallery, source, labels=labels), gallery, as_json)
        return
    if names is not None:
        raise CairnError("a manifest names its landmarks itself", where="--names", todo="leave out")
    entry = add_photographs(
        gallery,
        Manifest.read(source),
        batch_size=BATCH_SIZE if batch_size is None else batch_size,
        backend=backend,
        device=device,
        workers=workers,
    )
    _emit(entry, gallery, as_json)


@app.command("remove")
def remove(
    gallery: Where,
    images: Annotated[list[str] | None, typer.Argument(help="Ids of images.")] = None,
    landmark: Annotated[
        list[str] | None,
        typer.Option(help="Remove all images of this landmark; may be given several times."),
    ] = None,
    ids: Annotated[
        Path | None, typer.Option(help="A file with one image id a line, or a manifest.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Remove images, by id or by landmark, all or none. Unknown ids are refused."""
    from cairn.gallery import remove_images

    image_ids = [*(images or []), *(_ids(ids) if ids else [])]
    _emit(
        remove_images(gallery, image_ids=image_ids, landmark_ids=landmark or []), gallery, as_json
    )


@app.command("merge", short_help="Give all images of one landmark to another.")
def merge(
    gallery: Where,
    landmark: Annotated[str, typer.Argument(help="The landmark that goes.")],
    into: Annotated[str, typer.Option(help="The landmark that gets its images, and stays.")],
    as_json: Json = False,
) -> None:
    """Give all images of one landmark to another: `merge GALLERY OLD --into KEPT`."""
    from cairn.gallery import merge_landmarks

    _emit(merge_landmarks(gallery, landmark, into=into), gallery, as_json)


@app.command("rename")
def rename(
    gallery: Where,
    landmark: Annotated[str, typer.Argument(help="The landmark's id, which stays.")],
    name: Annotated[str, typer.Argument(help="Its name for people; '' for none.")],
    as_json: Json = False,
) -> None:
    """Give a landmark another name for people."""
    from cairn.gallery import rename_landmark

    _emit(rename_landmark(gallery, landmark, name), gallery, as_json)


@app.command("describe", short_help="Names, categories, places, links, authors, licences.")
def describe(
    gallery: Where,
    table: Annotated[
        Path,
        typer.Argument(
            help="A manifest, or a table with a row for each landmark_id; CSV, Parquet."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Bring what people read from a manifest or a table of landmarks into a gallery.

    What the table says takes the place of what the gallery has; what it leaves empty stays.
    """
    from cairn.gallery import describe as describe_gallery
    from cairn.labels import read_labels
    from cairn.progress import say

    labels = read_labels(table)
    for note in labels.notes:
        say(f"note: {note}")
    _emit(describe_gallery(gallery, labels, origin=str(table)), gallery, as_json)


@app.command("reembed", short_help="Embed every photograph with another model.")
def reembed(
    gallery: Where,
    model: Annotated[Path, typer.Argument(help="The model folder to go over to.")],
    bank: Annotated[
        Path | None,
        typer.Option(help="Non-landmarks embedded by it; by default the old bank's photographs."),
    ] = None,
    drop_missing: Annotated[
        bool, typer.Option("--drop-missing", help="Drop images whose photographs are not there.")
    ] = False,
    batch_size: BatchSize = None,
    backend: Backend = "auto",
    device: Device = "auto",
    workers: Workers = 0,
    as_json: Json = False,
) -> None:
    """Embed every photograph with another model; interrupted, it goes on when called again."""
    from cairn.embed import BATCH_SIZE
    from cairn.gallery import reembed as reembed_gallery
    from cairn.tables import EmbeddingTable

    entry = reembed_gallery(
        gallery,
        model,
        bank=None if bank is None else EmbeddingTable.read(bank),
        drop_missing=drop_missing,
        batch_size=BATCH_SIZE if batch_size is None else batch_size,
        backend=backend,
        device=device,
        workers=workers,
    )
    _emit(entry, gallery, as_json)


app.command("log")(gallery_history.log)
app.command("rollback", short_help="Go back to an earlier version, as a new one.")(
    gallery_history.rollback
)
app.command("tag")(gallery_history.tag)
app.command("compact", short_help="Fewer files; old versions go, and what only they need.")(
    gallery_history.compact
)
app.command("tune", short_help="The quickest search that keeps a stated recall.")(gallery_tune.tune)
app.command("recalibrate", short_help="Chances and verdicts again, after a change.")(
    gallery_recalibrate.recalibrate
)
app.command("check", short_help="Wrong labels, collisions, duplicates, magnets.")(
    gallery_check.check
)


def _emit(entry: Entry, gallery: str, as_json: bool) -> None:
    from cairn.gallery.stale import tell_if_stale

    value = {**entry.to_json(), "gallery": gallery}
    tell_if_stale(gallery, entry.content)
    emit(value, gallery_history.told(entry, gallery), as_json=as_json)


def _labels(path: Path) -> Labels:
    """Return the labels of a manifest, telling what is odd about them."""
    from cairn.labels import CREDIT_TEXTS, LANDMARK_TEXTS, Labels
    from cairn.manifest import Manifest
    from cairn.progress import say

    table = Manifest.read(path).table
    wanted = (*LANDMARK_TEXTS, "latitude", *CREDIT_TEXTS)
    if not set(wanted) & set(table.column_names):
        raise CairnError(
            "the manifest has nothing that people read of landmarks or photographs",
            where=path,
            todo=f"it needs a column such as {', '.join(wanted)}; or leave --names out",
        )
    labels = Labels.of(table)
    for note in labels.notes:
        say(f"note: {note}")
    return labels


def _unnamed(made: Gallery, names: Path | None) -> str:
    """Return a line that says how many landmarks have no name, where names were to be given."""
    missing = made.num_landmarks - len(made.landmark_names)
    return f"{missing} of the landmarks have no name\n" if names is not None and missing else ""


def _ids(path: Path) -> list[str]:
    """Return the image ids of a manifest, or of a file with one a line."""
    from cairn.columns import TABLE_SUFFIXES
    from cairn.manifest import Manifest

    if path.suffix.lower() in TABLE_SUFFIXES:
        return Manifest.read(path).image_ids
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise CairnError(
            f"not a readable file of ids: {reason}",
            where=path,
            todo="name a text file with one image id a line, or a manifest",
        ) from None
    found = [line for line in lines if line.strip()]
    if not found:
        raise CairnError("the file has no ids", where=path, todo="write one image id a line")
    return found
