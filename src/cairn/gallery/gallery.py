"""Galleries: labelled embeddings to recognize against, with the model that makes queries for them.

A gallery is one place that needs nothing else: ``vectors.lance/`` with its versions, ``models/``,
and, where non-landmarks were given, ``banks/`` and ``penalties/``. A loaded one is a single version
and does not change. The module does not search and opens no photographs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cairn.domain import Landmark
from cairn.errors import CairnError
from cairn.gallery.entries import Entry
from cairn.gallery.penalties import MODEL_KEY, make_penalty, read_penalty, write_penalty
from cairn.gallery.place import Place
from cairn.gallery.rows import (
    IMAGE_COLUMNS,
    Facts,
    arrow_rows,
    checksums,
    content_key,
    labels_in,
)
from cairn.gallery.versions import Version, commit, require_absent, write_fragments
from cairn.labels import Labels
from cairn.tables import EmbeddingTable, lance_library

if TYPE_CHECKING:
    from cairn.penalty import PenaltyTable


@dataclass(frozen=True, eq=False)
class Gallery:
    """A loaded version of a gallery.

    Args:
        location: Where it lies: a folder, or ``s3://bucket/prefix``.
        table: Its labelled embeddings.
        penalty: What non-landmarks cost each of its images, or None.
        landmark_names: Names of landmarks for people, by id; not every landmark needs one.
        version: The number of the version; 0 for one that was never written.
        penalty_path: Where the penalty was read from; "" where it was not.
        landmarks: What is known of landmarks, by id.
        about_images: Columns ``IMAGE_COLUMNS`` in the order of the rows; None where all is unknown.
    """

    location: Path | str
    table: EmbeddingTable
    penalty: PenaltyTable | None = None
    landmark_names: Mapping[str, str] = field(default_factory=dict)
    version: int = 0
    penalty_path: str = ""
    landmarks: Mapping[str, Landmark] = field(default_factory=dict)
    about_images: pa.Table | None = None

    @property
    def folder(self) -> Path:
        """The location as a path, for messages and for galleries in a folder."""
        return Path(self.location)

    @property
    def place(self) -> Place:
        """Where the files beside the vectors are read and written."""
        return Place(self.location)

    @property
    def model_dir(self) -> Path:
        """A local folder of the model that made the vectors, and must make those of queries.

        Raises:
            CairnError: The gallery lacks its model.
        """
        return self.place.local_folder(model_name(self.table.fingerprint))

    @property
    def num_landmarks(self) -> int:
        """Number of different landmarks."""
        return len(set(self.table.landmark_ids))

    @cached_property
    def content_key(self) -> str:
        """32 hex digits that are equal for equal images and vectors, whatever their landmarks.

        What is made of the vectors, such as an index, belongs under this key.
        """
        table = self.table
        return content_key(table.fingerprint, checksums(table.image_ids, table.vectors))

    @classmethod
    def build(
        cls,
        table_folder: Path,
        model_dir: Path,
        out: Path | str,
        *,
        landmark_names: Mapping[str, str] | None = None,
        labels: Labels | None = None,
    ) -> Gallery:
        """Make a gallery at the new place ``out``, whole or not at all, and return it.

        Args:
            table_folder: Embeddings of labelled images, as ``cairn.embed.embed`` writes them.
            model_dir: The model that made them.
            out: Where the gallery goes: a folder, or ``s3://bucket/prefix``.
            landmark_names: Names for people, by landmark id; those of other landmarks are dropped.
            labels: In place of names, all that is known of landmarks and images.

        Raises:
            CairnError: The embeddings are of another model, an image has no landmark, ``labels``
                know none of the landmarks, or ``out`` is taken.
        """
        from cairn.checkpoint import model_fingerprint

        table = EmbeddingTable.read(table_folder)
        fingerprint = model_fingerprint(Path(model_dir))
        if table.fingerprint != fingerprint:
            raise CairnError(
                f"these embeddings come from model {table.fingerprint}, "
                f"and the model given is {fingerprint}",
                where=table_folder,
                todo="give the model folder that made them, or embed again with this one",
            )
        require_landmarks(table, where=table_folder)
        landmarks = set(table.landmark_ids)
        if labels is not None:
            require_known(labels, table)
        labels = labels or Labels.of_names(landmark_names or {})
        place = Place(out)
        require_absent(place)
        place.prepare()
        with place.writing():
            place.write_folder(model_name(fingerprint), Path(model_dir))
            facts = Facts(fingerprint, table.dimension)
            rows = arrow_rows(facts, table, labels)
            key = content_key(fingerprint, rows["checksum"].to_numpy())
            fragments = write_fragments(place, rows, facts.schema(), first=True)
            operation = lance_library().LanceOperation.Overwrite(facts.schema(), fragments)
            entry = Entry(
                0,
                "build",
                {"embeddings": str(table_folder), "model": str(model_dir)},
                num_images=len(table),
                num_landmarks=len(landmarks),
                model=fingerprint,
                content=key,
            )
            made = commit(place, None, operation, entry)
        return cls._with_labels(place.location, table, labels_in(rows), version=made.version)

    @classmethod
    def load(
        cls,
        location: Path | str,
        *,
        version: int | str | None = None,
        penalty: bool = True,
        spare: float = 0.0,
    ) -> Gallery:
        """Return a version of the gallery, with its penalty where it has one and it is wanted.

        Args:
            location: A folder, or ``s3://bucket/prefix``.
            version: Its number or tag; the newest by default.
            penalty: Load the penalty too.
            spare: Room in memory for rows to come, as a part of those there are.

        Raises:
            CairnError: There is no gallery, it has no such version, or its penalty is stale.
        """
        place = Place(location)
        opened = Version.open(place, version)
        try:
            return cls._of(opened, penalty=penalty, spare=spare)
        except (CairnError, OSError, ValueError):
            # A compaction may have taken away, under the reader, a version that is not the newest.
            newest = Version.open(place, version)
            if newest.number == opened.number:
                raise
            return cls._of(newest, penalty=penalty, spare=spare)

    @classmethod
    def _of(cls, opened: Version, *, penalty: bool, spare: float) -> Gallery:
        place = opened.place
        if not place.has_folder(model_name(opened.facts.fingerprint)):
            raise CairnError(
                f"the gallery lacks its model: {model_name(opened.facts.fingerprint)}",
                where=place,
                todo="put that model folder back, or build the gallery again",
            )
        table = opened.table(num_spare=math.ceil(spare * opened.num_images))
        made, path = read_penalty(opened, table) if penalty else (None, "")
        loaded = cls._with_labels(
            place.location,
            table,
            opened.labels(),
            penalty=made,
            version=opened.number,
            penalty_path=path,
        )
        loaded.__dict__["content_key"] = opened.content_key
        return loaded

    @classmethod
    def _with_labels(
        cls, location: Path | str, table: EmbeddingTable, labels: Labels, **further: Any
    ) -> Gallery:
        """Return a gallery whose labels are in the order of its rows."""
        known = labels.images.select(list(IMAGE_COLUMNS))
        about = known if any(column.null_count < len(known) for column in known.columns) else None
        return cls(
            location,
            table,
            landmark_names=labels.names,
            landmarks=labels.by_id,
            about_images=about,
            **further,
        )

    def landmark(self, landmark_id: str) -> Landmark:
        """Return what is known of a landmark."""
        found = self.landmarks.get(landmark_id)
        return found or Landmark(landmark_id, name=self.landmark_names.get(landmark_id, ""))

    def about(self, row: int) -> dict[str, Any]:
        """Return author, license, source_url, latitude and longitude of an image, where known."""
        if self.about_images is None:
            return {}
        values = {name: self.about_images[name][row].as_py() for name in IMAGE_COLUMNS}
        return {name: value for name, value in values.items() if value is not None}

    def with_penalty(self, path: Path) -> Gallery:
        """Return this gallery with the penalty table in ``path``; nothing is written.

        Raises:
            CairnError: The table is of other images or another model.
        """
        from cairn.penalty import PenaltyTable

        penalty = PenaltyTable.read_for(Path(path), self.table.image_ids)
        maker = (pq.read_schema(path).metadata or {}).get(MODEL_KEY)
        if maker is not None and maker.decode() != self.table.fingerprint:
            raise CairnError(
                f"this penalty table was made with model {maker.decode()}, "
                f"the gallery with {self.table.fingerprint}",
                where=path,
                todo="make it again for this gallery with `cairn penalize`",
            )
        return replace(self, penalty=penalty, penalty_path=str(path))

    def without_penalty(self) -> Gallery:
        """Return this gallery without a penalty; nothing is written."""
        return replace(self, penalty=None, penalty_path="")

    def write_penalty(self, penalty: PenaltyTable, path: Path) -> None:
        """Write a penalty table of this gallery with the model's fingerprint, whole or not at all.

        Raises:
            CairnError: The table has not one row for each image.
        """
        write_penalty(penalty, self.table, Path(path))

    def penalize(
        self, bank: EmbeddingTable, *, top: int | Literal["auto"] = "auto", **rule: Any
    ) -> PenaltyTable:
        """Return what a bank of non-landmarks says of this gallery's images; nothing is written.

        Args:
            bank: Embeddings of non-landmarks, by the gallery's model.
            top: As ``cairn.penalty.penalty_table``; ``auto`` suits galleries of any size.
            rule: Its further settings.

        Raises:
            CairnError: The bank is of another model or shows landmarks of the gallery, or a
                setting is out of range.
        """
        return make_penalty(self.table, bank, where=self.location, top=top, **rule)


def require_gallery(location: Path | str) -> None:
    """Refuse what is no gallery, before anything is read.

    Raises:
        CairnError: There is no gallery of this format.
    """
    Version.open(Place(location))


def model_name(fingerprint: str) -> str:
    """Return the name of a model's folder within a gallery."""
    return f"models/{fingerprint}"


def require_known(labels: Labels, table: EmbeddingTable) -> None:
    """Refuse labels that know none of a table's landmarks: they are of other data.

    Raises:
        CairnError: They know none.
    """
    ids = pa.array(table.landmark_ids, pa.string())
    known = labels.landmarks["landmark_id"]
    if not pc.any(pc.is_in(ids, value_set=known)).as_py():
        theirs = f"such as {known[0].as_py()!r}" if len(known) else "it has no landmarks"
        raise CairnError(
            f"none of the {len(set(table.landmark_ids))} landmarks, such as "
            f"{table.landmark_ids[0]!r}, is in the manifest that should name them ({theirs})",
            where="--names",
            todo="give the manifest that the images are from, or leave it out",
        )


def require_landmarks(table: EmbeddingTable, *, where: object) -> None:
    """Refuse images of no landmark.

    Raises:
        CairnError: An image has none.
    """
    unlabelled = [i for i, landmark_id in enumerate(table.landmark_ids) if not landmark_id]
    if unlabelled:
        raise CairnError(
            f"{len(unlabelled)} of {len(table)} images have no landmark, "
            f"such as {table.image_ids[unlabelled[0]]!r}",
            where=where,
            todo="embed labelled images only (`cairn embed ... --role gallery`); "
            "non-landmarks are for `cairn penalize`",
        )
