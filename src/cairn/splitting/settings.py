"""What a split is asked for; checked once, when made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from cairn.errors import CairnError, nearest

_WHOLE = ("min_gallery", "min_images", "seed")


@dataclass(frozen=True)
class SplitSettings:
    """How a labelled set becomes a benchmark.

    Args:
        query_share: Share of the landmarks' photographs that are asked about.
        unseen: Landmarks of which no photograph is known, all being queries that show no *known*
            landmark: a share of the landmarks below 1, else their number.
        bank_share: Share of the photographs without a landmark that go to the penalty's bank; the
            others become queries.
        distractor_rate: Share of the queries that show no known landmark, reached to the nearest
            photograph by leaving out what is too many; None keeps all.
        tail: How many photographs a landmark may keep to be recognized by: ``keep`` all,
            ``zipf:EXPONENT``, ``gldv2``, or a file of sizes (`cairn.splitting.tail`).
        min_gallery: Photographs that a landmark must keep to be asked about.
        min_images: Landmarks with fewer photographs are left out.
        gallery_share: Share of the known photographs that stay out of training, with the role
            gallery; 0: the training photographs are recognized against, as is usual.
        new_landmarks: Share of the landmarks known only by such gallery photographs: landmarks
            that came after the training.
        seed: Of every choice.

    Raises:
        CairnError: A value is out of range.
    """

    query_share: float = 0.3
    unseen: float = 0.1
    bank_share: float = 0.5
    distractor_rate: float | None = None
    tail: str = "keep"
    min_gallery: int = 1
    min_images: int = 1
    gallery_share: float = 0.0
    new_landmarks: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        rate = self.distractor_rate
        wanted = (
            ("query_share", 0.0 < self.query_share < 1.0, "between 0 and 1, neither of them"),
            ("unseen", _is_share_or_number(self.unseen), "a share in [0, 1) or a whole number"),
            ("bank_share", 0.0 <= self.bank_share <= 1.0, "in [0, 1]"),
            ("distractor_rate", rate is None or 0.0 <= rate < 1.0, "in [0, 1)"),
            ("min_gallery", self.min_gallery >= 1, "1 or more"),
            ("min_images", self.min_images >= 1, "1 or more"),
            ("gallery_share", 0.0 <= self.gallery_share < 1.0, "in [0, 1)"),
            ("new_landmarks", 0.0 <= self.new_landmarks < 1.0, "in [0, 1)"),
            ("seed", self.seed >= 0, "0 or more"),
        )
        for name, fine, rule in wanted:
            if not fine:
                raise CairnError(
                    f"a split cannot have {name} = {getattr(self, name)}",
                    where=f"SplitSettings.{name}",
                    todo=f"choose a value {rule}",
                )
        if self.new_landmarks and not self.gallery_share:
            raise CairnError(
                "landmarks known only to the gallery need a gallery apart from the training",
                where="SplitSettings.new_landmarks",
                todo="give gallery_share too, such as 0.3",
            )

    def changed(self, assignments: Sequence[str]) -> SplitSettings:
        """Return these settings with ``name=value`` words laid over them.

        Raises:
            CairnError: A word is none, a name is unknown, or a value is no number in range.
        """
        names = [field.name for field in fields(self)]
        values: dict[str, object] = {}
        for word in assignments:
            name, equals, text = (part.strip() for part in word.partition("="))
            if not equals or not text:
                raise CairnError("--set takes NAME=VALUE", where=repr(word))
            if name not in names:
                raise CairnError(
                    f"a split has no setting {name!r}", where="--set", todo=nearest(name, names)
                )
            values[name] = text if name == "tail" else _number(name, text)
        return replace(self, **values)  # type: ignore[arg-type]


def _is_share_or_number(value: float) -> bool:
    return 0.0 <= value < 1.0 or (value >= 1.0 and value == int(value))


def _number(name: str, text: str) -> float | int | None:
    if name == "distractor_rate" and text == "none":
        return None
    try:
        return int(text) if name in _WHOLE else float(text)
    except ValueError:
        kind = "a whole number" if name in _WHOLE else "a number"
        raise CairnError(f"{name} takes {kind}, not {text!r}", where="--set") from None
