"""``cairn calibrate``: how likely answers are right, and from which score a picture is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cairn.cli.embed import Backend, Device, Workers
from cairn.cli.output import Json, emit

if TYPE_CHECKING:
    from cairn.calibration import Calibration


def calibrate(
    gallery: Annotated[str, typer.Argument(help="The gallery: a folder, or s3://bucket/prefix.")],
    manifest: Annotated[
        Path, typer.Argument(help="Validation photographs: its rows of role query.")
    ],
    false_accept: Annotated[
        float | None,
        typer.Option(help="Share of unknown pictures that may pass as known; 0.01 by default."),
    ] = None,
    known_share: Annotated[
        float | None,
        typer.Option(
            help="Share of photographs that will show a landmark of the gallery in service; as "
            "among the validation's by default."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Also write figures and pictures to a new folder."),
    ] = None,
    penalty: Annotated[bool, typer.Option(help="Take the gallery's penalty off.")] = True,
    search: Annotated[
        Literal["exact", "approximate"],
        typer.Option(help="approximate: through the index that `cairn gallery tune` keeps."),
    ] = "exact",
    stages: Annotated[
        Path | None, typer.Option(help="A recipe of stages (.toml) whose answers are judged.")
    ] = None,
    backend: Backend = "auto",
    device: Device = "auto",
    workers: Workers = 0,
    as_json: Json = False,
) -> None:
    """Fit the chance of being right on validation queries, and keep it with the gallery.

    Some queries must show no landmark of the gallery, in about the share that is expected later,
    or in any if --known-share says what is expected; none may be among the gallery's photographs,
    the bank's, or those trained on. Their embeddings are kept too, so that after a change of the
    gallery `cairn gallery recalibrate` makes the chances anew without a network.
    """
    import shutil

    import numpy as np

    from cairn.calibration import FALSE_ACCEPT_RATE, report, require_unknown, table, weights_at
    from cairn.embed import embed
    from cairn.gallery import Gallery
    from cairn.gallery.calibrating import calibrate_gallery
    from cairn.gallery.calibrations import keep_calibration
    from cairn.gallery.kept_validation import Validation, Way, keep_validation
    from cairn.manifest import Manifest
    from cairn.runs import require_absent
    from cairn.splitting.evaluation import verify_evaluation
    from cairn.stacks import Stack
    from cairn.submission import solution_of
    from cairn.tables import EmbeddingTable

    if output is not None:
        require_absent(output)
    rate = FALSE_ACCEPT_RATE if false_accept is None else false_accept
    loaded = Gallery.load(gallery, penalty=penalty)
    whole = Manifest.read(manifest)
    asked = whole.queries(todo="give the validation photographs that role", where=manifest)
    stack = None
    if stages is not None:
        stack = Stack.read(loaded, stages, use_penalty=penalty, search=search, online=True)
    landmarks = set(loaded.table.landmark_ids)
    known = np.asarray([one in landmarks for one in asked.landmark_ids])
    require_unknown(int((~known).sum()), rate)  # before work, as what follows
    weights_at(known, known_share)
    leaks, _ = verify_evaluation(asked.image_ids, whole, gallery=Path(gallery))
    leaks.refuse_leaks(
        manifest,
        "photographs that were seen before look surer than new ones: `cairn data verify` "
        "names them, `cairn data split` makes a split without any",
    )
    work = loaded.place.work(f"calibrate-{loaded.table.fingerprint[:8]}-{asked.fingerprint[:16]}")
    done = embed(loaded.model_dir, asked, work, backend=backend, device=device, workers=workers)
    validation = Validation(
        EmbeddingTable.read(work),
        {name: frozenset(one) for name, one in solution_of(asked).truth.items()},
        Way(penalty, search, None if stack is None else stack.recipe),
        rate,
        known_share,
        {"manifest": asked.fingerprint, "num_unreadable": done.num_unreadable},
    )
    made = calibrate_gallery(
        loaded,
        validation.queries,
        validation.truth,
        use_penalty=penalty,
        search=search,
        stack=stack,
        false_accept_rate=rate,
        known_share=known_share,
        facts=validation.facts,
        seed=validation.seed,
    )
    address = keep_calibration(loaded, made)
    keep_validation(loaded.place, validation)
    if output is not None:
        _write(output, made)
    shutil.rmtree(work, ignore_errors=True)
    pictures = "" if output is None else f"\npictures: {output / 'reliability.png'}"
    emit(
        {
            "gallery": gallery,
            "version": loaded.version,
            "calibration": address,
            **(stack.recipe if stack else {"stages": None}),
            **report(made),
        },
        f"{table(made)}\nkept: {address}{pictures}",
        as_json=as_json,
    )


def _write(folder: Path, made: Calibration) -> None:
    from cairn.calibration import report
    from cairn.calibration.pictures import draw_open_set, draw_reliability
    from cairn.runs import atomic_folder, provenance, write_json

    with atomic_folder(folder) as temporary:
        made.write(temporary / "calibration.json")
        write_json(temporary / "report.json", {**report(made), "provenance": provenance()})
        draw_reliability(temporary / "reliability.png", made.judged)
        draw_open_set(temporary / "oscr.png", made)
