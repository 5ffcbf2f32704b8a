"""What a calibration was made with, kept in its gallery: enough to make it anew without a network.

The queries lie under the model's fingerprint and their own digest, and a small file for each way of
answering says which of them it was made with. Ids and paths are those of the validation manifest:
they stay with the gallery, and ``cairn push`` leaves them behind. The module does not search.

Legend of shapes: Q queries, D dimensions.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cairn.calibration import FALSE_ACCEPT_RATE
from cairn.errors import CairnError
from cairn.exported import file_digest
from cairn.gallery.place import Place
from cairn.runs import read_json, write_json
from cairn.tables import TEXT_COLUMNS, EmbeddingTable, arrow_rows, table_facts

FOLDER = "validations"
FORMAT = 1

_CARD_NAME, _QUERIES_NAME = "config.json", "queries.parquet"
_TRUTH = "shows"


@dataclass(frozen=True)
class Way:
    """A way of answering, whatever the gallery holds at the time.

    Args:
        use_penalty: Take the gallery's penalty off, where it has one; a recipe says it itself.
        search: ``exact`` or ``approximate``.
        recipe: ``num_hits`` and ``stages``, as ``Stack.recipe`` has them; None for the nearest
            image.
    """

    use_penalty: bool = True
    search: str = "exact"
    recipe: Mapping[str, Any] | None = None

    @property
    def digest(self) -> str:
        """8 hex digits that are equal for equal ways."""
        text = json.dumps([self._penalty, self.search, self.recipe], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def to_json(self) -> dict[str, Any]:
        """Return a value for JSON."""
        return {"use_penalty": self._penalty, "search": self.search, "recipe": self.recipe}

    @property
    def _penalty(self) -> bool:
        return self.use_penalty or self.recipe is not None


@dataclass(frozen=True, eq=False)
class Validation:
    """All that ``calibrate_gallery`` is given beside the gallery.

    Args:
        queries: Q embeddings by the gallery's model.
        truth: Query id -> its landmarks; empty for a non-landmark.
        way: How they are answered.
        false_accept_rate: See ``cairn.calibration.calibrate``, as for the rest.
        known_share: See ``false_accept_rate``.
        facts: See ``false_accept_rate``.
        seed: See ``false_accept_rate``.
    """

    queries: EmbeddingTable
    truth: Mapping[str, frozenset[str]]
    way: Way = Way()
    false_accept_rate: float = FALSE_ACCEPT_RATE
    known_share: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


def keep_validation(place: Place, validation: Validation) -> str:
    """Keep a validation, in place of an older one of its way; return the name of its file.

    Queries that no way needs any more are deleted.
    """
    root = f"{FOLDER}/{validation.queries.fingerprint}"
    name = f"{root}/{validation.way.digest}.json"
    with tempfile.TemporaryDirectory(prefix="cairn-") as temporary:
        folder = Path(temporary)
        key = _write_queries(validation, folder / "queries")
        try:
            _read_queries(place, f"{root}/{key}")
        except CairnError:  # not there, or damaged
            if place.items(f"{root}/{key}"):
                place.delete(f"{root}/{key}")
            place.write_folder(f"{root}/{key}", folder / "queries")
        value = {
            "format": FORMAT,
            "queries": key,
            **validation.way.to_json(),
            "false_accept_rate": validation.false_accept_rate,
            "known_share": validation.known_share,
            "facts": dict(validation.facts),
            "seed": validation.seed,
        }
        write_json(folder / "way.json", value)
        place.write_file(name, folder / "way.json")
    needed = {_queries_of(place, one) for one in kept_ways(place, validation.queries.fingerprint)}
    for item in place.items(root):
        if not item.name.endswith((".json", ".tmp")) and item.name.rpartition("/")[2] not in needed:
            place.delete(item.name)
    return name


def kept_ways(place: Place, model: str) -> list[str]:
    """Return the names of the validations that a gallery keeps for a model, by its fingerprint."""
    return [item.name for item in place.items(f"{FOLDER}/{model}") if item.name.endswith(".json")]


def name_of(model: str, way: Way) -> str:
    """Return the name under which the validation of a way of answering lies, if there is one."""
    return f"{FOLDER}/{model}/{way.digest}.json"


def read_validation(place: Place, name: str) -> Validation:
    """Return a validation that the gallery keeps.

    Raises:
        CairnError: It is missing or damaged, or of another format.
    """
    value = _settings(place, name)
    folder = f"{name.rpartition('/')[0]}/{_queries_of(place, name)}"
    queries, truth = _read_queries(place, folder)
    try:
        share = value["known_share"]
        return Validation(
            queries,
            truth,
            Way(bool(value["use_penalty"]), str(value["search"]), value["recipe"]),
            float(value["false_accept_rate"]),
            None if share is None else float(share),
            dict(value["facts"]),
            int(value["seed"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(place, name, f"{type(error).__name__} {error}") from None


def _settings(place: Place, name: str) -> dict[str, Any]:
    if not place.has(name):
        raise _damaged(place, name, "it is missing")
    try:
        with place.local_file(name) as path:
            value = read_json(path)
    except CairnError as error:
        raise _damaged(place, name, error.what) from None
    found = value.get("format") if isinstance(value, dict) else None
    if found != FORMAT:
        raise _damaged(place, name, f"it is of format {found}, and this Cairn reads {FORMAT}")
    return dict(value)


def _queries_of(place: Place, name: str) -> str:
    """Return which queries a way was validated by."""
    try:
        key = _settings(place, name)["queries"]
    except KeyError:
        raise _damaged(place, name, "it names no queries") from None
    if not isinstance(key, str) or not key.isalnum():
        raise _damaged(place, name, "it names no queries")
    return key


def _write_queries(validation: Validation, folder: Path) -> str:
    """Write the queries to a new folder; return their digest."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    queries = validation.queries
    rows = arrow_rows(
        queries.image_ids,
        queries.landmark_ids,
        queries.paths,
        queries.vectors,
        queries.fingerprint,
    )
    shown = [sorted(validation.truth[one]) for one in queries.image_ids]
    rows = rows.append_column(_TRUTH, pa.array(shown, pa.list_(pa.string())))
    digest = hashlib.sha256(queries.fingerprint.encode())
    for column in TEXT_COLUMNS:
        digest.update(json.dumps(rows[column].to_pylist()).encode())
    digest.update(json.dumps(shown).encode())
    digest.update(np.ascontiguousarray(queries.vectors).tobytes())
    folder.mkdir()
    pq.write_table(rows, folder / _QUERIES_NAME)
    card = {
        "format": FORMAT,
        "model": queries.fingerprint,
        "num_queries": len(queries),
        "dimension": queries.dimension,
        "sha256": file_digest(folder / _QUERIES_NAME),
    }
    write_json(folder / _CARD_NAME, card)
    return digest.hexdigest()[:32]


def _read_queries(place: Place, folder: str) -> tuple[EmbeddingTable, dict[str, frozenset[str]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = f"{folder}/{_QUERIES_NAME}"
    card = _settings(place, f"{folder}/{_CARD_NAME}")
    if not place.has(name):
        raise _damaged(place, name, "it is missing")
    with place.local_file(name) as path:
        if file_digest(path) != card.get("sha256"):
            raise _damaged(place, name, "its SHA-256 is another")
        try:
            rows = pq.read_table(path)
            fingerprint, dimension = table_facts(rows, f"{place}/{name}")
            flat = rows["vector"].combine_chunks().flatten().to_numpy()
            image_ids, landmark_ids, paths = (rows[column].to_pylist() for column in TEXT_COLUMNS)
            queries = EmbeddingTable(
                image_ids, landmark_ids, paths, flat.reshape(-1, dimension), fingerprint
            )
            shown = rows[_TRUTH].to_pylist()
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise _damaged(place, name, str(error).partition("\n")[0]) from None
    pairs = zip(queries.image_ids, shown, strict=True)
    return queries, {image_id: frozenset(one) for image_id, one in pairs}


def _damaged(place: Place, name: str, why: str) -> CairnError:
    return CairnError(
        f"the validation that this gallery keeps cannot be used: {why}",
        where=f"{place}/{name}",
        todo=f"give it again: cairn calibrate {place} MANIFEST",
    )
