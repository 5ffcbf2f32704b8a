"""Giving a gallery its penalty: the bank is kept, and every later change follows with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from cairn.gallery.entries import Entry
from cairn.gallery.penalties import bank_key, keep, write_bank
from cairn.gallery.rows import PenaltyNote
from cairn.gallery.versions import changed, changing, commit
from cairn.tables import EmbeddingTable


def keep_penalty(
    location: Path | str,
    bank: EmbeddingTable,
    *,
    top: int | Literal["auto"] = "auto",
    **rule: Any,
) -> Entry:
    """Give a gallery the penalty that a bank of non-landmarks says; return its line in the log.

    Where it has this very penalty already, nothing is written and its newest line is returned.

    Args:
        location: The gallery.
        bank: Embeddings of non-landmarks, by the gallery's model. It is kept in the gallery.
        top: As ``cairn.penalty.penalty_table``; ``auto`` suits galleries of any size.
        rule: Its further settings.

    Raises:
        CairnError: The bank is of another model or shows landmarks of the gallery, a setting is out
            of range, or another writer is at work.
    """
    with changing(location) as base:
        place, key = base.place, base.content_key
        note = PenaltyNote(bank_key(bank), {"top": top, **rule})
        if note == base.facts.penalty and place.has(note.file_name(key)):
            return base.entry()
        keep(place, note, base.table(), key, bank)
        write_bank(place, bank)
        facts = replace(base.facts, penalty=note)
        fragments = [fragment.metadata for fragment in base.fragments]
        operation = changed(fragments, facts)
        entry = Entry(
            0,
            "penalize",
            {"bank_size": len(bank), **note.rule, "bank": note.bank},
            num_images=base.num_images,
            num_landmarks=base.num_landmarks,
            model=facts.fingerprint,
            content=key,
        )
        return commit(place, base, operation, entry)
