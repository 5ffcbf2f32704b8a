"""``cairn ensemble``: several models answer together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cairn.cli.embed import Backend, Device, Workers
from cairn.cli.output import Json, emit, resumable
from cairn.errors import CairnError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cairn.ensemble import Ensemble
    from cairn.gallery import Gallery

app = typer.Typer(help="Let several models answer together.", no_args_is_help=True)


@app.command("fit", short_help="Weigh models on validation photographs, or as told.")
def fit(
    galleries: Annotated[
        list[str], typer.Argument(help="Galleries of the same photographs, each by its model.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write: ensemble.json.")
    ],
    validation: Annotated[
        Path | None,
        typer.Option(help="A manifest: its queries judge the weights. No test photographs."),
    ] = None,
    by: Annotated[
        str, typer.Option(help="votes, similarity, concatenation, ranks or borda.")
    ] = "votes",
    weights: Annotated[
        str | None, typer.Option(help="In place of fitted ones, in the galleries' order: 2,1,1.")
    ] = None,
    penalty: Annotated[bool, typer.Option(help="Take the galleries' penalties off.")] = True,
    backend: Backend = "auto",
    device: Device = "auto",
    workers: Workers = 0,
    as_json: Json = False,
) -> None:
    """Put models together; interrupted, the same command continues."""
    from cairn.ensemble.fitting import fit_manifest, given_ensemble
    from cairn.ensemble.settings import require_way
    from cairn.gallery import Gallery
    from cairn.runs import require_absent

    require_way(by)
    require_absent(output)
    numbers = None if weights is None else _numbers(weights)
    if validation is None and numbers is None:
        raise CairnError(
            "weights are fitted on photographs, or given",
            todo="add --validation MANIFEST or --weights 1,1",
        )
    loaded = [Gallery.load(one, penalty=penalty) for one in galleries]
    if validation is None:
        made = given_ensemble(loaded, numbers or (), by=by)  # type: ignore[arg-type]
    else:
        manifest = _validation(validation, galleries)
        place = output.with_name(f"{output.stem}-validation-embeddings")
        with resumable():
            made = fit_manifest(
                loaded,
                manifest,
                place,
                by=by,  # type: ignore[arg-type]
                weights=numbers,
                backend=backend,
                device=device,
                workers=workers,
            )
    made.write(output)
    emit({"ensemble": output, **_value(made)}, _table(made, loaded, output), as_json=as_json)


@app.command("recognize", short_help="Answer the queries of a manifest with all models.")
def recognize(
    ensemble: Annotated[Path, typer.Argument(help="What `cairn ensemble fit` wrote.")],
    manifest: Annotated[Path, typer.Argument(help="The queries: .parquet or .csv.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Submission .csv, or .parquet of predictions.")
    ],
    backend: Backend = "auto",
    device: Device = "auto",
    workers: Workers = 0,
    as_json: Json = False,
) -> None:
    """Answer a manifest's queries; embeddings are kept beside the answers and continued."""
    from cairn.ensemble import Ensemble, recognize_manifest
    from cairn.manifest import Manifest
    from cairn.predictions import write_answers
    from cairn.runs import require_absent

    require_absent(output)
    place = output.with_name(f"{output.stem}-embeddings")
    read = Ensemble.read(ensemble)
    with resumable():
        answers = recognize_manifest(
            read, Manifest.read(manifest), place, backend=backend, device=device, workers=workers
        )
    write_answers(output, answers.predictions)
    count, unreadable = len(answers.predictions), len(answers.unreadable)
    emit(
        {
            "submission": output,
            "num_queries": count,
            "num_unreadable": unreadable,
            "embeddings": place,
            "by": read.by,
            "weights": list(read.weights),
        },
        f"{count} queries answered, {unreadable} of them unreadable: {output}\n"
        f"next: cairn evaluate {output} {manifest} -o evaluation",
        as_json=as_json,
    )


@app.command("gallery", short_help="One gallery of all models' embeddings, for any command.")
def gallery(
    ensemble: Annotated[Path, typer.Argument(help="An ensemble by similarity or concatenation.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="The gallery to make: a folder, or s3://...")
    ],
    as_json: Json = False,
) -> None:
    """Make the gallery of concatenated embeddings; photographs for it go through all models."""
    from cairn.ensemble import Ensemble, build_gallery
    from cairn.ensemble.answering import load_galleries

    read = Ensemble.read(ensemble)
    if read.by not in ("similarity", "concatenation"):
        raise CairnError(
            f"weights of {read.by} are none of similarities, which a joint gallery needs",
            where=ensemble,
            todo="fit an ensemble --by concatenation",
        )
    made = build_gallery(load_galleries(read), read.weights, output)
    emit(
        {
            "gallery": output,
            "num_images": len(made.table),
            "num_landmarks": made.num_landmarks,
            "dimension": made.table.dimension,
            "model": made.table.fingerprint,
            "penalized": made.penalty is not None,
        },
        f"{len(made.table)} images of {made.num_landmarks} landmarks in {made.table.dimension} "
        f"dimensions: {output}\nnext: cairn recognize {output} photo.jpg",
        as_json=as_json,
    )


def _validation(path: Path, galleries: Sequence[str]) -> Any:
    """Return the manifest, having refused photographs that a gallery or its bank has."""
    from cairn.manifest import Manifest
    from cairn.splitting.evaluation import verify_evaluation

    manifest = Manifest.read(path)
    asked = manifest.queries(todo="give the validation photographs that role", where=path)
    for one in galleries:
        leaks, _ = verify_evaluation(asked.image_ids, manifest, gallery=Path(one))
        leaks.refuse_leaks(
            path,
            "photographs that were seen before flatter a model: `cairn data verify` names them, "
            "`cairn data split` makes a split without any",
        )
    return manifest


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise CairnError(
            f"weights are numbers with commas between, not {text!r}",
            where="--weights",
            todo="one for each gallery, such as --weights 2,1",
        ) from None


def _value(made: Ensemble) -> dict[str, Any]:
    told = made.validation
    return {
        "by": made.by,
        "weights": list(made.weights),
        "weights_are": "fitted" if made.is_fitted else "given",
        "galleries": [member.gallery for member in made.members],
        "gap": told and told.gap,
        "gap_even": told and told.gap_even,
        "gap_alone": told and list(told.gap_alone),
        "num_queries": told and told.num_queries,
    }


def _table(made: Ensemble, galleries: Sequence[Gallery], output: Path) -> str:
    told = made.validation
    lines = []
    for number, (one, weight) in enumerate(zip(galleries, made.weights, strict=True)):
        alone = "" if told is None else f"   GAP alone {told.gap_alone[number]:.4f}"
        lines.append(f"weight {weight:.2f}   {one.location}{alone}")
    if told is not None:
        kind = "fitted, so too good" if made.is_fitted else "given"
        lines.append(
            f"GAP on {told.num_queries} validation photographs: {told.gap:.4f} ({kind}), "
            f"{told.gap_even:.4f} with even weights"
        )
    lines.append(f"written to {output}; next: cairn ensemble recognize {output} MANIFEST -o FILE")
    return "\n".join(lines)
