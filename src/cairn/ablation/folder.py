"""The folder of an ablation, and what one row with one seed leaves in it.

    DIR/config.json                 the base recipe and the data's fingerprint
    DIR/rows/<row>/seed-<n>/recipe.json  what the row was begun with
                            run/         the run folder of `cairn train`
                            embeddings/  every photograph that is asked or answered with
                            answers.parquet, result.json    when it is finished
                            failed.json                     when it failed, and why
    DIR/ablation.{json,csv,md}, DIR/plots/

A row and seed is finished when ``result.json`` is there; that is written last.
"""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cairn.config import Recipe
from cairn.domain import Prediction
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.runs import atomic_write, read_json, write_json
from cairn.submission import by_image


@dataclass(frozen=True)
class Result:
    """What is known of a finished row with one seed, beside its answers.

    Args:
        validation_gap: Best GAP on the training's validation; None where nothing was scored.
        train_seconds: In epochs; 0 where nothing was trained.
        evaluate_seconds: Embedding and answering.
        parameters: Of the model, or of all that vote.
        facts: Further ones, such as the members of an ensemble.
    """

    validation_gap: float | None
    train_seconds: float
    evaluate_seconds: float
    parameters: int
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where one row with one seed lies."""

    root: Path
    row: str
    seed: int

    @property
    def folder(self) -> Path:
        """``DIR/rows/<row>/seed-<n>``."""
        return self.root / "rows" / self.row / f"seed-{self.seed}"

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.folder / "run"

    @property
    def embeddings(self) -> Path:
        """The embedding table."""
        return self.folder / "embeddings"

    @property
    def finished(self) -> bool:
        """Whether there is a result."""
        return (self.folder / "result.json").is_file()

    def begin(self, recipe: Recipe | None) -> None:
        """Record the recipe; what a failed try with another one left is removed.

        Raises:
            CairnError: The row was trained, or is being trained, with another recipe.
        """
        path = self.folder / "recipe.json"
        if path.is_file():
            recorded = read_json(path)
            if recorded == _dumped(recipe):
                return
            if self.failure() is None and (self.run.exists() or self.finished):
                raise CairnError(
                    f"row {self.row!r} was made with another recipe: "
                    f"{_difference(recorded, recipe)}",
                    where=self.folder,
                    todo="give the same table, overrides and weights, move this row's folder away, "
                    "or name another folder as -o",
                )
            shutil.rmtree(self.folder)
        write_json(path, _dumped(recipe))

    def finish(self, answers: Iterable[Prediction], result: Result) -> None:
        """Write answers and result."""
        given = by_image(answers)
        columns = {
            "image_id": list(given),
            "landmark_id": [landmark for landmark, _ in given.values()],
            "confidence": pa.array([score for _, score in given.values()], pa.float64()),
        }
        with atomic_write(self.folder / "answers.parquet") as temporary:
            pq.write_table(pa.table(columns), temporary)
        write_json(self.folder / "result.json", asdict(result))
        (self.folder / "failed.json").unlink(missing_ok=True)

    def fail(self, error: Exception) -> str:
        """Record why the row failed, and return the reason as one line."""
        told = error.what if isinstance(error, CairnError) else f"{type(error).__name__}: {error}"
        reason = told.partition("\n")[0]
        values = {"reason": reason, "traceback": "".join(traceback.format_exception(error))}
        write_json(self.folder / "failed.json", values)
        return reason

    def failure(self) -> dict[str, Any] | None:
        """Return what `fail` recorded; None where the row did not fail."""
        path = self.folder / "failed.json"
        return dict(read_json(path)) if path.is_file() else None

    def result(self) -> Result:
        """Return the result of a finished row."""
        return Result(**read_json(self.folder / "result.json"))

    def answers(self) -> dict[str, tuple[str, float]]:
        """Return the answers of a finished row to the test queries, by image id."""
        columns = pq.read_table(self.folder / "answers.parquet").to_pydict()
        pairs = zip(columns["landmark_id"], columns["confidence"], strict=True)
        return dict(zip(columns["image_id"], pairs, strict=True))


def open_folder(root: Path, recipe: Recipe, manifest: Manifest) -> None:
    """Begin an ablation in ``root``, or check that the one begun there fits.

    Raises:
        CairnError: It has another base recipe or other data, or the folder holds something else.
    """
    path = root / "config.json"
    made_of = {"recipe": _dumped(recipe), "data": manifest.fingerprint}
    if not path.is_file():
        if root.is_file() or (root.is_dir() and any(root.iterdir())):
            raise CairnError(
                "this place is taken, and not by an ablation", where=root, todo="name another"
            )
        write_json(path, made_of)
        return
    recorded = read_json(path)
    if recorded.get("data") != made_of["data"]:
        what = "other data"
    elif recorded.get("recipe") != made_of["recipe"]:
        what = f"another recipe: {_difference(recorded.get('recipe'), recipe)}"
    else:
        return
    raise CairnError(
        f"the ablation was begun with {what}",
        where=path,
        todo="give the same recipe, overrides and data, or name another folder as -o",
    )


def _dumped(recipe: Recipe | None) -> dict[str, Any] | None:
    return None if recipe is None else recipe.model_dump(mode="json")


def _difference(recorded: Any, recipe: Recipe | None) -> str:
    """Return the first setting that differs, and how."""
    then, now = _flat(recorded or {}), _flat(_dumped(recipe) or {})
    places = [place for place in {**then, **now} if then.get(place) != now.get(place)]
    if not places:
        return "nothing that is known"
    return f"{places[0]} was {then.get(places[0])!r}, is {now.get(places[0])!r}"


def _flat(values: Any, place: str = "") -> dict[str, Any]:
    if not isinstance(values, dict) or not values:
        return {place: values}
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{place}.{key}" if place else key)
    return found
