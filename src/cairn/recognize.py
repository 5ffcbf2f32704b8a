"""Photographs to answers: the most similar gallery image, less its penalty, or stages upon it.

The penalty of a gallery image comes off its similarity before the best is chosen, or a recipe of
stages says what becomes of the nearest images; ``cairn.answering`` does either, on vectors.

Legend of shapes: Q queries, D dimensions.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cairn.answering import Answering
from cairn.domain import Float32, Prediction
from cairn.embed import BATCH_SIZE, UNREADABLE_NAME, Source, embed, encode_all, pixels_of
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.manifest import Manifest
from cairn.progress import say, track
from cairn.runtime import Runtime, load_runtime
from cairn.stacks import Stages
from cairn.stand_in import require_model_of, require_stand_in
from cairn.tables import EmbeddingTable, require_same_model

if TYPE_CHECKING:
    from cairn.rerank.local import Photograph

TOP = 5
"""Gallery images shown as evidence of an answer."""


@dataclass(frozen=True)
class Answers:
    """What became of a number of photographs.

    Args:
        predictions: One for each that could be read, in order.
        unreadable: Id and reason of the others.
    """

    predictions: list[Prediction]
    unreadable: Mapping[str, str] = field(default_factory=dict)


def recognize_table(
    queries: EmbeddingTable,
    gallery: Gallery,
    *,
    top: int = TOP,
    use_penalty: bool = True,
    search: str = "exact",
    stages: Stages | None = None,
) -> list[Prediction]:
    """Return one prediction for each query, in order.

    The confidence is the best of similarity less penalty over all gallery images, in float64; with
    stages it is their score.

    Args:
        queries: Embeddings by the gallery's model; their landmarks are not looked at.
        gallery: What to recognize against.
        top: Gallery images to show as evidence, fewer where the gallery is smaller.
        use_penalty: Take the gallery's penalty off, where it has one.
        search: ``"exact"``; or ``"approximate"``, through the index of ``cairn gallery tune``.
        stages: A recipe (docs/rerank.md), composed or its file. It says everything: the penalty
            comes off by its stage ``penalty`` alone. Stages may look at all queries together.

    Raises:
        CairnError: The queries are of another model, ``top`` is less than 1, the index that is
            wanted is missing, stale or damaged, or the gallery lacks what a stage needs.
    """
    _check_top(top)
    require_same_model(queries, gallery.table, where=f"the queries and {gallery.location}")
    ways = Answering.of(gallery, use_penalty=use_penalty, search=search, stages=stages)
    return ways.predictions(queries.vectors, queries.image_ids, queries.paths, top=top)


def recognize_manifest(
    manifest: Manifest,
    gallery: Gallery,
    embeddings_dir: Path,
    *,
    top: int = TOP,
    use_penalty: bool = True,
    search: str = "exact",
    stages: Stages | None = None,
    batch_size: int = BATCH_SIZE,
    backend: str = "auto",
    device: str = "auto",
    workers: int = 0,
    model_dir: Path | None = None,
) -> Answers:
    """Return a prediction for every image of role query, embedding them first.

    A query that cannot be read is answered with no landmark, and listed.

    Args:
        manifest: The queries; other roles are passed over.
        gallery: What to recognize against.
        embeddings_dir: Where the queries' embeddings go, new or to be continued.
        top: See ``recognize_table``, as for ``use_penalty`` and ``search``.
        use_penalty: See ``top``.
        search: See ``top``.
        stages: See ``top``.
        batch_size: See ``cairn.embed.embed``, as for the rest.
        backend: See ``batch_size``.
        device: See ``batch_size``.
        workers: See ``batch_size``.
        model_dir: An export to embed by, in place of the gallery's own model.

    Raises:
        CairnError: The manifest has no query, or none that can be read, or the export may not
            stand in for the gallery's model.
    """
    _check_top(top)
    queries = manifest.queries()
    ways = Answering.of(  # before any work
        gallery, use_penalty=use_penalty, search=search, stages=stages
    )
    for name in ways.stack.pipeline.transductive if ways.stack else ():
        say(f"note: stage {name!r} looks at all {len(queries)} queries together")
    if model_dir is not None:
        require_stand_in(Path(model_dir), gallery.table.fingerprint, gallery.location)
    embed(
        gallery.model_dir if model_dir is None else model_dir,
        queries,
        embeddings_dir,
        batch_size=batch_size,
        backend=backend,
        device=device,
        workers=workers,
    )
    table = EmbeddingTable.read(embeddings_dir)
    if model_dir is None:
        require_same_model(table, gallery.table, where=f"the queries and {gallery.location}")
    made = ways.predictions(table.vectors, table.image_ids, table.paths, top=top)
    by_id = {prediction.image_id: prediction for prediction in made}
    missing = _reasons(embeddings_dir / UNREADABLE_NAME)
    missing = {
        image_id: missing.get(image_id, "unreadable")
        for image_id in queries.image_ids
        if image_id not in by_id
    }
    return Answers(
        [by_id.get(name) or Prediction(name, None, 0.0) for name in queries.image_ids], missing
    )


class Recognizer:
    """Answers photographs: ``Recognizer.load(folder)(image)``.

    Args:
        gallery: What to recognize against.
        runtime: The gallery's model, loaded.
        top: Gallery images to show as evidence.
        use_penalty: Take the gallery's penalty off, where it has one.
        search: See ``recognize_table``.
        stages: See ``recognize_table``; here, photographs are answered one by one, so that stages
            which look at a whole batch are refused.

    Raises:
        CairnError: The runtime is of another model than the gallery, the index that is wanted is
            missing, stale or damaged, the gallery lacks what a stage needs, or a stage needs the
            whole batch.
    """

    def __init__(
        self,
        gallery: Gallery,
        runtime: Runtime,
        *,
        top: int = TOP,
        use_penalty: bool = True,
        search: str = "exact",
        stages: Stages | None = None,
    ) -> None:
        require_model_of(
            gallery.location, gallery.table.fingerprint, runtime.fingerprint, runtime.stands_for
        )
        _check_top(top)
        self.ways = Answering.of(
            gallery, use_penalty=use_penalty, search=search, stages=stages, online=True
        )
        self.gallery, self.runtime, self.top = self.ways.gallery, runtime, top
        self.searcher, self.judge = self.ways.searcher, self.ways.judge

    @classmethod
    def load(
        cls,
        gallery_folder: Path | str,
        *,
        top: int = TOP,
        use_penalty: bool = True,
        search: str = "exact",
        stages: Stages | None = None,
        backend: str = "auto",
        device: str = "auto",
        model_dir: Path | None = None,
    ) -> Recognizer:
        """Return the recognizer of a gallery, a folder or ``s3://...``, its model ready to run.

        Args:
            gallery_folder: The gallery.
            top: See the class, as for ``use_penalty``, ``search`` and ``stages``.
            use_penalty: See ``top``.
            search: See ``top``.
            stages: See ``top``.
            backend: See ``cairn.runtime.load_runtime``, as for ``device``.
            device: See ``backend``.
            model_dir: An export to embed by, in place of the gallery's own model.

        Raises:
            CairnError: The folder is no gallery, the backend or device cannot be had, or the export
                may not stand in for the gallery's model; or as the class.
        """
        gallery = Gallery.load(gallery_folder, penalty=use_penalty)
        if model_dir is not None:
            require_stand_in(Path(model_dir), gallery.table.fingerprint, gallery.location)
        model_dir = gallery.model_dir if model_dir is None else Path(model_dir)
        runtime = load_runtime(model_dir, backend=backend, device=device)
        return cls(gallery, runtime, top=top, use_penalty=use_penalty, search=search, stages=stages)

    def __call__(self, image: Source | str, *, image_id: str | None = None) -> Prediction:
        """Return the answer to one photograph: a path, the bytes of a file, or a Pillow image.

        Args:
            image: The photograph.
            image_id: Its id in the answer; by default the path, or "image".

        Raises:
            CairnError: The photograph cannot be read.
        """
        answers = self.batch([image], image_ids=None if image_id is None else [image_id])
        for name, reason in answers.unreadable.items():
            raise CairnError(f"the photograph cannot be read: {reason}", where=name)
        return answers.predictions[0]

    def batch(
        self,
        images: Sequence[Source | str],
        *,
        image_ids: Sequence[str] | None = None,
        batch_size: int = BATCH_SIZE,
        workers: int = 0,
    ) -> Answers:
        """Return the answers to many photographs, and which could not be read and why.

        Args:
            images: Photographs, as for one.
            image_ids: Their ids; by default the paths, or "image <number>".
            batch_size: Photographs that go through the network together.
            workers: Decoding threads; 0 for as many as processors.

        Raises:
            CairnError: Not one id for each photograph.
        """
        sources = [Path(image) if isinstance(image, str) else image for image in images]
        if image_ids is None:
            image_ids = [_name(source, row, len(sources)) for row, source in enumerate(sources)]
        if len(image_ids) != len(sources):
            raise CairnError(f"{len(sources)} photographs and {len(image_ids)} ids")
        shown = track(sources, "recognize") if len(sources) > batch_size else sources
        encoded = encode_all(self.runtime, shown, batch_size=batch_size, workers=workers)
        names = [image_ids[row] for row in encoded.rows]
        photographs = None
        if self.ways.looks_at_photographs:
            photographs = [pixels_of(sources[row]) for row in encoded.rows]
        predictions = self.answers(encoded.vectors, names, photographs)
        return Answers(predictions, {image_ids[row]: why for row, why in encoded.unreadable})

    def answers(
        self,
        vectors_QD: Float32,
        image_ids: Sequence[str],
        photographs: Sequence[Photograph | str] | None = None,
        *,
        top: int | None = None,
    ) -> list[Prediction]:
        """Return the answers to photographs that are embedded already, in order.

        Args:
            vectors_QD: (Q, D) unit vectors by the gallery's model.
            image_ids: Q ids.
            photographs: Q files or arrays of pixels, where a stage matches them.
            top: Gallery images to show as evidence; by default those of this recognizer.

        Raises:
            CairnError: A stage matches photographs, and they are missing or unreadable.
        """
        top = self.top if top is None else top
        return self.ways.predictions(vectors_QD, image_ids, photographs, top=top)


def _check_top(top: int) -> None:
    if top < 1:
        raise CairnError("top must be at least 1", where=f"top = {top}")


def _name(source: Source, row: int, count: int) -> str:
    if isinstance(source, Path):
        return str(source)
    return "image" if count == 1 else f"image {row + 1}"


def _reasons(path: Path) -> dict[str, str]:
    """Return why images could not be embedded, by id."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["image_id"]: row["reason"] for row in csv.DictReader(file)}
