"""From when on cleaning speaks up: one frozen value, shared by function, command and page."""

from __future__ import annotations

from dataclasses import dataclass

from cairn.errors import CairnError

KINDS = ("relabel", "drop", "leave bank", "look")
"""What is suggested: another landmark, none at all, out of the bank, or only a look."""

APPLIED = ("relabel", "drop", "leave bank", "nonlandmark")
"""What `cairn data apply` can do; ``nonlandmark`` is never suggested, an editor may write it."""


@dataclass(frozen=True)
class CleanRule:
    """The settings of a cleaning.

    Args:
        num_neighbors: Nearest other photographs looked at, from 8 to 1,000.
        least: Confidence from which a photograph is listed, above 0 and below 1.
        drop_images: Landmarks with fewer photographs have none dropped: nothing in them tells an
            odd one from the others.
        num_subcenters: Directions sought in each landmark that has `subcenter_images` or more.
        subcenter_images: See there.
        shown: Suggestions of a kind on the page; the table has all.
        seed: Of the labels that are exchanged to learn what a wrong one looks like.

    Raises:
        CairnError: A value is out of its range.
    """

    num_neighbors: int = 16
    least: float = 0.5
    drop_images: int = 4
    num_subcenters: int = 3
    subcenter_images: int = 8
    shown: int = 24
    seed: int = 0

    def __post_init__(self) -> None:
        if not 8 <= self.num_neighbors <= 1000:
            raise CairnError(
                "the nearest photographs looked at must be from 8 to 1,000",
                where=f"num_neighbors = {self.num_neighbors}",
            )
        if not 0 < self.least < 1:
            raise CairnError("a confidence lies above 0 and below 1", where=f"least = {self.least}")
        for name, least in (
            ("drop_images", 2), ("num_subcenters", 1), ("subcenter_images", 2), ("shown", 0),
            ("seed", 0),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise CairnError(f"{name} must be at least {least}", where=getattr(self, name))
