"""Penalties and banks of a gallery: kept beside its vectors, found by what they were made for.

A version says which bank and which settings its penalty is made with; the file's name says for
which content. What changes the content writes the penalty of the new one first and commits then, so
that every version has its own, and a version changed by another program is seen to have none.
What bank and gallery see in one another is kept too, so that a change costs its own products alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import fields
from inspect import signature
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cairn.attraction import Attraction
from cairn.errors import CairnError, nearest
from cairn.gallery.place import Place
from cairn.gallery.rows import PenaltyNote, checksums, content_key, order_key
from cairn.gallery.versions import Version
from cairn.penalty import PenaltyRule, PenaltyTable, penalty_table, picks_of
from cairn.progress import say
from cairn.tables import EmbeddingTable, lance_library, require_same_model

Sums: TypeAlias = NDArray[np.uint64]

MODEL_KEY = b"cairn.model"


def make_penalty(
    gallery: EmbeddingTable, bank: EmbeddingTable, *, where: object, **rule: Any
) -> PenaltyTable:
    """Return what a bank of non-landmarks says of a gallery's images.

    Raises:
        CairnError: The bank is of another model or shows landmarks of the gallery, or a setting is
            out of range.
    """
    require_bank(bank, gallery, where=where)
    made = penalty_table(gallery.vectors, bank.vectors, **{"top": "auto", **rule})
    _tell(made)
    return made


def require_bank(bank: EmbeddingTable, gallery: EmbeddingTable, *, where: object) -> None:
    """Refuse what is no bank for a gallery.

    Raises:
        CairnError: It is of another model, or shows landmarks of the gallery.
    """
    require_same_model(bank, gallery, where=f"the bank and {where}")
    shared = set(bank.landmark_ids) & set(gallery.landmark_ids)
    if shared:
        raise CairnError(
            f"the bank has images of {len(shared)} landmarks of the gallery, "
            f"such as {min(shared)!r}",
            todo="a bank holds non-landmarks: `cairn embed ... --role nonlandmark`",
        )


def write_penalty(penalty: PenaltyTable, gallery: EmbeddingTable, path: Path) -> None:
    """Write a penalty table of a gallery with the model's fingerprint, whole or not at all.

    Raises:
        CairnError: The table has not one row for each image.
    """
    penalty.write(path, gallery.paths, gallery.image_ids)
    table = pq.read_table(path)
    metadata = {**(table.schema.metadata or {}), MODEL_KEY: gallery.fingerprint}
    pq.write_table(table.replace_schema_metadata(metadata), path)


def follow(
    base: Version,
    table: EmbeddingTable,
    sums: Sums,
    *,
    kept: NDArray[np.bool_],
    came: int,
) -> None:
    """Write the penalty that a changed gallery will need, before the change is committed.

    It costs the products of what changed alone, where what the bank and the version see in one
    another is at hand.

    Args:
        base: The version that changes; it has a penalty.
        table: What the gallery will hold.
        sums: The checksums of that.
        kept: Which images of ``base`` stay, in their order.
        came: How many new ones follow them.
    """
    note, place = base.facts.penalty, base.place
    assert note is not None
    bank = read_bank(place, note.bank)
    name = note.attraction_name(order_key(base.facts.fingerprint, base.checksums))
    attraction = None
    if place.has(name):
        with place.local_file(name) as path:
            earlier = Attraction.read(path)
        attraction = earlier.after(kept, came, table.vectors, bank.vectors)
    keep(place, note, table, sums, bank, attraction=attraction)


def keep(
    place: Place,
    note: PenaltyNote,
    table: EmbeddingTable,
    sums: Sums,
    bank: EmbeddingTable,
    *,
    attraction: Attraction | None = None,
) -> None:
    """Make the penalty of a table and keep it for its content, unless it is there.

    Args:
        place: The gallery.
        note: How it is made.
        table: What it is made for.
        sums: The checksums of that.
        bank: The bank.
        attraction: What bank and table see in one another, where it is known.

    Raises:
        CairnError: As ``make_penalty``.
    """
    name = note.file_name(content_key(table.fingerprint, sums))
    if place.has(name):
        return
    require_bank(bank, table, where=place)
    top, rule = rule_of(note.rule)
    most = int(picks_of(bank.vectors, len(table), top).max())
    if attraction is None or attraction.crossing.k < min(most, len(table)):
        attraction = Attraction.of(table.vectors, bank.vectors, top=top)
    made = attraction.penalty(bank.vectors, top=top, rule=rule)
    _tell(made)
    with tempfile.TemporaryDirectory(prefix="cairn-") as folder:
        path = Path(folder) / "attraction.safetensors"
        attraction.write(path)
        place.write_file(note.attraction_name(order_key(table.fingerprint, sums)), path)
        path = Path(folder) / "penalty.parquet"
        write_penalty(made, table, path)
        place.write_file(name, path)


def rule_of(settings: Mapping[str, Any]) -> tuple[int | Literal["auto"], PenaltyRule]:
    """Return ``top`` and the rule of settings as ``cairn.penalty.penalty_table`` takes them.

    What they leave out is what that function takes by default, but ``top``, which is ``auto``.

    Raises:
        CairnError: A setting is unknown or out of range.
    """
    defaults = {name: one.default for name, one in signature(penalty_table).parameters.items()}
    names = [field.name for field in fields(PenaltyRule)]
    unknown = next((name for name in settings if name not in (*names, "top")), None)
    if unknown is not None:
        raise CairnError(f"unknown setting {unknown!r}", todo=nearest(unknown, [*names, "top"]))
    rule = PenaltyRule(**{name: settings.get(name, defaults[name]) for name in names})
    return settings.get("top", "auto"), rule


def bank_key(bank: EmbeddingTable) -> str:
    """Return the content key of a bank."""
    return content_key(bank.fingerprint, checksums(bank.image_ids, bank.vectors))


def write_bank(place: Place, bank: EmbeddingTable) -> None:
    """Keep a bank in the gallery, unless it is there."""
    uri = place.uri(_bank_name(bank_key(bank)))
    try:
        lance_library().dataset(uri, storage_options=place.options)
    except (ValueError, OSError):
        bank.write_dataset(uri, options=place.options)


def read_bank(place: Place, key: str) -> EmbeddingTable:
    """Return a bank that the gallery keeps.

    Raises:
        CairnError: It is not there any more.
    """
    name = _bank_name(key)
    try:
        dataset = lance_library().dataset(place.uri(name), storage_options=place.options)
    except (ValueError, OSError):
        raise CairnError(
            f"the bank of this gallery's penalty is missing: {name}",
            where=place,
            todo="give the bank again: cairn penalize GALLERY BANK",
        ) from None
    return EmbeddingTable.of_dataset(dataset, where=f"{place}/{name}")


def read_penalty(version: Version, table: EmbeddingTable) -> tuple[PenaltyTable | None, str]:
    """Return the penalty of a version in the order of its rows, and its file's address.

    Without a penalty: None and "".

    Raises:
        CairnError: It has one, but for another content: it is stale.
    """
    note = version.facts.penalty
    if note is None:
        return None, ""
    name = note.file_name(version.content_key)
    if not version.place.has(name):
        raise CairnError(
            "the penalty of this gallery is stale: it was made for other images than these",
            where=version.place,
            todo=f"make it anew: cairn penalize {version.place} BANK "
            "(the bank embedded by the gallery's model), or do without: --no-penalty",
        )
    with version.place.local_file(name) as path:
        return PenaltyTable.read_for(path, table.image_ids), version.place.uri(name)


def _bank_name(key: str) -> str:
    return f"banks/{key}.lance"


def _tell(made: PenaltyTable) -> None:
    num_hit = int((made.penalty > 0).sum())
    say(f"{made.bank_size} non-landmarks penalize {num_hit} of {len(made)} gallery images")
