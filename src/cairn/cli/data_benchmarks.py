"""``cairn data kaggle|met|roxford``: the field's data sets as they are published."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cairn.cli.manifests import Output, finish
from cairn.cli.output import Json


def roxford(
    root: Annotated[
        Path, typer.Argument(help="Folder with gnd_roxford5k.pkl or gnd_rparis6k.pkl, and jpg/.")
    ],
    output: Output,
    distractors: Annotated[
        Path | None, typer.Option(help="Further gallery images, such as revisitop1m/jpg.")
    ] = None,
    crop: Annotated[
        bool, typer.Option(help="Cut the queries out, as the protocol asks; or leave them whole.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Make a manifest of ROxford5k or RParis6k; its ground truth beside it, as JSON.

    For a manifest NAME.parquet the queries, cut out, go to the folder NAME-queries, and what
    `cairn retrieval evaluate` judges by to NAME-truth.json.
    """
    from cairn.runs import require_absent
    from cairn.sources.roxford import read_revisited

    queries_dir = output.with_name(f"{output.stem}-queries")
    truth = output.with_name(f"{output.stem}-truth.json")
    for place in (truth, *([queries_dir] if crop else [])):
        require_absent(place)
    found = read_revisited(root, queries_dir=queries_dir if crop else None, distractors=distractors)
    found.truth.write(truth)
    extra = {"truth": truth, "queries": queries_dir if crop else None}
    finish(
        found.manifest,
        output,
        (*found.notes, f"the ground truth is {truth}"),
        extra,
        as_json=as_json,
        next_step="cairn embed MODEL {} --role gallery -o embeddings/gallery",
    )


def met(
    root: Annotated[
        Path, typer.Argument(help="Folder with MET_database.json, testset.json and the images.")
    ],
    output: Output,
    mini: Annotated[
        bool, typer.Option("--mini", help="The small database: mini_MET_database.json.")
    ] = False,
    queries: Annotated[str, typer.Option(help="Which queries: test, val or none.")] = "test",
    check: Annotated[bool, typer.Option(help="Look whether the images are there.")] = True,
    as_json: Json = False,
) -> None:
    """Make a manifest of the Met dataset: exhibits to train on, queries with distractors."""
    from cairn.sources.met import read_met

    found = read_met(root, mini=mini, queries=queries, check=check)
    finish(found.manifest, output, found.notes, {"num_missing": found.num_missing}, as_json=as_json)


def kaggle(
    root: Annotated[
        Path, typer.Argument(help="Folder with train.csv, train/ and test/ of the competition.")
    ],
    output: Output,
    solution: Annotated[
        Path | None,
        typer.Option(help="What is true of the test images: CSV id,landmarks[,Usage]."),
    ] = None,
    check: Annotated[bool, typer.Option(help="Look whether the images are there.")] = True,
    as_json: Json = False,
) -> None:
    """Make a manifest of Google Landmark Recognition 2019, 2020 or 2021 as Kaggle lays it out."""
    from cairn.sources.kaggle import read_kaggle

    found = read_kaggle(root, solution=solution, check=check)
    finish(
        found.manifest,
        output,
        found.notes,
        {"num_missing": found.num_missing},
        as_json=as_json,
        truth_known=solution is not None,
    )
