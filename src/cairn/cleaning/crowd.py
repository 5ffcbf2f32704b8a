"""Everything that is looked at: labelled photographs and the bank, in one order, with neighbours.

The order is that of the image ids, so that findings do not depend on how tables are sorted. The
bank's images bear one code behind all landmarks. Labels are the manifest's: after a relabelling the
same embeddings do.

Legend of shapes: N images, L landmarks, D dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from cairn.domain import Float32, Int64
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.neighborhood import Int32, Neighborhood
from cairn.self_join import fingerprint_of, nearest_images
from cairn.tables import EmbeddingTable, require_same_model

LABELLED_ROLES = ("train", "gallery")


@dataclass(frozen=True, eq=False)
class Crowd:
    """Images of a manifest that have embeddings.

    Args:
        image_ids: N ids, ascending.
        paths: N files, as the embedding tables recorded them.
        vectors: (N, D) float32, rows of unit length.
        landmark_ids: L landmarks.
        codes: (N,) number of the landmark; L for an image of the bank.
        fingerprint: Of the model that made the vectors.
        num_missing: Images of the manifest, labelled or of the bank, without an embedding.
    """

    image_ids: list[str]
    paths: list[str]
    vectors: Float32
    landmark_ids: list[str]
    codes: Int32
    fingerprint: str
    num_missing: int = 0

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def nothing(self) -> int:
        """The code of the bank: L."""
        return len(self.landmark_ids)

    @property
    def num_bank(self) -> int:
        """Images of the bank."""
        return int(np.count_nonzero(self.codes == self.nothing))

    def neighborhood(self, k: int, *, work: Path, device: str = "auto") -> Neighborhood:
        """Return the images beside the ``k`` nearest of each; an interrupted call goes on."""
        nearest = nearest_images(
            self.vectors, k, work=work, content=fingerprint_of(self.vectors), device=device
        )
        return Neighborhood(self.vectors, nearest, self.codes, self.nothing + 1)

    @classmethod
    def gather(cls, manifest: Manifest, tables: Sequence[EmbeddingTable]) -> Crowd:
        """Return the manifest's labelled images and its bank, with the vectors of the tables.

        Args:
            manifest: Whose labels and roles count; those recorded in the tables do not.
            tables: One or more, all of one model; rows that the manifest does not name, or names
                as queries, are passed over.

        Raises:
            CairnError: The tables are of different models, share an image, or have no labelled
                image of the manifest.
        """
        for table in tables[1:]:
            require_same_model(tables[0], table, where="the embedding tables")
        wanted = manifest.select(*LABELLED_ROLES, "nonlandmark")
        ids = pa.array(wanted.image_ids, pa.string())
        order = np.argsort(np.asarray(wanted.image_ids), kind="stable")
        place = np.full((len(wanted), 2), -1, np.int64)  # which table, which row of it
        for number, table in enumerate(tables):
            at = _index_in(table.image_ids, ids)
            rows = np.flatnonzero(at >= 0)
            if (place[at[rows], 0] >= 0).any():
                twice = rows[place[at[rows], 0] >= 0][0]
                raise CairnError(
                    "an image stands in two embedding tables", where=table.image_ids[twice]
                )
            place[at[rows], 0], place[at[rows], 1] = number, rows
        order = order[place[order, 0] >= 0]
        landmarks = [wanted.landmark_ids[row] for row in order]
        names = sorted({one for one in landmarks if one})
        if not names:
            raise CairnError(
                "none of the labelled images of the manifest has an embedding here",
                where=f"{len(wanted)} images of role train, gallery or nonlandmark",
                todo="embed them: cairn embed MODEL MANIFEST --role train -o DIR",
            )
        if len(order) == 1:
            raise CairnError(
                "there is one image, and nothing to compare it with",
                where=landmarks[0],
                todo="embed more of the manifest",
            )
        number_of = {name: number for number, name in enumerate(names)} | {"": len(names)}
        vectors = np.empty((len(order), tables[0].dimension), np.float32)
        paths = [""] * len(order)
        for number, table in enumerate(tables):
            rows = np.flatnonzero(place[order, 0] == number)
            sources = place[order[rows], 1]
            vectors[rows] = table.vectors[sources]
            for row, source in zip(rows.tolist(), sources.tolist(), strict=True):
                paths[row] = table.paths[source]
        return cls(
            [wanted.image_ids[row] for row in order],
            paths,
            vectors,
            names,
            np.array([number_of[one] for one in landmarks], np.int32),
            tables[0].fingerprint,
            len(wanted) - len(order),
        )


def _index_in(values: Sequence[str], ids: pa.StringArray) -> Int64:
    import pyarrow.compute as pc

    found = pc.index_in(pa.array(values, pa.string()), value_set=ids)
    return np.asarray(found.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)
