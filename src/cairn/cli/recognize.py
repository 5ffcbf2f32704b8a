"""``cairn recognize``: which landmark photographs show, and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cairn.cli.answers import as_json_of, as_table
from cairn.cli.embed import Backend, Device
from cairn.cli.output import Json, emit, resumable
from cairn.errors import CairnError

if TYPE_CHECKING:
    from cairn.domain import Prediction
    from cairn.gallery import Gallery
    from cairn.manifest import Manifest
    from cairn.rerank import Pipeline

_FEW = 16  # for fewer photographs, preparing OpenVINO takes longer than it saves


def recognize(
    gallery: Annotated[Path, typer.Argument(help="A gallery: a folder, or s3://bucket/prefix.")],
    photographs: Annotated[
        list[Path], typer.Argument(help="Photographs, folders of them, or one manifest.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Submission .csv, or .parquet with evidence and chances; manifests need it.",
        ),
    ] = None,
    top: Annotated[
        int | None, typer.Option(help="Gallery images to show as evidence; 5 by default.")
    ] = None,
    penalty: Annotated[bool, typer.Option(help="Take the gallery's penalty off.")] = True,
    search: Annotated[
        Literal["exact", "approximate"],
        typer.Option(help="approximate: through the index that `cairn gallery tune` keeps."),
    ] = "exact",
    stages: Annotated[
        Path | None,
        typer.Option(help="A recipe of stages (.toml) in place of the nearest image."),
    ] = None,
    rank_by: Annotated[
        Literal["confidence", "chance"],
        typer.Option(help="chance: the submission's numbers are calibrated chances."),
    ] = "confidence",
    model: Annotated[
        Path | None,
        typer.Option(
            help="An export of the gallery's model (`cairn export`), to run in its place."
        ),
    ] = None,
    backend: Backend = "auto",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Answer photographs with landmark, confidence and evidence.

    With -o, a manifest, a folder or many photographs are embedded beside the answers first, and the
    same command goes on after an interruption.
    """
    from cairn.columns import TABLE_SUFFIXES
    from cairn.gallery import require_gallery
    from cairn.recognize import TOP
    from cairn.runs import require_absent

    if output is not None:
        require_absent(output)
    require_gallery(gallery)
    if rank_by == "chance":
        _require_chances(gallery, output, use_penalty=penalty, search=search, stages=stages)
    wishes: dict[str, Any] = {
        "top": TOP if top is None else top,
        "use_penalty": penalty,
        "search": search,
        "stages": stages,
        "device": device,
        "backend": backend,
        "model_dir": model,
    }
    if any(path.suffix.lower() in TABLE_SUFFIXES for path in photographs):
        if len(photographs) > 1:
            raise CairnError("give one manifest, or photographs, not both", where=photographs[0])
        if output is None:
            raise CairnError("a manifest needs a place for its answers", todo="add -o FILE.csv")
        _manifest(gallery, photographs[0], output, rank_by, wishes, as_json)
        return
    paths = _photographs(photographs)
    is_many = len(paths) >= _FEW or any(path.is_dir() for path in photographs)
    if output is not None and is_many:
        _folder(gallery, paths, output, rank_by, wishes, as_json)
        return
    if backend == "auto" and model is None and len(paths) < _FEW:
        wishes["backend"] = "torch"
    _photos(gallery, paths, output, rank_by, wishes, as_json)


def _require_chances(
    gallery: Path, output: Path | None, *, use_penalty: bool, search: str, stages: Path | None
) -> None:
    """Refuse to rank by chances that the gallery does not know, before any work."""
    from cairn.gallery import Gallery
    from cairn.gallery.calibrations import calibration_of

    if output is None:
        raise CairnError(
            "what is printed has both confidence and chance; a submission has one number",
            where="--rank-by chance",
            todo="add -o FILE.csv",
        )
    loaded, basis = Gallery.load(gallery, penalty=use_penalty), None
    if stages is not None:
        from cairn.stacks import Stack

        stack = Stack.read(loaded, stages, use_penalty=use_penalty, search=search)
        loaded, basis, use_penalty = stack.gallery, stack.basis, stack.uses_penalty
    calibration_of(loaded, use_penalty=use_penalty, search=search, stages=basis)


def _ranked(predictions: Sequence[Prediction], rank_by: str) -> Sequence[Prediction]:
    from cairn.calibration import rank_by_chance

    return rank_by_chance(predictions) if rank_by == "chance" else predictions


def _manifest(
    folder: Path,
    path: Path,
    output: Path,
    rank_by: str,
    wishes: dict[str, Any],
    as_json: bool,
) -> None:
    from cairn.manifest import Manifest

    manifest = Manifest.read(path)
    _warn_of_leaks(manifest, folder)
    next_step = f"\nnext: cairn evaluate {output} {path} -o evaluation"
    _to_file(folder, manifest, output, rank_by, wishes, as_json, next_step)


def _folder(
    folder: Path,
    paths: Sequence[Path],
    output: Path,
    rank_by: str,
    wishes: dict[str, Any],
    as_json: bool,
) -> None:
    """Answer many photographs as a manifest of them is answered; their paths are their ids."""
    from cairn.manifest import Manifest

    names = [str(path) for path in paths]
    nothing = [""] * len(names)
    columns = {"image_id": names, "path": names, "landmark_id": nothing}
    queries = Manifest.from_columns({**columns, "role": ["query"] * len(names)}, root=Path())
    _to_file(folder, queries, output, rank_by, wishes, as_json, "")


def _to_file(
    folder: Path,
    manifest: Manifest,
    output: Path,
    rank_by: str,
    wishes: dict[str, Any],
    as_json: bool,
    next_step: str,
) -> None:
    from cairn.embed import UNREADABLE_NAME
    from cairn.gallery import Gallery
    from cairn.predictions import write_answers
    from cairn.recognize import recognize_manifest
    from cairn.rerank import as_pipeline

    if wishes["stages"] is not None:
        wishes = {**wishes, "stages": as_pipeline(wishes["stages"])}
    embeddings = output.with_name(f"{output.stem}-embeddings")
    gallery = Gallery.load(folder, penalty=wishes["use_penalty"])
    with resumable():
        answers = recognize_manifest(manifest, gallery, embeddings, **wishes)
    write_answers(output, _ranked(answers.predictions, rank_by))
    count, unreadable = len(answers.predictions), len(answers.unreadable)
    verdicts = [one.is_known for one in answers.predictions if one.is_known is not None]
    known = sum(verdicts) if verdicts else None
    listed = f" ({embeddings / UNREADABLE_NAME})" if unreadable else ""
    emit(
        {
            "submission": output,
            "num_queries": count,
            "num_unreadable": unreadable,
            "unreadable": dict(answers.unreadable),
            "embeddings": embeddings,
            "num_known": known,
            "penalized": _penalized(wishes, gallery),
            "ranked_by": rank_by,
            **_stages_of(wishes["stages"]),
        },
        f"{count} queries answered, {unreadable} of them unreadable{listed}: {output}"
        + ("" if known is None else f"\n{known} of them count as known, by the calibration")
        + next_step,
        as_json=as_json,
    )


def _penalized(wishes: dict[str, Any], gallery: Gallery) -> bool:
    stages: Pipeline | None = wishes["stages"]
    if stages is not None:
        return any(stage.name == "penalty" for stage in stages.stages)
    return gallery.penalty is not None


def _stages_of(pipeline: Pipeline | None) -> dict[str, Any]:
    """Return the stages with all their values, for whoever reads what an answer came of."""
    if pipeline is None:
        return {"stages": None}
    return {"stages": pipeline.to_json(), "num_hits": pipeline.num_hits}


def _warn_of_leaks(manifest: Manifest, gallery: Path) -> None:
    """Say before the work where queries are among what answers them: their scores will flatter."""
    from cairn.progress import say
    from cairn.splitting.evaluation import verify_evaluation

    queries = manifest.select("query")
    found, _ = verify_evaluation(queries.image_ids, queries, gallery=gallery)
    for leak in found.leaks:
        say(f"warning: {leak.text} ({leak.shown()}); `cairn evaluate` will refuse that")


def _photos(
    folder: Path,
    paths: Sequence[Path],
    output: Path | None,
    rank_by: str,
    wishes: dict[str, Any],
    as_json: bool,
) -> None:
    from cairn.domain import Prediction
    from cairn.predictions import write_answers
    from cairn.progress import say
    from cairn.recognize import Recognizer
    from cairn.rerank import as_pipeline

    if wishes["stages"] is not None:
        wishes = {**wishes, "stages": as_pipeline(wishes["stages"])}
    recognizer = Recognizer.load(folder, **wishes)
    answers = recognizer.batch(paths)
    for name, reason in answers.unreadable.items():
        say(f"unreadable: {name}: {reason}")
    if output is not None and answers.predictions:
        made = {answer.image_id: answer for answer in answers.predictions}
        rows = [made.get(str(path)) or Prediction(str(path), None, 0.0) for path in paths]
        write_answers(output, _ranked(rows, rank_by))
    if as_json:  # reasons are wanted most where nothing could be read
        emit({**as_json_of(answers), **_stages_of(wishes["stages"])}, "", as_json=True)
    elif answers.predictions:
        print(as_table(answers.predictions))
    if not answers.predictions:
        name, reason = next(iter(answers.unreadable.items()))
        raise CairnError(
            f"none of the {len(paths)} photographs can be read"
            if len(paths) > 1
            else "the photograph cannot be read",
            where=f"{name}: {reason}",
            todo="give JPEG, PNG or WebP files, or a folder of them",
        )


def _photographs(given: Sequence[Path]) -> list[Path]:
    """Return the files given, folders replaced by the photographs in them, each once."""
    from cairn.images import IMAGE_SUFFIXES

    found: list[Path] = []
    for path in given:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        if not inside:
            raise CairnError("this folder has no photographs", where=path)
        found += inside
    return list(dict.fromkeys(found))
