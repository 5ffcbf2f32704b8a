"""What a changed model costs: GAP of the same queries on the same gallery, with it and without.

The gallery keeps the vectors that its own model made; only queries go through the changed one. That
is how an export that stands in for the gallery's model is used.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cairn.embed import encode_all
from cairn.errors import CairnError
from cairn.evaluate import evaluate
from cairn.gallery import Gallery
from cairn.manifest import Manifest
from cairn.progress import say, track
from cairn.recognize import recognize_table
from cairn.runtime import Runtime, load_runtime
from cairn.submission import by_image, solution_of
from cairn.tables import EmbeddingTable

MAX_LOSS = 0.01
"""GAP that an int8 export may lose and still stand in for its source, unless told otherwise."""


@dataclass(frozen=True)
class Loss:
    """GAP by the gallery's own model and by a stand-in.

    Args:
        gap_before: By the gallery's model, float32 (or what its runtime takes for faithful).
        gap_after: By the stand-in.
        lost: The first less the second; negative where the stand-in does better.
        low: Lower bound of ``lost``: paired bootstrap over the queries, 95 %.
        high: Upper bound.
        accuracy_before: Share of landmark queries that are answered right.
        accuracy_after: Likewise.
        mean_cosine: Of queries' embeddings by the two.
        num_queries: Queries that both could read.
        gallery: Content key of the gallery.
    """

    gap_before: float
    gap_after: float
    lost: float
    low: float
    high: float
    accuracy_before: float
    accuracy_after: float
    mean_cosine: float
    num_queries: int
    gallery: str

    def to_json(self) -> dict[str, Any]:
        """Return the values by name."""
        return asdict(self)


def measure_loss(
    export_dir: Path, gallery: Gallery, manifest: Manifest, *, workers: int = 0
) -> Loss:
    """Return what it costs to embed queries by an export in place of the gallery's model.

    Args:
        export_dir: The export.
        gallery: A gallery that the export's source made.
        manifest: Labelled queries (role query), some of no landmark; other roles are passed over.
        workers: Decoding threads; 0 for as many as processors.

    Raises:
        CairnError: No query can be read, none shows a landmark, or the gallery is of another model.
    """
    queries = manifest.queries(
        todo="the loss of GAP is measured on them: give labelled photographs that role, or leave "
        "--gallery out"
    )
    changed = load_runtime(export_dir)
    own = load_runtime(gallery.model_dir, device="cpu")
    say(f"loss of GAP: {len(queries)} queries by {own.description} and by {changed.description}")
    before, after = (_embedded(one, queries, gallery, workers) for one in (own, changed))
    known = solution_of(queries).truth
    truth = {name: known[name] for name in before.image_ids}
    answers = [by_image(recognize_table(table, gallery, top=1)) for table in (before, after)]
    report = evaluate(answers[1], truth, before=answers[0])
    assert report.before is not None
    old, new = report.before.scores, report.scores
    change = report.change["gap"]
    assert change.low is not None
    assert change.high is not None
    return Loss(
        gap_before=old["gap"].value,
        gap_after=new["gap"].value,
        lost=-change.value,
        low=-change.high,
        high=-change.low,
        accuracy_before=old["top1_accuracy"].value,
        accuracy_after=new["top1_accuracy"].value,
        mean_cosine=float((before.vectors * after.vectors).sum(axis=1).mean()),
        num_queries=len(before.image_ids),
        gallery=gallery.content_key,
    )


def _embedded(
    runtime: Runtime, queries: Manifest, gallery: Gallery, workers: int
) -> EmbeddingTable:
    """Return the queries' embeddings as if by the gallery's model, whichever made them."""
    paths = track(queries.paths, "embed", total=len(queries))
    encoded = encode_all(runtime, paths, workers=workers)
    if not encoded.rows:
        raise CairnError("no query can be read", where=queries.root)
    ids, landmarks = queries.image_ids, queries.landmark_ids
    return EmbeddingTable(
        image_ids=[ids[row] for row in encoded.rows],
        landmark_ids=[landmarks[row] for row in encoded.rows],
        paths=[str(queries.paths[row]) for row in encoded.rows],
        vectors=encoded.vectors,
        fingerprint=gallery.table.fingerprint,
    )
