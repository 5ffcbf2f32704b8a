"""A trained model to its answers: every photograph embedded once, everything else from the table.

The test queries are asked of the whole gallery. For choices among models there are votes of the
training's own validation split, which no test query is in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cairn.config import Recipe
from cairn.domain import Prediction
from cairn.embed import embed
from cairn.ensemble import Votes, WeightedVotes, cast_votes, fit_weights, predictions
from cairn.ensemble.fitting import fit_curve
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.manifest import Manifest
from cairn.recognize import recognize_table
from cairn.tables import EmbeddingTable
from cairn.validation import Split, split_validation


@dataclass(frozen=True, eq=False)
class Data:
    """What every row with one seed is trained, chosen and tested on.

    Args:
        manifest: All images.
        split: The training's split of them.
    """

    manifest: Manifest
    split: Split

    @classmethod
    def of(cls, manifest: Manifest, recipe: Recipe) -> Data:
        """Return the data as a run of ``recipe`` divides them."""
        split = split_validation(manifest, recipe.validation, seed=recipe.seed)
        return cls(manifest, split)

    @property
    def validation_truth(self) -> dict[str, frozenset[str]]:
        """Landmarks of the validation's photographs by id; none for its non-landmarks."""
        ids, marks = self.manifest.image_ids, self.manifest.landmark_ids
        asked = (*self.split.queries, *self.split.nonlandmarks)
        return {ids[row]: frozenset({marks[row]} - {""}) for row in asked}

    def ids(self, rows: Sequence[int]) -> list[str]:
        """Return the image ids at ``rows``."""
        return [self.manifest.image_ids[row] for row in rows]

    def needed(self) -> list[int]:
        """Return the rows that a model must embed, each once."""
        gallery = set(self.manifest.gallery().image_ids)
        own = {*self.split.gallery, *self.split.queries} if self.split.queries else set()
        return [
            row
            for row, (image, role) in enumerate(
                zip(self.manifest.image_ids, self.manifest.roles, strict=True)
            )
            if image in gallery or row in own or role in ("query", "nonlandmark")
        ]


@dataclass(frozen=True, eq=False)
class Embedded:
    """One model's embeddings of the data.

    Args:
        data: The images.
        table: Embeddings of those that could be read.
        folder: Where the table lies.
    """

    data: Data
    table: EmbeddingTable
    folder: Path

    @classmethod
    def make(cls, model_dir: Path, data: Data, folder: Path, *, device: str) -> Embedded:
        """Embed the data into ``folder``, or what an interrupted call has left of them."""
        embed(model_dir, data.manifest.take(data.needed()), folder, device=device)
        return cls.read(data, folder)

    @classmethod
    def read(cls, data: Data, folder: Path) -> Embedded:
        """Return embeddings made earlier."""
        return cls(data, EmbeddingTable.read(folder), folder)

    def part(self, image_ids: Collection[str]) -> EmbeddingTable:
        """Return the table of those of the images that could be read, in the table's order."""
        wanted, table = set(image_ids), self.table
        rows = [row for row, image in enumerate(table.image_ids) if image in wanted]
        return EmbeddingTable(
            [table.image_ids[row] for row in rows],
            [table.landmark_ids[row] for row in rows],
            [table.paths[row] for row in rows],
            table.vectors[rows],
            table.fingerprint,
        )

    def gallery(self) -> Gallery:
        """Return the gallery that test queries are asked of, without a penalty."""
        return Gallery(self.folder, self.part(self.data.manifest.gallery().image_ids))

    def queries(self) -> EmbeddingTable:
        """Return the test queries."""
        return self.part(self.data.manifest.select("query").image_ids)

    def answers(self, *, penalty: bool = False) -> list[Prediction]:
        """Return the answers to the test queries.

        Raises:
            CairnError: A penalty is wanted and the data have no non-landmarks.
        """
        gallery = self.gallery()
        if penalty:
            bank = self.data.manifest.select("nonlandmark").image_ids
            if not bank:
                raise CairnError(
                    "there are no non-landmarks for a penalty",
                    where=self.data.manifest.root,
                    todo="give pictures of no landmark the role nonlandmark",
                )
            table = gallery.penalize(self.part(bank))
            gallery = Gallery(gallery.location, gallery.table, table)
        return recognize_table(self.queries(), gallery, top=1)

    def validation_votes(self) -> Votes:
        """Return the votes on the validation's photographs, among its gallery."""
        split, data = self.data.split, self.data
        gallery = Gallery(self.folder, self.part(data.ids(split.gallery)))
        return cast_votes(self.part(data.ids((*split.queries, *split.nonlandmarks))), gallery)

    def test_votes(self) -> Votes:
        """Return the votes on the test queries."""
        return cast_votes(self.queries(), self.gallery())


@dataclass(frozen=True)
class Ensemble:
    """A weighted vote of several rows.

    Args:
        members: Rows that vote, best first on the validation.
        weights: One each, adding up to 1.
        validation_gap: Of the vote, mean over seeds; too good by what choosing weights lends it.
        answers: For each seed the answers to the test queries.
    """

    members: tuple[str, ...]
    weights: tuple[float, ...]
    validation_gap: float
    answers: tuple[list[Prediction], ...]


def vote(members: Mapping[str, Iterable[Embedded]]) -> Ensemble:
    """Return the vote of ``members``, calibrated and weighted on the validation alone.

    Args:
        members: For each row its embeddings, one for each seed, in the same order of seeds, taken
            a seed at a time; rows in the order that breaks ties.

    Raises:
        CairnError: There is no validation to choose on.
    """
    judged, truths, asked = [], [], []
    for models in zip(*members.values(), strict=True):
        truth = models[0].data.validation_truth
        if not any(truth.values()):
            raise CairnError(
                "no photographs were held out to weigh an ensemble on",
                todo="lower validation.min_images, or give landmarks more photographs",
            )
        validation = [model.validation_votes() for model in models]
        curves = [fit_curve(votes, truth) for votes in validation]
        pairs = zip(validation, curves, strict=True)
        judged.append(WeightedVotes([votes.calibrated(curve) for votes, curve in pairs]))
        tested = [m.test_votes().calibrated(c) for m, c in zip(models, curves, strict=True)]
        asked.append(WeightedVotes(tested))
        truths.append(truth)
    weights, gap = fit_weights(judged, truths)
    answers = tuple(predictions(votes, weights) for votes in asked)
    return Ensemble(tuple(members), weights, gap, answers)


def num_parameters(model_dir: Path) -> int:
    """Return how many numbers the model in a folder has, those of batch norm's statistics aside."""
    from safetensors import safe_open

    with safe_open(model_dir / "model.safetensors", framework="numpy") as file:
        names = [k for k in file.keys() if not k.endswith(_STATISTICS)]  # noqa: SIM118 (no mapping)
        return int(sum(np.prod(file.get_slice(name).get_shape()) for name in names))


_STATISTICS = ("num_batches_tracked", "running_mean", "running_var")
