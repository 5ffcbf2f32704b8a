"""Findings as cards: a badge, a sentence, the photographs side by side, and the command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from cairn.domain import Credit
from cairn.pages import Thumbnails, credit_html, id_html, link

Row = Mapping[str, Any]

_SAID = {"remove a": "remove the first", "remove b": "remove the second"}
_BADGES = {"act": "wrong", "look": "look", "note": "none"}
_COPIES_SHOWN = 4


@dataclass(frozen=True)
class Cards:
    """Turns rows of the lists, as checkup.json has them, into HTML.

    Args:
        thumbnails: Maker of the pictures.
        names: Landmark id -> a name for people; the id itself where absent.
        pages: Landmark id -> the address of a page about it.
        credits: Image id -> whose the photograph is.
    """

    thumbnails: Thumbnails
    names: Mapping[str, str] = field(default_factory=dict)
    pages: Mapping[str, str] = field(default_factory=dict)
    credits: Mapping[str, Credit] = field(default_factory=dict)

    def cards(self, kind: str, rows: Sequence[Row]) -> str:
        """Return the cards of one list; empty where it has none."""
        make = {
            "attracting": self._attracting,
            "collisions": self._collision,
            "contradictions": self._contradiction,
            "outliers": self._outlier,
            "redundant": self._redundant,
            "singles": self._single,
        }[kind]
        if not rows:
            return ""
        return f'<ul class="cases">{"".join(make(row) for row in rows)}</ul>'

    def name(self, landmark_id: str | None) -> str:
        """Return what people call a landmark, with its id where that differs, as HTML."""
        if landmark_id is None:
            return "nothing"
        name = self.names.get(landmark_id)
        shown = link(self.pages.get(landmark_id, ""), name or landmark_id)
        if not name or name == landmark_id:
            return shown
        return f"{shown} ({escape(landmark_id)})"

    def _attracting(self, row: Row) -> str:
        said = {
            "remove": "It resembles no image of its landmark.",
            "look": f"Its landmark has {_images(row['num_images'] - 1, 'other')}: if this one "
            "shows little of it, it can go.",
            "replace": f"Its landmark has {_images(row['num_images'])}: add better ones before "
            "taking this one out.",
            "keep": "The penalty sees to it.",
        }[row["verdict"]]
        figures = [self._photo(row, "", "<b>attracts</b>", kind="query")]
        if row["nearest_image_id"] is not None:
            near = f"<b>its nearest image</b> {self.name(row['nearest_landmark_id'])}"
            figures.append(self._photo(row, "nearest_", near))
        return self._card(
            row,
            self.name(row["landmark_id"]),
            f"{row['num_picked']} picks",
            f"Pictures of nothing pick it at a mean similarity of {row['mean_similarity']:.3f}; "
            f"penalty {row['penalty']:.3f}. {said}",
            figures,
        )

    def _collision(self, row: Row) -> str:
        small, large = self.name(row["landmark_id_a"]), self.name(row["landmark_id_b"])
        said = {
            "merge": "As one landmark under two ids would look.",
            "look": "One landmark in part, or lookalikes.",
            "keep apart": "Probably two landmarks that are alike from some side.",
        }[row["verdict"]]
        return self._card(
            row,
            f"{small} and {large}",
            f"{row['votes_a'] + row['votes_b']} votes",
            f"Nearest to an image of the other: {row['votes_a']} of {_images(row['num_images_a'])} "
            f"of {small}, {row['votes_b']} of {_images(row['num_images_b'])} of {large}; mean "
            f"similarity {row['mean_similarity']:.3f}. {said}",
            [
                self._photo(row, "example_", self.name(row["example_landmark_id"])),
                self._photo(row, "nearest_", self.name(row["nearest_landmark_id"])),
            ],
        )

    def _contradiction(self, row: Row) -> str:
        more = row["num_pairs"] - 1
        said = {
            "merge": "The two landmarks look like one: see those that collide.",
            "remove a": "The first one has fewer of its landmark among its nearest images.",
            "remove b": "The second one has fewer of its landmark among its nearest images.",
            "look": "Their nearest images favour neither label.",
        }[row["verdict"]]
        return self._card(
            row,
            f"{self.name(row['landmark_id_a'])} or {self.name(row['landmark_id_b'])}",
            "copies" if row["kind"] == "copy" else f"similarity {row['similarity']:.3f}",
            said + (f" It hangs together with {more:,} more such pairs." if more else ""),
            [
                self._photo(row, side, self.name(row[f"landmark_id{side}"]), behind=True)
                for side in ("_a", "_b")
            ],
        )

    def _outlier(self, row: Row) -> str:
        return self._card(
            row,
            self.name(row["landmark_id"]),
            f"margin {row['margin']:.3f}",
            f"{row['agreeing']} of its {row['asked']} nearest images show "
            f"{self.name(row['other_landmark_id'])}; it is {row['other_similarity']:.3f} alike to "
            f"the first of them, and {row['own_similarity']:.3f} to the nearest of the "
            f"{_images(row['num_images'] - 1, 'other')} of its own landmark.",
            [
                self._photo(row, "", f"<b>said to be</b> {self.name(row['landmark_id'])}", "query"),
                self._photo(row, "own_", f"<b>{row['own_similarity']:.3f}</b> nearest of its own"),
                self._photo(
                    row,
                    "other_",
                    f"<b>{row['other_similarity']:.3f}</b> {self.name(row['other_landmark_id'])}",
                ),
            ],
        )

    def _redundant(self, row: Row) -> str:
        count = row["num_pairs"]
        shown = row["images"][: _COPIES_SHOWN - 1]
        kept = {"image_id": row["keep_image_id"], "path": row["keep_path"]}
        return self._card(
            row,
            self.name(row["landmark_id"]),
            f"{count + 1:,} of one picture",
            f"One stands for {'the other' if count == 1 else f'{count:,} others'}"
            + (", with equal vectors." if row["similarity"] == 1 else ".")
            + (f" {count - len(shown):,} are not shown." if count > len(shown) else ""),
            [
                self._photo(kept, "", "<b>keep</b>", "query"),
                *(self._photo(one, "", f"<b>{one['similarity']:.3f}</b>") for one in shown),
            ],
        )

    def _single(self, row: Row) -> str:
        if row["nearest_image_id"] is None:
            said, figures = (
                "The gallery has no other image.",
                [self._photo(row, "", "<b>alone</b>")],
            )
        else:
            said = f"Its nearest image shows {self.name(row['nearest_landmark_id'])}."
            figures = [
                self._photo(row, "", "<b>alone</b>", "query"),
                self._photo(
                    row,
                    "nearest_",
                    f"<b>{row['similarity']:.3f}</b> {self.name(row['nearest_landmark_id'])}",
                ),
            ]
        return self._card(row, self.name(row["landmark_id"]), "one image", said, figures)

    def _photo(
        self, row: Row, place: str, caption: str, kind: str = "one", *, behind: bool = False
    ) -> str:
        """Return the photograph that the columns with ``place`` before or behind name."""
        names = [f"{name}{place}" if behind else f"{place}{name}" for name in ("image_id", "path")]
        image_id, path = (row[name] for name in names)
        return self.thumbnails.figure(
            path or None,
            alt=f"gallery photograph {image_id}",
            caption=f"{caption}{id_html(image_id)}"
            + credit_html(self.credits.get(image_id, Credit())),
            kind=kind,
        )

    def _card(self, row: Row, title: str, sums: str, text: str, figures: Sequence[str]) -> str:
        badge, command = _BADGES[row["severity"]], row["command"]
        verdict = _SAID.get(row["verdict"], str(row["verdict"]))
        return (
            f'<li class="case"><h3><span class="verdict {badge}">{escape(verdict)}</span>'
            f'{title} <span class="sum">{sums}</span></h3><p>{text}</p>'
            f'<div class="strip">{"".join(figures)}</div>'
            + (command_html(command) if command else "")
            + "</li>"
        )


def command_html(command: str) -> str:
    """Return a command line to copy; one click marks the whole of it, lines end between words."""
    words = " ".join(f"<span>{escape(word)}</span>" for word in command.split(" "))
    return f'<code class="command">{words}</code>'


def _images(count: int, which: str = "") -> str:
    which = f"{which} " if which else ""
    return f"{count:,} {which}image{'' if count == 1 else 's'}"
