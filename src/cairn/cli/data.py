"""``cairn data``: photographs as people have them, made into a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cairn.cli import data_benchmarks, data_clean, data_gldv2, data_photos, data_split
from cairn.cli.manifests import Exif, LabelSpace, Output, finish
from cairn.cli.output import Json
from cairn.errors import CairnError

if TYPE_CHECKING:
    from cairn.manifest import Manifest

data = typer.Typer(no_args_is_help=True, help="Make a manifest of photographs, and clean it.")


@data.command("folder", short_help="One folder of photographs per landmark.")
def folder(
    root: Annotated[Path, typer.Argument(help="Photographs, one folder per landmark.")],
    output: Output,
    nonlandmarks: Annotated[
        Path | None, typer.Option(help="Photographs of no landmark, for the penalty.")
    ] = None,
    queries: Annotated[
        Path | None, typer.Option(help="Photographs to ask about, one folder per landmark.")
    ] = None,
    query_nonlandmarks: Annotated[
        Path | None, typer.Option(help="Photographs to ask about that show no landmark.")
    ] = None,
    holdout: Annotated[
        float, typer.Option(help="Share of each landmark's photographs that become queries.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the holdout.")] = 0,
    label_space: LabelSpace = None,
    exif: Exif = False,
    as_json: Json = False,
) -> None:
    """Make a manifest of a plain tree: one folder per landmark, named after it."""
    from cairn.manifest import DEFAULT_LABEL_SPACE
    from cairn.sources.folder import read_folder

    found = read_folder(
        root,
        nonlandmarks=nonlandmarks,
        queries=queries,
        query_nonlandmarks=query_nonlandmarks,
        holdout=holdout,
        seed=seed,
        label_space=label_space or DEFAULT_LABEL_SPACE,
    )
    extra = {"num_skipped": len(found.skipped)}
    manifest, told = _with_exif(found.manifest) if exif else (found.manifest, [])
    finish(manifest, output, (*found.notes, *told), extra, as_json=as_json)


@data.command("csv", short_help="Any CSV or Parquet table of images.")
def csv(
    file: Annotated[Path, typer.Argument(help="A .csv, .tsv or .parquet table of images.")],
    output: Output,
    column: Annotated[
        list[str] | None,
        typer.Option(help="OURS=THEIRS, such as landmark_id=label; else guessed by name."),
    ] = None,
    role_map: Annotated[
        list[str] | None,
        typer.Option(help="VALUE=ROLE of the role column, such as index=nonlandmark or x=drop."),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Where relative paths start; else the table's folder.")
    ] = None,
    label_space: LabelSpace = None,
    exif: Exif = False,
    as_json: Json = False,
) -> None:
    """Make a manifest of any table of images; columns and roles are guessed where not told."""
    from cairn.manifest import DEFAULT_LABEL_SPACE
    from cairn.sources.tabular import read_contents

    found = read_contents(
        file,
        columns=_pairs(column, "--column"),
        roles=_pairs(role_map, "--role-map"),
        root=root,
        label_space=label_space or DEFAULT_LABEL_SPACE,
    )
    told = [f"{ours} is the column {theirs!r}" for ours, theirs in found.columns.items()]
    told += [f"{value!r} is the role {role}" for value, role in found.roles.items()]
    extra = {"columns": dict(found.columns), "role_map": dict(found.roles)}
    manifest, more = _with_exif(found.manifest) if exif else (found.manifest, [])
    finish(manifest, output, (*told, *found.notes, *more), extra, as_json=as_json)


def _with_exif(manifest: Manifest) -> tuple[Manifest, list[str]]:
    from cairn.sources.exif import with_exif

    return with_exif(manifest)


def _pairs(values: Sequence[str] | None, option: str) -> dict[str, str]:
    """Return ``left=right`` words, comma-separated or in several options, as a mapping."""
    pairs: dict[str, str] = {}
    for word in (word.strip() for value in values or () for word in value.split(",")):
        left, equals, right = (part.strip() for part in word.partition("="))
        if not (left and equals and right):
            raise CairnError(f"{option} takes LEFT=RIGHT", where=repr(word))
        if pairs.setdefault(left, right) != right:
            raise CairnError(f"{option} gives {left!r} two meanings", where=repr(word))
    return pairs


data.command("photos", short_help="Unsorted photographs, with GPS from EXIF.")(data_photos.photos)
data.command("kaggle", short_help="Google Landmark Recognition, as Kaggle has it.")(
    data_benchmarks.kaggle
)
data.command("met", short_help="The Met dataset.")(data_benchmarks.met)
data.command("roxford", short_help="ROxford5k and RParis6k.")(data_benchmarks.roxford)
data.command("gldv2", short_help="Google Landmarks v2, fetched and read.")(data_gldv2.gldv2)
data.command("clean", short_help="Suggest labels to change, with evidence.")(data_clean.clean)
data.command("apply", short_help="Write the manifest that suggestions lead to.")(data_clean.apply)
data.command("split")(data_split.split)
data.command("queries")(data_split.queries)
data.command("verify")(data_split.verify)
