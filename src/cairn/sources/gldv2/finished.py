"""Which tars of a folder are unpacked, and how: the ledger's meaning.

The first line says the size of the photographs, each further one stands for a tar that is unpacked
and on the disk.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cairn.errors import CairnError
from cairn.fetch.ledger import Ledger
from cairn.sources.gldv2.layout import SPLITS, SUBSETS, tar_name

LEDGER_NAME = "ledger.jsonl"
_FORMAT = 1
_ORDER = list(SUBSETS)


@dataclass(frozen=True)
class Finished:
    """What a folder's ledger says.

    Args:
        size: Of the shorter side, in pixels; None for photographs as they were published.
        begun: The ledger has its first line.
        subset_of: The training set that a tar was unpacked for, "" for other splits, by its name.
        num_images: Photographs that were unpacked, by tar.
        unreadable: Image id and reason of those that were left out.
    """

    size: int | None
    begun: bool
    subset_of: dict[str, str]
    num_images: dict[str, int]
    unreadable: dict[str, str]

    @classmethod
    def of(cls, folder: Path) -> Finished:
        """Return what the ledger of ``folder`` says; nothing where there is none.

        Raises:
            CairnError: The ledger is damaged, or of a later version.
        """
        ledger = Ledger(folder / LEDGER_NAME)
        lines = ledger.read()
        if lines and lines[0].get("format") != _FORMAT:
            raise CairnError("this ledger was written by another version", where=ledger.path)
        found = cls(lines[0].get("size") if lines else None, bool(lines), {}, {}, {})
        for number, line in enumerate(lines[1:], 2):
            try:
                name, subset = line["tar"], line["subset"]
                if subset and subset in _ORDER:  # an earlier line may stand for more of it
                    subset = max(subset, found.subset_of.get(name) or subset, key=_ORDER.index)
                found.subset_of[name] = subset
                found.num_images[name] = int(line["images"])
                found.unreadable.update(dict(line["unreadable"]))
            except (KeyError, TypeError, ValueError):
                raise CairnError(
                    "this line of the ledger is damaged",
                    where=f"{ledger.path}, line {number}",
                    todo="delete the line; what it stood for is fetched again",
                ) from None
        return found

    def has(self, split: str, number: int, subset: str | None) -> bool:
        """Return whether a tar is unpacked for ``subset``, or for a set that has all of it."""
        done = self.subset_of.get(tar_name(split, number))
        if done is None:
            return False
        if split != "train" or subset is None:
            return True
        return _ORDER.index(done) >= _ORDER.index(subset)

    def require_size(self, size: int | None, folder: Path) -> None:
        """Refuse to mix photographs of two sizes in a folder.

        Raises:
            CairnError: The folder was begun with another size; or, for any size, it has photographs
                that no ledger tells of, such as those of the publisher's script.
        """
        if not self.begun and size is not None and any((folder / name).is_dir() for name in SPLITS):
            raise CairnError(
                "photographs are here that no ledger tells the size of; sizes are not mixed",
                where=folder,
                todo="name another folder, or leave --size out",
            )
        if self.begun and self.size != size:
            was = "as published" if self.size is None else f"at --size {self.size}"
            again = "without --size" if self.size is None else f"with --size {self.size}"
            raise CairnError(
                f"the photographs here are {was}; sizes are not mixed",
                where=folder,
                todo=f"give the command {again}, or name another folder",
            )


def begin(folder: Path, size: int | None) -> Ledger:
    """Return the ledger of ``folder``, with its first line."""
    ledger = Ledger(folder / LEDGER_NAME)
    if not ledger.read():
        ledger.append({"format": _FORMAT, "size": size})
    return ledger


def line_of(
    split: str, number: int, subset: str | None, *, images: int, **facts: Any
) -> dict[str, Any]:
    """Return the line that says a tar is finished."""
    return {
        "tar": tar_name(split, number),
        "subset": (subset or "") if split == "train" else "",
        "images": images,
        **facts,
        "time": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }
