"""Photographs to answers: the most similar gallery image, less its penalty, names the landmark.

The penalty of a gallery image comes off its similarity before the best is chosen (system page, S5
and S6). Every answer carries the gallery images that spoke for it and, where the gallery keeps a
fresh calibration, the chance that it is right and the verdict known or unknown.

Legend of shapes: Q queries, G gallery rows, K neighbours, D dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cairn.domain import Evidence, Float32, Prediction
from cairn.embed import BATCH_SIZE, Source, embed, encode_all
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.gallery.indexes import searcher_of
from cairn.judge import Judge
from cairn.manifest import Manifest
from cairn.runtime import Runtime, load_runtime
from cairn.searchers import Searcher
from cairn.stand_in import require_model_of, require_stand_in
from cairn.tables import EmbeddingTable, require_same_model

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
) -> list[Prediction]:
    """Return one prediction for each query, in order.

    The confidence is the best of similarity less penalty over all gallery images, in float64.

    Args:
        queries: Embeddings by the gallery's model; their landmarks are not looked at.
        gallery: What to recognize against.
        top: Gallery images to show as evidence, fewer where the gallery is smaller.
        use_penalty: Take the gallery's penalty off, where it has one.
        search: ``"exact"``; or ``"approximate"``, through the index of ``cairn gallery tune``.

    Raises:
        CairnError: The queries are of another model, ``top`` is less than 1, or the index that is
            wanted is missing, stale or damaged.
    """
    _check_top(top)
    require_same_model(queries, gallery.table, where=f"the queries and {gallery.location}")
    searcher = searcher_of(gallery, search, use_penalty=use_penalty)
    judge = Judge.of(gallery, use_penalty=use_penalty, search=search)
    return _predict(
        queries.vectors,
        queries.image_ids,
        gallery,
        searcher,
        judge,
        top=top,
        use_penalty=use_penalty,
    )


def recognize_manifest(
    manifest: Manifest,
    gallery: Gallery,
    embeddings_dir: Path,
    *,
    top: int = TOP,
    use_penalty: bool = True,
    search: str = "exact",
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
    queries = manifest.select("query")
    if not len(queries):
        raise CairnError(
            "the manifest has no image of role query",
            where=manifest.root,
            todo="give the rows to be recognized that role",
        )
    searcher = searcher_of(gallery, search, use_penalty=use_penalty)  # before any work
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
    judge = Judge.of(gallery, use_penalty=use_penalty, search=search)
    made = _predict(
        table.vectors, table.image_ids, gallery, searcher, judge, top=top, use_penalty=use_penalty
    )
    by_id = {prediction.image_id: prediction for prediction in made}
    missing = {image_id: "unreadable" for image_id in queries.image_ids if image_id not in by_id}
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

    Raises:
        CairnError: The runtime is of another model than the gallery, or the index that is wanted
            is missing, stale or damaged.
    """

    def __init__(
        self,
        gallery: Gallery,
        runtime: Runtime,
        *,
        top: int = TOP,
        use_penalty: bool = True,
        search: str = "exact",
    ) -> None:
        require_model_of(
            gallery.location, gallery.table.fingerprint, runtime.fingerprint, runtime.stands_for
        )
        _check_top(top)
        self.gallery, self.runtime = gallery, runtime
        self.top, self.use_penalty = top, use_penalty
        self.searcher = searcher_of(gallery, search, use_penalty=use_penalty)
        self.judge = Judge.of(gallery, use_penalty=use_penalty, search=search)

    @classmethod
    def load(
        cls,
        gallery_folder: Path | str,
        *,
        top: int = TOP,
        use_penalty: bool = True,
        search: str = "exact",
        backend: str = "auto",
        device: str = "auto",
        model_dir: Path | None = None,
    ) -> Recognizer:
        """Return the recognizer of a gallery, a folder or ``s3://...``, its model ready to run.

        Args:
            gallery_folder: The gallery.
            top: See the class, as for ``use_penalty`` and ``search``.
            use_penalty: See ``top``.
            search: See ``top``.
            backend: See ``cairn.runtime.load_runtime``, as for ``device``.
            device: See ``backend``.
            model_dir: An export to embed by, in place of the gallery's own model.

        Raises:
            CairnError: The folder is no gallery, the backend or device cannot be had, or the export
                may not stand in for the gallery's model.
        """
        gallery = Gallery.load(gallery_folder, penalty=use_penalty)
        if model_dir is not None:
            require_stand_in(Path(model_dir), gallery.table.fingerprint, gallery.location)
        model_dir = gallery.model_dir if model_dir is None else Path(model_dir)
        runtime = load_runtime(model_dir, backend=backend, device=device)
        return cls(gallery, runtime, top=top, use_penalty=use_penalty, search=search)

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
        encoded = encode_all(self.runtime, sources, batch_size=batch_size, workers=workers)
        names = [image_ids[row] for row in encoded.rows]
        predictions = self.answers(encoded.vectors, names)
        return Answers(predictions, {image_ids[row]: why for row, why in encoded.unreadable})

    def answers(
        self, vectors_QD: Float32, image_ids: Sequence[str], *, top: int | None = None
    ) -> list[Prediction]:
        """Return the answers to photographs that are embedded already, in order.

        Args:
            vectors_QD: (Q, D) unit vectors by the gallery's model.
            image_ids: Q ids.
            top: Gallery images to show as evidence; by default those of this recognizer.
        """
        return _predict(
            vectors_QD,
            image_ids,
            self.gallery,
            self.searcher,
            self.judge,
            top=self.top if top is None else top,
            use_penalty=self.use_penalty,
        )


def _check_top(top: int) -> None:
    if top < 1:
        raise CairnError("top must be at least 1", where=f"top = {top}")


def _name(source: Source, row: int, count: int) -> str:
    if isinstance(source, Path):
        return str(source)
    return "image" if count == 1 else f"image {row + 1}"


def _predict(
    vectors_QD: Float32,
    image_ids: Sequence[str],
    gallery: Gallery,
    searcher: Searcher,
    judge: Judge | None,
    *,
    top: int,
    use_penalty: bool,
) -> list[Prediction]:
    table = gallery.table
    if not image_ids:
        return []
    penalty = gallery.penalty if use_penalty else None
    found = searcher.search(
        vectors_QD, min(max(top, judge.num_neighbors if judge else 0), len(table))
    )
    verdicts = judge.verdicts(found) if judge else [None] * len(image_ids)
    shown_QK = found.indices[:, :top]
    predictions = []
    for image_id, query_D, rows_K, verdict in zip(
        image_ids, vectors_QD, shown_QK, verdicts, strict=True
    ):
        similarities = table.vectors[rows_K].astype(np.float64) @ query_D.astype(np.float64)
        evidence = tuple(
            Evidence(
                table.image_ids[row],
                table.landmark_ids[row],
                table.paths[row],
                float(similarity),
                0.0 if penalty is None else float(penalty.penalty[row]),
                **gallery.about(row),
            )
            for row, similarity in zip(rows_K.tolist(), similarities, strict=True)
        )
        best = evidence[0]
        predictions.append(
            Prediction(
                image_id,
                best.landmark_id,
                best.score,
                evidence,
                gallery.landmark(best.landmark_id),
                None if verdict is None else verdict.probability,
                None if verdict is None else verdict.is_known,
            )
        )
    return predictions
