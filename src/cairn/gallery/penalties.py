"""Penalties and banks of a gallery: kept beside its vectors, found by what they were made for.

A version says which bank and which settings its penalty is made with; the file's name says for
which content. What changes the content writes the penalty of the new one first and commits then, so
that every version has its own, and a version changed by another program is seen to have none.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.gallery.place import Place
from cairn.gallery.prospects import Prospect
from cairn.gallery.rows import PenaltyNote, checksums, content_key
from cairn.gallery.versions import Version
from cairn.progress import say
from cairn.tables import EmbeddingTable, lance_library, require_same_model

if TYPE_CHECKING:  # they load PyTorch, which many a change of a gallery does without
    from cairn.attraction import Attraction
    from cairn.penalty import PenaltyTable

MODEL_KEY = b"cairn.model"


def make_penalty(
    gallery: EmbeddingTable, bank: EmbeddingTable, *, where: object, **rule: Any
) -> PenaltyTable:
    """Return what a bank of non-landmarks says of a gallery's images.

    Raises:
        CairnError: The bank is of another model or shows landmarks of the gallery, or a setting is
            out of range.
    """
    _require_bank(gallery, bank, where)
    from cairn.penalty import penalty_table

    made = penalty_table(gallery.vectors, bank.vectors, **{"top": "auto", **rule})
    _tell(made)
    return made


def _require_bank(gallery: EmbeddingTable, bank: EmbeddingTable, where: object) -> None:
    require_same_model(bank, gallery, where=f"the bank and {where}")
    shared = set(bank.landmark_ids) & set(gallery.landmark_ids)
    if shared:
        raise CairnError(
            f"the bank has images of {len(shared)} landmarks of the gallery, "
            f"such as {min(shared)!r}",
            todo="a bank holds non-landmarks: `cairn embed ... --role nonlandmark`",
        )


def _tell(made: PenaltyTable) -> None:
    num_hit = int((made.penalty > 0).sum())
    say(f"{made.bank_size} non-landmarks penalize {num_hit} of {len(made)} gallery images")


def write_penalty(penalty: PenaltyTable, gallery: EmbeddingTable, path: Path) -> None:
    """Write a penalty table of a gallery with the model's fingerprint, whole or not at all.

    Raises:
        CairnError: The table has not one row for each image.
    """
    told = {MODEL_KEY: gallery.fingerprint.encode()}
    penalty.write(path, gallery.paths, gallery.image_ids, metadata=told)


def follow(version: Version, prospect: Prospect, key: str) -> None:
    """Write the penalty that a changed gallery will need, before the change is committed.

    It costs the products of what changed with the bank, not of all (``cairn.attraction``).

    Args:
        version: The version that changes; where it has a penalty, that says how.
        prospect: What the gallery will hold.
        key: The content key of that.

    Raises:
        CairnError: As ``keep``.
    """
    note = version.facts.penalty
    if note is None or version.place.has(note.file_name(key)):
        return
    bank = read_bank(version.place, note.bank)
    if prospect.new is not None:
        _require_bank(prospect.new, bank, version.place)
    _keep(version.place, note, prospect, key, bank, before=version.content_key)


def keep(
    place: Place, note: PenaltyNote, table: EmbeddingTable, key: str, bank: EmbeddingTable
) -> None:
    """Make the penalty of a table and keep it for the content ``key``, unless it is there.

    Args:
        place: The gallery.
        note: How it is made.
        table: What the gallery will hold.
        key: The content key of that.
        bank: The bank.

    Raises:
        CairnError: As ``make_penalty``.
    """
    if not place.has(note.file_name(key)):
        _require_bank(table, bank, place)
        _keep(place, note, Prospect.of(table), key, bank)


def _keep(
    place: Place,
    note: PenaltyNote,
    prospect: Prospect,
    key: str,
    bank: EmbeddingTable,
    *,
    before: str = "",
) -> None:
    """Keep the penalty of a prospect, of ``before``'s attraction where that is of use."""
    from cairn.penalty import PenaltyRule

    rule = {"top": "auto", **note.rule}
    top = rule.pop("top")
    settings = PenaltyRule(**rule)
    attraction = _attraction(place, note, prospect, key, bank, top=top, before=before)
    made = attraction.penalty(bank.vectors, top=top, rule=settings)
    _tell(made)
    with tempfile.TemporaryDirectory(prefix="cairn-") as folder:
        path = Path(folder) / "penalty.parquet"
        told = {MODEL_KEY: bank.fingerprint.encode()}
        made.write(path, prospect.paths, prospect.image_ids, metadata=told)
        place.write_file(note.file_name(key), path)


def _attraction(
    place: Place,
    note: PenaltyNote,
    prospect: Prospect,
    key: str,
    bank: EmbeddingTable,
    *,
    top: int | Literal["auto"],
    before: str,
) -> Attraction:
    """Return what the bank and a gallery to be see in one another, and keep it for what follows."""
    from cairn.attraction import Attraction

    name = note.attraction_name(key)
    names = [one for one in (name, note.attraction_name(before)) if place.has(one)]
    if names:
        with place.local_file(names[0]) as path:
            known = Attraction.read(path)
        made = known.following(prospect, bank.vectors, prospect.keys, top=top)
        if names[0] == name and made.crossing.k == known.crossing.k:
            return made
    else:
        made = Attraction.of(prospect.whole(), bank.vectors, prospect.keys, top=top)
    with tempfile.TemporaryDirectory(prefix="cairn-") as folder:
        path = Path(folder) / "attraction.safetensors"
        made.write(path)
        place.write_file(name, path)
    return made


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
    return EmbeddingTable.of_dataset(open_bank(place, key), where=f"{place}/{_bank_name(key)}")


def bank_of(version: Version) -> EmbeddingTable | None:
    """Return the bank that a version's penalty was made with; None where it has no penalty.

    Raises:
        CairnError: It is not there any more.
    """
    note = version.facts.penalty
    return None if note is None else read_bank(version.place, note.bank)


def bank_similarities(version: Version, depth: int) -> Float32 | None:
    """Return (N, M) similarities of a version's rows to their nearest non-landmarks, best first.

    They are those that were kept when the penalty was made; -inf where the bank is smaller.

    Args:
        version: With a penalty.
        depth: M at least.

    Returns:
        None where fewer, or none, were kept.
    """
    note = version.facts.penalty
    name = "" if note is None else note.attraction_name(version.content_key)
    if not name or not version.place.has(name):
        return None
    from cairn.attraction import Attraction

    with version.place.local_file(name) as path:
        known = Attraction.read(path)
    if known.crossing.m < depth:
        return None
    keys = version.column("checksum").to_numpy()
    order = np.argsort(known.keys)
    at = order[np.searchsorted(known.keys, keys, sorter=order).clip(max=len(order) - 1)]
    if not np.array_equal(known.keys[at], keys):
        return None
    found: Float32 = known.crossing.of_rows.scores[at]
    return found


def open_bank(place: Place, key: str) -> Any:
    """Return the Lance dataset of a bank that the gallery keeps.

    Raises:
        CairnError: It is not there any more.
    """
    name = _bank_name(key)
    try:
        return lance_library().dataset(place.uri(name), storage_options=place.options)
    except (ValueError, OSError):
        raise CairnError(
            f"the bank of this gallery's penalty is missing: {name}",
            where=place,
            todo="give the bank again: cairn penalize GALLERY BANK",
        ) from None


def read_penalty(version: Version, table: EmbeddingTable) -> tuple[PenaltyTable | None, str]:
    """Return the penalty of a version in the order of its rows, and its file's address.

    Without a penalty: None and "".

    Raises:
        CairnError: It has one, but for another content: it is stale.
    """
    note = version.facts.penalty
    if note is None:
        return None, ""
    from cairn.penalty import PenaltyTable

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
