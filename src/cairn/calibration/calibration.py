"""A calibration: the fitted chance, what it was judged on, and what it holds for; one JSON file.

Every figure is worked out from the judged validation answers that the file keeps, so that a
threshold for another rate needs no new validation.

Legend of shapes: Q queries.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cairn.calibration.features import Features
from cairn.calibration.fitting import Chance, fit
from cairn.calibration.threshold import By, Threshold, require_unknown, threshold_for
from cairn.errors import CairnError
from cairn.known_share import unknown_weight
from cairn.runs import read_json, write_json

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

FORMAT = 1

_COLUMNS = ("scores", "probabilities", "known", "right")

FALSE_ACCEPT_RATE = 0.01
"""The share of unknown pictures that may pass as known, where nothing else is said."""


@dataclass(frozen=True)
class Basis:
    """What a calibration holds for; where any of it differs, its chances mean nothing.

    Args:
        model: The model's fingerprint.
        content: The gallery's content key.
        landmarks: A digest of the gallery's labels.
        penalty: A digest of its penalties, "" without any.
        search: How it is searched, ``exact`` or ``approximate``.
        stages: Settings of what happens after the search, such as re-ranking; empty for nothing.
    """

    model: str
    content: str
    landmarks: str
    penalty: str = ""
    search: str = "exact"
    stages: Mapping[str, Any] = field(default_factory=dict)

    def differences(self, other: Basis) -> list[str]:
        """Return in words what differs from another basis."""
        words = {
            "model": "the model",
            "content": "the gallery's images",
            "landmarks": "the gallery's labels",
            "penalty": "the penalty",
            "search": "the search",
            "stages": "the re-ranking",
        }
        return [words[name] for name in words if getattr(self, name) != getattr(other, name)]


@dataclass(frozen=True, eq=False)
class Judged:
    """Validation answers with their chances and how they turned out.

    Args:
        scores: (Q,) similarity less penalty of the best gallery image.
        probabilities: (Q,) chances of being right, by fits that have not seen the query.
        known: (Q,) whether the gallery has the query's landmark.
        right: (Q,) whether the answer names it.
        known_share: The share of known queries that the chances are for, in (0, 1); None for the
            validation's own.
    """

    scores: Float64
    probabilities: Float64
    known: Bool
    right: Bool
    known_share: float | None = None

    def __post_init__(self) -> None:
        if (
            len({one.shape for one in (self.scores, self.probabilities, self.known, self.right)})
            > 1
        ):
            raise CairnError("judged answers need one value of each kind for every query")
        if (self.right & ~self.known).any():
            raise CairnError("an answer to an unknown query cannot be right")

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def num_unknown(self) -> int:
        """Queries that show no landmark of the gallery."""
        return int((~self.known).sum())

    @cached_property
    def weights(self) -> Float64 | None:
        """(Q,) how much each query counts at the share of known ones, 1 on average; None for 1."""
        return weights_at(self.known, self.known_share)


@dataclass(frozen=True, eq=False)
class Calibration:
    """The chance that an answer is right, and the threshold for known, for one state of a gallery.

    Args:
        chance: From features to chances.
        losses: Cross-validated log loss of every method that was tried.
        judged: The validation answers.
        basis: What it holds for.
        false_accept_rate: Of the threshold that applies where none is asked for.
        facts: Where it came from: the manifest's fingerprint, the date.
    """

    chance: Chance
    losses: Mapping[str, float]
    judged: Judged
    basis: Basis
    false_accept_rate: float = FALSE_ACCEPT_RATE
    facts: Mapping[str, Any] = field(default_factory=dict)

    def probability(self, features: Features) -> Float64:
        """Return (Q,) chances in [0, 1] that the answers are right.

        They hold for queries of the validation's kind, with as large a share of known ones as
        there was, or as ``judged.known_share`` says.
        """
        return self.chance(features)

    def threshold(self, false_accept_rate: float | None = None, *, by: By = "chance") -> Threshold:
        """Return from where on answers are accepted as known.

        A threshold on the chance lets fewer wrong answers through than one on the score at the
        same rate (docs/results.md), because it knows the margin and the landmark's size. Neither
        depends on how many queries are unknown.

        Args:
            false_accept_rate: The share of unknown pictures that may be accepted; the calibration's
                own by default.
            by: ``chance``, or ``score`` where nothing else is at hand.

        Raises:
            CairnError: The validation had too few unknown queries for that rate.
        """
        judged = self.judged
        rate = self.false_accept_rate if false_accept_rate is None else false_accept_rate
        values = judged.probabilities if by == "chance" else judged.scores
        return threshold_for(values[~judged.known], values[judged.right], rate, by=by)

    def write(self, path: Path) -> None:
        """Write JSON, whole or not at all; floats read back to the bit."""
        write_json(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """Return the calibration in a file.

        Raises:
            CairnError: It is missing, damaged, or of another format.
        """
        value = read_json(path)
        found = value.get("format") if isinstance(value, dict) else None
        if found != FORMAT:
            raise CairnError(
                f"not a calibration of format {FORMAT}" + (f", but {found}" if found else ""),
                where=path,
                todo="make it anew with `cairn calibrate`",
            )
        try:
            return cls.from_json(value)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CairnError(
                f"this calibration is damaged: {type(error).__name__} {error}",
                where=path,
                todo="make it anew with `cairn calibrate`",
            ) from None

    def to_json(self) -> dict[str, Any]:
        """Return a value for JSON."""
        judged = {name: getattr(self.judged, name).tolist() for name in _COLUMNS}
        return {
            "format": FORMAT,
            **asdict(self.basis),
            "false_accept_rate": self.false_accept_rate,
            "facts": dict(self.facts),
            "known_share": self.judged.known_share,
            "num_queries": len(self.judged),
            "num_unknown": self.judged.num_unknown,
            "chance": self.chance.to_json(),
            "losses": dict(self.losses),
            "judged": judged,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Calibration:
        """Return what ``to_json`` gave."""
        judged = value["judged"]
        return cls(
            Chance.from_json(value["chance"]),
            {str(name): float(loss) for name, loss in value["losses"].items()},
            Judged(
                np.asarray(judged["scores"], dtype=np.float64),
                np.asarray(judged["probabilities"], dtype=np.float64),
                np.asarray(judged["known"], dtype=np.bool_),
                np.asarray(judged["right"], dtype=np.bool_),
                value.get("known_share"),  # files from before there was one have none
            ),
            Basis(**{one.name: value[one.name] for one in fields(Basis)}),
            float(value["false_accept_rate"]),
            value["facts"],
        )


def calibrate(
    features: Features,
    shown: Sequence[Collection[str]],
    *,
    basis: Basis,
    false_accept_rate: float = FALSE_ACCEPT_RATE,
    known_share: float | None = None,
    facts: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Calibration:
    """Return the calibration that validation answers give.

    The answers may be those of any search and any re-ranking, as long as what is judged later comes
    the same way; say so in ``basis``.

    Args:
        features: Of Q answers to photographs that neither training nor gallery has.
        shown: Q collections: the landmarks *of the gallery* that each photograph shows; empty for
            an unknown one.
        basis: What the calibration holds for.
        false_accept_rate: Of the threshold that will apply where none is asked for.
        known_share: The share of known queries that is expected later, in (0, 1), where it is not
            the validation's: chances are then fitted and judged for it (``weights_at``).
        facts: Where the queries are from, to be kept; the date is added.
        seed: Of the cross-validation.

    Raises:
        CairnError: There are too few answers of a kind, or too few unknown queries for the rate; or
            a share is out of range.
    """
    known = np.asarray([bool(one) for one in shown])
    require_unknown(int((~known).sum()), false_accept_rate)
    pairs = zip(features.landmark_ids, shown, strict=True)
    right = np.asarray([answer in one for answer, one in pairs])
    fitted = fit(features, right, weights=weights_at(known, known_share), seed=seed)
    return Calibration(
        fitted.chance,
        fitted.losses,
        Judged(features.scores, fitted.out_of_sample, known, right, known_share),
        basis,
        false_accept_rate,
        {**(facts or {}), "time": dt.datetime.now(dt.UTC).isoformat(timespec="seconds")},
    )


def weights_at(known: Bool, known_share: float | None) -> Float64 | None:
    """Return (Q,) how much each validation query counts where another share is known.

    Known queries and unknown ones look the same in service, there are only more of one kind (prior
    shift: Saerens, Latinne and Decaestecker 2002). So with L known and U unknown queries each known
    one counts ``share / (L / Q)``, each unknown one ``(1 - share) / (U / Q)``; the mean is 1. A fit
    with these weights stays calibrated for wrong answers to known landmarks, too, which follow the
    known share; correcting two-class chances afterwards mixes them with the unknown ones and was
    worse on photographs (docs/log.md).

    Args:
        known: (Q,) whether the gallery has the query's landmark.
        known_share: In (0, 1); None for as many as there are, and no weights.

    Raises:
        CairnError: The share is out of range, or there is no unknown query.
    """
    if known_share is None:
        return None
    if not 0 < known_share < 1:
        raise CairnError(
            "the share of known queries lies between 0 and 1",
            where=f"known share {known_share:g}",
            todo="give 0.02, say, where 2 of 100 photographs show a landmark of the gallery",
        )
    if not known.any():
        raise CairnError(
            "no query is of a landmark of the gallery, so nothing is known of right answers",
            todo="add queries that show landmarks of the gallery",
        )
    weights = np.where(known, 1.0, unknown_weight(known, known_share))
    scaled: Float64 = weights / weights.mean()
    return scaled
