"""Embedding a whole gallery again with another model, its bank of non-landmarks too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cairn.checkpoint import model_fingerprint
from cairn.embed import BATCH_SIZE, embed
from cairn.errors import CairnError
from cairn.gallery.add import discard
from cairn.gallery.entries import Entry
from cairn.gallery.gallery import model_name
from cairn.gallery.penalties import bank_key, keep, read_bank, write_bank
from cairn.gallery.place import Place
from cairn.gallery.rows import Facts, arrow_rows, content_key
from cairn.gallery.versions import changing, commit, numbered, write_fragments
from cairn.manifest import Manifest
from cairn.progress import say
from cairn.tables import EmbeddingTable, lance_library, require_same_model

_SHOWN = 5


def reembed(
    location: Path | str,
    model_dir: Path,
    *,
    bank: EmbeddingTable | None = None,
    drop_missing: bool = False,
    batch_size: int = BATCH_SIZE,
    backend: str = "auto",
    device: str = "auto",
    workers: int = 0,
) -> Entry:
    """Embed all photographs of a gallery with another model; return the line in its log.

    Ids, landmarks and labels stay. Where the gallery has a penalty, the photographs of its bank are
    embedded too and the penalty is made anew with the same settings. After an interruption, the
    same call goes on where it was; until all is done, the gallery stays what it was.

    Args:
        location: The gallery.
        model_dir: The new model.
        bank: Embeddings of non-landmarks by the new model, in place of the old bank's photographs.
        drop_missing: Go on without photographs that are not there any more or cannot be read.
        batch_size: As ``cairn.embed.embed``, like the rest.
        backend: See ``batch_size``.
        device: See ``batch_size``.
        workers: See ``batch_size``.

    Raises:
        CairnError: The gallery is of this model already, photographs are missing, or another writer
            is at work.
    """
    settings = {"batch_size": batch_size, "backend": backend, "device": device, "workers": workers}
    with changing(location) as base:
        place, model_dir = base.place, Path(model_dir)
        fingerprint = model_fingerprint(model_dir)
        if fingerprint == base.facts.fingerprint:
            raise CairnError(
                f"the gallery is of this model already ({fingerprint})",
                where=place,
                todo="to embed photographs that have changed, remove them and add them again",
            )
        old, note = base.table(), base.facts.penalty
        again = _Again(place, model_dir, fingerprint, drop_missing, settings)
        old_bank = None
        if note is not None and bank is None:
            old_bank = read_bank(place, note.bank)
            again.require_files(old_bank, "the bank")
        again.require_files(old, "the gallery")
        table = again.embedded(old, base.content_key)
        arguments: dict[str, Any] = {"model": str(model_dir), "from": base.facts.fingerprint}
        arguments["dropped"] = len(old) - len(table)
        facts = Facts(fingerprint, table.dimension)
        rows = arrow_rows(facts, table, base.labels())
        key = content_key(fingerprint, rows["checksum"].to_numpy())
        if note is not None:
            if old_bank is not None:
                bank = again.embedded(old_bank, note.bank)
                arguments["bank dropped"] = len(old_bank) - len(bank)
            assert bank is not None
            require_same_model(bank, table, where="the bank and the new model")
            facts = replace(facts, penalty=replace(note, bank=bank_key(bank)))
            assert facts.penalty is not None
            keep(place, facts.penalty, table, key, bank)
            write_bank(place, bank)
        place.write_folder(model_name(fingerprint), model_dir)
        rows = rows.replace_schema_metadata(facts.schema().metadata)
        fragments = numbered(write_fragments(place, rows, facts.schema()), base)
        operation = lance_library().LanceOperation.Overwrite(facts.schema(), fragments)
        entry = Entry(
            0,
            "reembed",
            arguments,
            num_images=len(table),
            num_landmarks=len(set(table.landmark_ids)),
            model=fingerprint,
            content=key,
        )
        made = commit(place, base, operation, entry)
        again.discard()
        return made


class _Again:
    """Embeds the photographs of tables with one model, each into a folder that may be continued."""

    def __init__(
        self,
        place: Place,
        model_dir: Path,
        fingerprint: str,
        drop_missing: bool,
        settings: dict[str, Any],
    ) -> None:
        self.place, self.model_dir, self.fingerprint = place, model_dir, fingerprint
        self.drop_missing, self.settings = drop_missing, settings
        self.folders: list[Path] = []

    def require_files(self, table: EmbeddingTable, what: str) -> None:
        """Refuse, before anything is embedded, photographs that are not there."""
        missing = [path for path in table.paths if not Path(path).is_file()]
        self._tell(missing, len(table), f"are missing from {what}")

    def embedded(self, table: EmbeddingTable, key: str) -> EmbeddingTable:
        """Return the table's photographs as the model embeds them."""
        chosen = [row for row, path in enumerate(table.paths) if Path(path).is_file()]
        if not chosen:
            raise CairnError(
                f"none of the {len(table)} photographs is there any more, such as {table.paths[0]}",
                where=self.place,
                todo="put them back where they were; for a bank, give another one with --bank",
            )
        is_bank = not table.landmark_ids[chosen[0]]
        columns = {
            "image_id": [table.image_ids[row] for row in chosen],
            "path": [table.paths[row] for row in chosen],
            "landmark_id": [table.landmark_ids[row] for row in chosen],
            "role": ["nonlandmark" if is_bank else "gallery"] * len(chosen),
        }
        work = self.place.work(f"reembed-{self.fingerprint}-{key}")
        self.folders.append(work)
        manifest = Manifest.from_columns(columns, root=Path("/"))
        embed(self.model_dir, manifest, work, **self.settings)
        made = EmbeddingTable.read(work)
        found = set(made.image_ids)
        unreadable = [
            path
            for name, path in zip(columns["image_id"], columns["path"], strict=True)
            if name not in found
        ]
        self._tell(unreadable, len(table), "cannot be read")
        return made

    def discard(self) -> None:
        """Delete the folders: what is in them is committed."""
        for folder in self.folders:
            discard(folder)

    def _tell(self, paths: list[str], count: int, what: str) -> None:
        if not paths:
            return
        shown = "".join(f"\n         {path}" for path in paths[:_SHOWN])
        more = f"\n         and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
        text = f"{len(paths)} of {count} photographs {what}:{shown}{more}"
        if not self.drop_missing:
            raise CairnError(
                text,
                where=self.place,
                todo="put them back, or drop these images with --drop-missing",
            )
        say(f"{text}\n         they are dropped")
