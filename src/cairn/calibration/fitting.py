"""Fitting the chance that an answer is right, and choosing how by what it says of other queries.

Four ways: logistic regression on the score alone (Platt 1999) or on all features, and isotonic
regression (Zadrozny and Elkan 2002) on the score or on what the logistic says. The last follows the
data most freely and needs most of it; cross-validated log loss decides.

Legend of shapes: Q queries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cairn.calibration.curves import Isotonic, Logistic
from cairn.calibration.features import NAMES, Features
from cairn.calibration.reliability import log_loss
from cairn.errors import CairnError, nearest

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

METHODS = ("score", "logistic", "isotonic", "logistic-isotonic")
"""Logistic on the score alone, on all features; isotonic on the score, on the logistic."""

NUM_FOLDS = 5

_RISING = tuple(NAMES.index(name) for name in ("score", "margin", "agreement"))
_SCORE = NAMES.index("score")


@dataclass(frozen=True)
class Chance:
    """The chance that an answer is right, as a function of its features.

    It never falls with the score while margin, agreement and size stay; with methods ``score`` and
    ``isotonic`` it knows the score alone. Its odds stay within 1 / (N + 1) and N + 1: N queries can
    show no more certainty (Laplace's rule of succession). Where unknown queries count r times as
    much as known ones, r > 1, the bounds move with the odds: 1 / (r (N + 1)) and (N + 1) / r.

    Args:
        method: One of :data:`METHODS`.
        num_queries: N, the queries it was fitted on.
        unknown_weight: r, at least 1.
        logistic: Of all methods but ``isotonic``.
        isotonic: Of the methods named so.
    """

    method: str
    num_queries: int
    unknown_weight: float = 1.0
    logistic: Logistic | None = None
    isotonic: Isotonic | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise CairnError(f"unknown method {self.method!r}", todo=nearest(self.method, METHODS))
        needs = (self.method != "isotonic", self.method.endswith("isotonic"))
        if needs != (self.logistic is not None, self.isotonic is not None):
            raise CairnError("a calibration lacks its curve", where=self.method)

    def __call__(self, features: Features) -> Float64:
        """Return (Q,) chances."""
        values = features.scores
        if self.logistic is not None:
            columns = features.matrix
            values = self.logistic(columns[:, [_SCORE]] if self.method == "score" else columns)
        if self.isotonic is not None:
            values = self.isotonic(values)
        least = 1 / (self.unknown_weight * (self.num_queries + 1) + 1)
        most = 1 - 1 / ((self.num_queries + 1) / self.unknown_weight + 1)
        return np.clip(values, min(least, most), most)

    @classmethod
    def fit(
        cls, features: Features, right: Bool, method: str, weights: Float64 | None = None
    ) -> Chance:
        """Return the chance fitted by one method; ``weights`` as for ``fit``.

        Raises:
            CairnError: The method is unknown, or no answer is right, or all are.
        """
        logistic, values = None, features.scores
        if method != "isotonic":
            is_alone = method == "score"
            columns = features.matrix[:, [_SCORE]] if is_alone else features.matrix
            rising = (0,) if is_alone else _RISING
            logistic = Logistic.fit(columns, right, rising=rising, weights=weights)
            values = logistic(columns)
        isotonic = None
        if method.endswith("isotonic"):
            isotonic = Isotonic.fit(values, right, weights=weights)
        heavier = 1.0 if weights is None else float(weights.max() / weights[right].mean())
        return cls(method, len(features), max(1.0, heavier), logistic, isotonic)

    def to_json(self) -> dict[str, Any]:
        """Return a value for JSON."""
        return {
            "method": self.method,
            "num_queries": self.num_queries,
            "unknown_weight": self.unknown_weight,
            "logistic": None if self.logistic is None else self.logistic.to_json(),
            "isotonic": None if self.isotonic is None else self.isotonic.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Chance:
        """Return what ``to_json`` gave."""
        logistic, isotonic = value["logistic"], value["isotonic"]
        return cls(
            value["method"],
            int(value["num_queries"]),
            float(value.get("unknown_weight", 1.0)),  # files of before have none
            logistic and Logistic.from_json(logistic),
            isotonic and Isotonic.from_json(isotonic),
        )


@dataclass(frozen=True, eq=False)
class Fitted:
    """A chance with what shows how good it is.

    Args:
        chance: Of the method of least log loss, fitted on all queries.
        losses: Method -> cross-validated log loss.
        out_of_sample: (Q,) chances of each query by fits that have not seen it, their method chosen
            without it too.
    """

    chance: Chance
    losses: Mapping[str, float]
    out_of_sample: Float64


def fit(
    features: Features,
    right: Bool,
    *,
    weights: Float64 | None = None,
    seed: int = 0,
    num_folds: int = NUM_FOLDS,
) -> Fitted:
    """Return the chance of being right, fitted and chosen on validation answers.

    Args:
        features: Of Q answers to photographs that the model has not learned from and that are not
            in the gallery, unknown ones among them in the share that is expected later.
        right: (Q,) whether each was right; an answer to an unknown picture is not.
        weights: (Q,) above 0 with a mean of 1: how much each query counts, where the share of
            unknown ones is to be another. The least expected loss under other shares is the least
            loss with such weights (Shimodaira 2000). None counts all alike.
        seed: Of the folds.
        num_folds: Of the cross-validation, over right and wrong answers alike.

    Raises:
        CairnError: There are fewer right or wrong answers than folds.
    """
    if right.shape != (len(features),):
        raise CairnError("a calibration needs one verdict for each query")
    least = min(int(right.sum()), int((~right).sum()))
    if least < num_folds:
        raise CairnError(
            f"too few answers to calibrate on: {int(right.sum())} right, {int((~right).sum())} "
            f"wrong or unknown; {num_folds} of each at least are needed",
            todo="give a manifest with more queries, of landmarks of the gallery and of none",
        )
    rng = np.random.default_rng(seed)
    told = np.zeros(len(features))
    for inside, outside in _folds(right, num_folds, rng):
        part, counts = features.take(inside), None if weights is None else weights[inside]
        method = _best(_losses(part, right[inside], counts, num_folds, rng))
        told[outside] = Chance.fit(part, right[inside], method, counts)(features.take(outside))
    losses = _losses(features, right, weights, num_folds, rng)
    return Fitted(Chance.fit(features, right, _best(losses), weights), losses, told)


def _best(losses: Mapping[str, float]) -> str:
    return min(losses, key=lambda method: losses[method])


def _losses(
    features: Features,
    right: Bool,
    weights: Float64 | None,
    num_folds: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    told = {method: np.zeros(len(features)) for method in METHODS}
    for inside, outside in _folds(right, num_folds, rng):
        part, rest = features.take(inside), features.take(outside)
        counts = None if weights is None else weights[inside]
        for method, chances in told.items():
            chances[outside] = Chance.fit(part, right[inside], method, counts)(rest)
    return {method: log_loss(chances, right, weights) for method, chances in told.items()}


def _folds(right: Bool, num_folds: int, rng: np.random.Generator) -> Iterator[tuple[Bool, Bool]]:
    """Yield (inside, outside) of each fold; right and wrong answers are spread evenly."""
    fold = np.zeros(len(right), dtype=np.int64)
    for kind in (right, ~right):
        members = rng.permutation(np.flatnonzero(kind))
        fold[members] = np.arange(len(members)) % num_folds
    for number in range(num_folds):
        yield fold != number, fold == number
