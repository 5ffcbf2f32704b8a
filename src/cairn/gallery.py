"""Galleries: labelled embeddings to recognize against, with the model that makes queries for them.

A gallery is one folder that needs nothing else: ``vectors.lance/``, ``model/`` (a copy),
``gallery.json`` (format, fingerprint, counts, names of landmarks) and, where one was attached,
``penalty.parquet``. The module does not search and opens no photographs.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq

from cairn.checkpoint import model_fingerprint
from cairn.errors import CairnError
from cairn.penalty import PenaltyTable, penalty_table
from cairn.progress import say
from cairn.runs import atomic_folder, atomic_write, read_json, write_json
from cairn.tables import EmbeddingTable, require_same_model

FORMAT_VERSION = 1
PENALTY_NAME = "penalty.parquet"

_CARD_NAME = "gallery.json"
_MODEL_NAME = "model"
_MODEL_KEY = b"cairn.model"


@dataclass(frozen=True, eq=False)
class Gallery:
    """A loaded gallery.

    Args:
        folder: Where it lies.
        table: Its labelled embeddings.
        penalty: What non-landmarks cost each of its images, or None.
        landmark_names: Names of landmarks for people, by id; not every landmark needs one.
    """

    folder: Path
    table: EmbeddingTable
    penalty: PenaltyTable | None = None
    landmark_names: Mapping[str, str] = field(default_factory=dict)

    @property
    def model_dir(self) -> Path:
        """The folder of the model that made the vectors, and must make those of queries."""
        return self.folder / _MODEL_NAME

    @property
    def num_landmarks(self) -> int:
        """Number of different landmarks."""
        return len(set(self.table.landmark_ids))

    @classmethod
    def build(
        cls,
        table_folder: Path,
        model_dir: Path,
        out: Path,
        *,
        landmark_names: Mapping[str, str] | None = None,
    ) -> Gallery:
        """Make a gallery in the new folder ``out``, whole or not at all, and return it.

        Args:
            table_folder: Embeddings of labelled images, as ``cairn.embed.embed`` writes them.
            model_dir: The model that made them.
            out: Where the gallery goes.
            landmark_names: Names for people, by landmark id; those of other landmarks are dropped.

        Raises:
            CairnError: The embeddings are of another model, an image has no landmark, or ``out``
                is taken.
        """
        table = EmbeddingTable.read(table_folder)
        fingerprint = model_fingerprint(Path(model_dir))
        if table.fingerprint != fingerprint:
            raise CairnError(
                f"these embeddings come from model {table.fingerprint}, "
                f"and the model given is {fingerprint}",
                where=table_folder,
                todo="give the model folder that made them, or embed again with this one",
            )
        unlabelled = [i for i, landmark_id in enumerate(table.landmark_ids) if not landmark_id]
        if unlabelled:
            raise CairnError(
                f"{len(unlabelled)} of {len(table)} images have no landmark, "
                f"such as {table.image_ids[unlabelled[0]]!r}",
                where=table_folder,
                todo="embed labelled images only (`cairn embed ... --role gallery`); "
                "non-landmarks are for `cairn penalize`",
            )
        landmarks = set(table.landmark_ids)
        names = {k: v for k, v in (landmark_names or {}).items() if k in landmarks and v}
        out = Path(out)
        with atomic_folder(out) as temporary:
            table.write(temporary)
            shutil.copytree(model_dir, temporary / _MODEL_NAME)
            write_json(
                temporary / _CARD_NAME,
                {
                    "format": FORMAT_VERSION,
                    "fingerprint": fingerprint,
                    "dimension": table.dimension,
                    "num_images": len(table),
                    "num_landmarks": len(landmarks),
                    "landmark_names": names,
                },
            )
        return cls(out, table, None, names)

    @classmethod
    def load(cls, folder: Path, *, penalty: bool = True) -> Gallery:
        """Return the gallery in ``folder``, with its penalty where it has one and it is wanted.

        Raises:
            CairnError: The folder is no gallery, or its parts do not belong together.
        """
        folder = Path(folder)
        card = _read_card(folder)
        table = EmbeddingTable.read(folder)
        fingerprint = model_fingerprint(folder / _MODEL_NAME)
        found = {
            "vectors.lance": (table.fingerprint, len(table)),
            "model": (fingerprint, len(table)),
            _CARD_NAME: (card["fingerprint"], card["num_images"]),
        }
        if len(set(found.values())) > 1:
            parts = ", ".join(f"{k}: {v[0]} with {v[1]} images" for k, v in found.items())
            raise CairnError(
                f"the parts of this gallery do not belong together ({parts})",
                where=folder,
                todo="build it again with `cairn gallery build`",
            )
        gallery = cls(folder, table, None, card["landmark_names"])
        path = folder / PENALTY_NAME
        return gallery.with_penalty(path) if penalty and path.is_file() else gallery

    def with_penalty(self, path: Path) -> Gallery:
        """Return this gallery with the penalty table in ``path``; nothing is written.

        Raises:
            CairnError: The table is of other images or another model.
        """
        penalty = PenaltyTable.read_for(Path(path), self.table.image_ids)
        maker = (pq.read_schema(path).metadata or {}).get(_MODEL_KEY)
        if maker is not None and maker.decode() != self.table.fingerprint:
            raise CairnError(
                f"this penalty table was made with model {maker.decode()}, "
                f"the gallery with {self.table.fingerprint}",
                where=path,
                todo="make it again for this gallery with `cairn penalize`",
            )
        return replace(self, penalty=penalty)

    def without_penalty(self) -> Gallery:
        """Return this gallery without a penalty; nothing is written."""
        return replace(self, penalty=None)

    def set_penalty(self, penalty: PenaltyTable | Path) -> Gallery:
        """Attach a penalty table, or the one in a file, in place of any other; return the gallery.

        Raises:
            CairnError: The table is of other images or another model.
        """
        if isinstance(penalty, PenaltyTable):
            checked = penalty
        else:
            loaded = self.with_penalty(penalty).penalty
            assert loaded is not None
            checked = loaded
        self.write_penalty(checked, self.folder / PENALTY_NAME)
        return replace(self, penalty=checked)

    def write_penalty(self, penalty: PenaltyTable, path: Path) -> None:
        """Write a penalty table of this gallery with the model's fingerprint, whole or not at all.

        Raises:
            CairnError: The table has not one row for each image.
        """
        with atomic_write(Path(path)) as temporary:
            penalty.write(temporary, self.table.paths, self.table.image_ids)
            table = pq.read_table(temporary)
            metadata = {**(table.schema.metadata or {}), _MODEL_KEY: self.table.fingerprint}
            pq.write_table(table.replace_schema_metadata(metadata), temporary)

    def penalize(
        self, bank: EmbeddingTable, *, top: int | Literal["auto"] = "auto", **rule: Any
    ) -> PenaltyTable:
        """Return what a bank of non-landmarks says of this gallery's images.

        Args:
            bank: Embeddings of non-landmarks, by the gallery's model.
            top: As ``cairn.penalty.penalty_table``; ``auto`` suits galleries of any size.
            rule: Its further settings.

        Raises:
            CairnError: The bank is of another model or shows landmarks of the gallery, or a
                setting is out of range.
        """
        require_same_model(bank, self.table, where=f"the bank and {self.folder}")
        shared = set(bank.landmark_ids) & set(self.table.landmark_ids)
        if shared:
            raise CairnError(
                f"the bank has images of {len(shared)} landmarks of the gallery, "
                f"such as {min(shared)!r}",
                todo="a bank holds non-landmarks: `cairn embed ... --role nonlandmark`",
            )
        made = penalty_table(self.table.vectors, bank.vectors, top=top, **rule)
        num_hit = int((made.penalty > 0).sum())
        say(f"{len(bank)} non-landmarks penalize {num_hit} of {len(made)} gallery images")
        return made


def require_gallery(folder: Path) -> None:
    """Refuse what is no gallery folder, before anything is read.

    Raises:
        CairnError: ``folder`` holds no gallery of this version.
    """
    _read_card(folder)


def _read_card(folder: Path) -> dict[str, Any]:
    if not (folder / _CARD_NAME).is_file():
        raise CairnError(
            f"not a gallery: it has no {_CARD_NAME}",
            where=folder,
            todo="make one with `cairn gallery build EMBEDDINGS MODEL -o GALLERY`",
        )
    card = read_json(folder / _CARD_NAME)
    known = {"format", "fingerprint", "num_images", "landmark_names"}
    if not isinstance(card, dict) or not known <= set(card) or card["format"] != FORMAT_VERSION:
        raise CairnError(
            f"{_CARD_NAME} is not of format {FORMAT_VERSION}",
            where=folder,
            todo="build the gallery again with this version",
        )
    return card
