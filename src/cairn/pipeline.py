"""The way from a model to a score: embed, gallery, penalty, predictions, evaluation, report.

Each step is the function behind the command of the same name; this module only walks them in
order and keeps the time. Called again after an interruption, it takes up embeddings and gallery.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cairn.checkpoint import read_config
from cairn.domain import Prediction
from cairn.embed import embed
from cairn.errors import CairnError
from cairn.evaluate import evaluate
from cairn.gallery import Gallery, keep_penalty
from cairn.labels import Labels, credit_of, credits_by_path
from cairn.manifest import Manifest
from cairn.penalty import PenaltyTable
from cairn.progress import say
from cairn.recognize import recognize_table
from cairn.report import PickedImage, write_report
from cairn.runs import provenance, require_absent
from cairn.scores import Report, Retrieval
from cairn.search import search
from cairn.submission import by_image, solution_of
from cairn.tables import EmbeddingTable, require_same_model

_EVIDENCE = 5
_RANKED = 100


@dataclass
class Clock:
    """Seconds spent in each stage, in the order they ran."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to the stage ``name``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + spent


@dataclass(frozen=True)
class Outcome:
    """What a model scored on a manifest's queries.

    Args:
        report: The scores with the penalty; ``report.before`` has those without. Where the
            manifest has no non-landmarks, the scores without, and no ``before``.
        page: The HTML report.
        gallery: The gallery folder, ready for ``cairn recognize``.
        seconds: Time of each stage.
    """

    report: Report
    page: Path
    gallery: Path
    seconds: Mapping[str, float]

    @property
    def plain(self) -> Report:
        """The scores without the penalty."""
        return self.report.before or self.report


def score_model(
    model_dir: Path,
    manifest: Manifest,
    out: Path,
    *,
    title: str,
    top: int | Literal["auto"] = "auto",
    rule: Mapping[str, Any] | None = None,
    backend: str = "auto",
    device: str = "auto",
    clock: Clock | None = None,
) -> Outcome:
    """Return how well a model recognizes the manifest's queries, with and without the penalty.

    Writes ``out/embeddings/{gallery,bank,query}``, ``out/gallery`` and ``out/evaluation``.

    Args:
        model_dir: The model folder.
        manifest: Gallery (or train), query and nonlandmark rows.
        out: Where to.
        title: Heading of the report.
        top: Picks of each non-landmark, for the penalty.
        rule: Further settings of the penalty.
        backend: What executes the model.
        device: Where.
        clock: Keeps the time; stages already on it stay.

    Raises:
        CairnError: The manifest has no query, or none with a landmark; ``out`` holds an
            evaluation already; else as the stages.
    """
    manifest.queries()
    try:
        truth = solution_of(manifest).truth
    except CairnError as error:
        todo = "fill landmark_id of the query rows whose landmark is known"
        raise CairnError(error.what, where=manifest.root, todo=todo) from None
    require_absent(out / "evaluation")
    clock = clock or Clock()
    tables: dict[str, EmbeddingTable] = {}
    parts = {"gallery": manifest.gallery(), "bank": manifest.select("nonlandmark")}
    parts["query"] = manifest.select("query")
    with clock.stage("embed"):
        for name, part in parts.items():
            if len(part):
                folder = out / "embeddings" / name
                embed(model_dir, part, folder, backend=backend, device=device)
                tables[name] = EmbeddingTable.read(folder)
    with clock.stage("gallery"):
        if (out / "gallery").is_dir():  # an earlier call was interrupted after this stage
            gallery = Gallery.load(out / "gallery", penalty=False)
            require_same_model(gallery.table, tables["query"], where=gallery.folder)
        else:
            labels = Labels.of(manifest.table)
            for note in labels.notes:
                say(f"note: {note}")
            gallery = Gallery.build(
                out / "embeddings" / "gallery",
                model_dir,
                out / "gallery",
                labels=labels,
            )
    if "bank" in tables:
        with clock.stage("penalize"):
            keep_penalty(gallery.location, tables["bank"], top=top, **(rule or {}))
            gallery = Gallery.load(gallery.location)
    with clock.stage("recognize"):
        queries = tables["query"]
        after = recognize_table(queries, gallery, top=_EVIDENCE)
        plain = gallery.without_penalty()
        before = recognize_table(queries, plain, top=_EVIDENCE) if gallery.penalty else None
    with clock.stage("evaluate"):
        counts = Counter(gallery.table.landmark_ids)
        report = evaluate(
            by_image(after),
            truth,
            before=None if before is None else by_image(before),
            gallery_counts=counts,
            retrieval=_retrieval(queries, gallery, truth),
            retrieval_before=None if before is None else _retrieval(queries, plain, truth),
        )
    with clock.stage("report"):
        page = _write(out, report, truth, after, before, gallery, manifest, title=title)
    return Outcome(report, page, gallery.folder, clock.seconds)


def _write(
    out: Path,
    report: Report,
    truth: Mapping[str, frozenset[str]],
    after: Sequence[Prediction],
    before: Sequence[Prediction] | None,
    gallery: Gallery,
    manifest: Manifest,
    *,
    title: str,
) -> Path:
    queries = manifest.select("query")
    answered = {prediction.image_id for prediction in after}
    unreadable = [
        Prediction(image_id, None, 0.0)
        for image_id in queries.image_ids
        if image_id not in answered
    ]
    config = read_config(gallery.model_dir)
    table = gallery.table
    last_rows = dict(zip(table.landmark_ids, range(len(table)), strict=True))  # one a landmark
    credits = credits_by_path(queries.table, queries.paths)
    credits |= {table.paths[row]: credit_of(gallery.about(row)) for row in last_rows.values()}
    return write_report(
        out / "evaluation",
        report=report,
        predictions=[*after, *unreadable],
        truth=truth,
        before=None if before is None else [*before, *unreadable],
        query_paths=dict(zip(queries.image_ids, queries.paths, strict=True)),
        photo_root=manifest.root,
        gallery_counts=Counter(gallery.table.landmark_ids),
        gallery_examples={mark: table.paths[row] for mark, row in last_rows.items()},
        picked=_picked(gallery, gallery.penalty) if gallery.penalty is not None else (),
        landmark_names=gallery.landmark_names,
        landmarks=gallery.landmarks,
        credits=credits,
        title=title,
        facts={
            "Model": f"{config.backbone}{' + GC' if config.gc else ''}, {config.pool} pooling",
            "Gallery": f"{len(gallery.table)} photographs of {gallery.num_landmarks} landmarks",
            "Model fingerprint": gallery.table.fingerprint,
            "Data fingerprint": manifest.fingerprint,
        },
        provenance=provenance(model=gallery.table.fingerprint, data=manifest.fingerprint),
    )


def _picked(gallery: Gallery, penalty: PenaltyTable) -> list[PickedImage]:
    table = gallery.table
    return [
        PickedImage(
            table.image_ids[row],
            table.landmark_ids[row],
            table.paths[row],
            int(penalty.n_picked[row]),
            float(penalty.sims[row]),
            float(penalty.penalty[row]),
            credit_of(gallery.about(row)),
        )
        for row in range(len(table))
        if penalty.n_picked[row]
    ]


def _retrieval(queries: EmbeddingTable, gallery: Gallery, truth: Mapping[str, Any]) -> Retrieval:
    """Return each query's ranked gallery images, for mAP@100."""
    offsets = None if gallery.penalty is None else gallery.penalty.offsets
    k = min(_RANKED, len(gallery.table))
    found = search(queries.vectors, gallery.table.vectors, k, offsets=offsets)
    ids = gallery.table.image_ids
    lists = {
        image_id: [ids[row] for row in rows]
        for image_id, rows in zip(queries.image_ids, found.indices.tolist(), strict=True)
    }
    return Retrieval.of(lists, truth, dict(zip(ids, gallery.table.landmark_ids, strict=True)))
