"""Pictures that stand more than once as cards: a badge, a sentence, the photographs in a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cairn.domain import ROLES
from cairn.inspection.look import Looks
from cairn.inspection.sharing import Ints, Sharing, example
from cairn.manifest import Manifest
from cairn.pages import Thumbnails, id_html, name_html

_SHOWN = 4
_SAID_ROLES = {"nonlandmark": "non-landmarks", "query": "queries"}


def role_name(role: str) -> str:
    """Return how a role is called in a sentence."""
    return _SAID_ROLES.get(role, role)


@dataclass(frozen=True, eq=False)
class Cards:
    """Turns groups of one picture into HTML.

    Args:
        manifest: The photographs.
        looks: What was seen of them.
        sharing: The groups.
        thumbnails: Maker of the pictures.
    """

    manifest: Manifest
    looks: Looks
    sharing: Sharing
    thumbnails: Thumbnails

    def cards(self, groups: Sequence[int], *, by: str) -> str:
        """Return the cards of these groups.

        Args:
            groups: Their numbers.
            by: What the photographs shown first differ in: ``role``, ``landmark`` or nothing.
        """
        kinds: Ints | None = None
        if by == "role":  # of a leak, a query and one of the others
            kinds = np.array([role == "query" for role in self.manifest.roles], np.int64)
        elif by == "landmark":
            kinds = self.sharing.labels
        made = "".join(self._card(group, kinds) for group in groups)
        return f'<ul class="cases">{made}</ul>' if made else ""

    def landmark(self, landmark_id: str) -> str:
        """Return what people call a landmark, with its id where that differs, as HTML."""
        if not landmark_id:
            return "no landmark"
        return name_html(landmark_id, self.manifest.landmark_names.get(landmark_id))

    def _card(self, group: int, kinds: Ints | None) -> str:
        members = self.sharing.members(group)
        first, second, bits = example(self.sharing, group, self.looks.hashes, kinds)
        rest = [row for row in members[: _SHOWN + 2].tolist() if row not in (first, second)]
        shown = [first, second, *rest[: _SHOWN - 2]]
        same = (self.looks.sha256[first] == self.looks.sha256[second]).all()
        flags = ('<span class="verdict wrong">leak</span>' if self.sharing.leaks[group] else "") + (
            '<span class="verdict look">two labels</span>' if self._differs(group) else ""
        )
        flags = flags or '<span class="verdict none">again</span>'
        roles = [
            f"{role} {count:,}"
            for role, count in zip(ROLES, self.sharing.roles[group].tolist(), strict=True)
            if count
        ]
        names = dict.fromkeys(self.manifest.landmark_ids[row] for row in shown)
        title = " or ".join(self.landmark(name) for name in names)
        how = "the same file" if same else f"other bytes, {bits} of 128 bits of the hash differ"
        more = len(members) - len(shown)
        figures = "".join(self._photo(row) for row in shown)
        return (
            f'<li class="case"><h3>{flags}{title} <span class="sum">{len(members):,} images</span>'
            f"</h3><p>The first two: {how}. In all: {', '.join(roles)}."
            + (f" {more:,} are not shown." if more else "")
            + f'</p><div class="strip">{figures}</div></li>'
        )

    def _differs(self, group: int) -> bool:
        return bool(self.sharing.labels_differ[group])

    def _photo(self, row: int) -> str:
        image_id, role = self.manifest.image_ids[row], self.manifest.roles[row]
        width, height = self.looks.sizes[row].tolist()
        caption = f"<b>{role}</b> {self.landmark(self.manifest.landmark_ids[row])}"
        return self.thumbnails.figure(
            self.manifest.table["path"][row].as_py(),
            alt=f"{role} photograph {image_id}",
            caption=f"{caption}{id_html(image_id)}{width} × {height}",
            kind="query" if role == "query" else "one",
        )
