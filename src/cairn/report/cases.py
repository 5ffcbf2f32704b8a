"""Which photographs a report shows: hits, misses, false alarms, and what a change mended or broke.

Chosen by rule, never by taste, so that two reports can be compared. Knows no pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from cairn.domain import Credit, Evidence, Prediction
from cairn.errors import CairnError


@dataclass(frozen=True)
class PickedImage:
    """A gallery image with what non-landmarks say of it: a row of the penalty table.

    Args:
        image_id: Its id.
        landmark_id: The landmark it shows.
        path: Where the file lies.
        num_picked: How many non-landmark images picked it.
        similarity: Mean similarity over those picks.
        penalty: What is taken off its similarity to every query.
        credit: Whose the photograph is.
    """

    image_id: str
    landmark_id: str
    path: str
    num_picked: int
    similarity: float
    penalty: float
    credit: Credit = field(default_factory=Credit)

    def __post_init__(self) -> None:
        if self.num_picked < 0:
            raise CairnError("picks cannot be negative", where=self.image_id)


@dataclass(frozen=True)
class Case:
    """One query as the report shows it.

    Args:
        prediction: What was said, with its evidence.
        truth: The landmarks it shows; empty for a non-landmark.
        before: What was said before the change, where there was one.
    """

    prediction: Prediction
    truth: frozenset[str]
    before: Prediction | None = None

    @property
    def is_right(self) -> bool:
        """Whether the answer names a landmark that the query shows."""
        return self.prediction.landmark_id in self.truth

    @property
    def surety(self) -> float:
        """What cases are ordered by: the chance of being right, where known, else confidence."""
        chance = self.prediction.probability
        return self.prediction.confidence if chance is None else chance

    @property
    def best_true_hit(self) -> tuple[int, Evidence] | None:
        """Place (from 1) and gallery image of the best evidence that shows the truth, if any."""
        for place, one in enumerate(self.prediction.evidence, start=1):
            if one.landmark_id in self.truth:
                return place, one
        return None

    @property
    def was_right(self) -> bool:
        """Whether the answer before did."""
        return self.before is not None and self.before.landmark_id in self.truth


@dataclass(frozen=True)
class Cases:
    """The cases of a report, each list by its rule of :func:`choose`."""

    hits: tuple[Case, ...]
    misses: tuple[Case, ...]
    false_alarms: tuple[Case, ...]
    mended: tuple[Case, ...]
    broken: tuple[Case, ...]
    num_mended: int
    num_broken: int


def choose(
    predictions: Iterable[Prediction],
    truth: Mapping[str, Collection[str]],
    *,
    before: Iterable[Prediction] = (),
    counts: Mapping[str, int] | None = None,
    limit: int = 8,
) -> Cases:
    """Return the cases to show, at most ``limit`` of each kind and one per landmark answered.

    Hits: landmarks with the fewest gallery photographs first, then the surest. Misses and false
    alarms (non-landmarks that got an answer): the surest first. Mended and broken: wrong before and
    right after, and the reverse, the surest first; half as many.

    Args:
        predictions: What was said.
        truth: Query id -> landmark ids.
        before: What was said before the change.
        counts: Landmark id -> gallery photographs.
        limit: How many of each kind.
    """
    earlier = {prediction.image_id: prediction for prediction in before}
    cases = [
        Case(one, frozenset(truth[one.image_id]), earlier.get(one.image_id))
        for one in predictions
        if one.landmark_id is not None and one.image_id in truth
    ]
    cases.sort(
        key=lambda case: (-case.surety, -case.prediction.confidence, case.prediction.image_id)
    )
    sizes = counts or {}
    hits = sorted(
        (case for case in cases if case.is_right),
        key=lambda case: sizes.get(case.prediction.landmark_id or "", 0),
    )
    compared = [case for case in cases if case.before is not None and case.truth]
    mended = [case for case in compared if case.is_right and not case.was_right]
    broken = [case for case in compared if case.was_right and not case.is_right]
    return Cases(
        hits=_varied(hits, limit, lambda case: case.prediction.landmark_id),
        misses=_varied(
            [case for case in cases if case.truth and not case.is_right],
            limit,
            lambda case: case.prediction.landmark_id,
        ),
        false_alarms=_varied(
            [case for case in cases if not case.truth],
            limit,
            lambda case: case.prediction.landmark_id,
        ),
        mended=_varied(mended, (limit + 1) // 2, lambda case: case.prediction.landmark_id),
        broken=_varied(broken, (limit + 1) // 2, lambda case: min(case.truth)),
        num_mended=len(mended),
        num_broken=len(broken),
    )


def _varied(
    cases: Iterable[Case], limit: int, kind: Callable[[Case], str | None]
) -> tuple[Case, ...]:
    """Return the first ``limit`` cases with no kind twice, filled up with the others in order."""
    cases = list(cases)
    seen: set[str | None] = set()
    first = []
    for case in cases:
        if kind(case) not in seen:
            seen.add(kind(case))
            first.append(case)
    chosen = {id(case) for case in first[:limit]}
    for case in cases:
        if len(chosen) == limit:
            break
        chosen.add(id(case))
    return tuple(case for case in cases if id(case) in chosen)
