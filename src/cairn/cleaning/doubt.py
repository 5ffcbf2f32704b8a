"""Which labels are to be doubted, and what is in the pictures instead.

Nothing tells beforehand what similarity a wrong label has with some model. So faults are made from
the photographs at hand: some are given, on trial and one at a time, a landmark that they do not
show, and their signals are taken as they would then be. Neighbours do not depend on labels, so this
costs no search. There are faults of four kinds:

- exchanged: a photograph of another landmark of the data;
- lookalike: the same, said to show the one it resembles most besides its own;
- foreign: the same, with all others of its landmark hidden: of something the data has not;
- bank: an image of the bank that is said to show a landmark.

How common each kind is among the real labels, and how far a real label resembles it, is then an
estimate (`cairn.cleaning.belief`). Likewise the bank: photographs of landmarks, asked without their
label, are what a landmark in the bank looks like.

Legend of shapes: N images, F features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cairn.cleaning.agreement import Float64
from cairn.cleaning.belief import Belief, believe, fit_logistic
from cairn.cleaning.rule import CleanRule
from cairn.cleaning.signals import Scene, Signals
from cairn.domain import Int64
from cairn.neighborhood import Int32

FAULTS = 4000
"""Made-up faults of a kind."""

_FEWEST = 20
_ROUNDS = 2


@dataclass(frozen=True, eq=False)
class Doubt:
    """What is believed of the labels that something can be said of.

    Args:
        signals: Of the photographs asked.
        wrong: (M,) chance that the label is wrong.
        other: (M,) chance that it is wrong and the best other landmark is right.
        none: (M,) chance that it is wrong and no landmark of the data is right.
        alike: (M,) share of the made-up faults, of the kind that it resembles most, that look less
            wrong than it does.
        shares: How common each kind of fault is, about, by its name above.
    """

    signals: Signals
    wrong: Float64
    other: Float64
    none: Float64
    alike: Float64
    shares: dict[str, float]


def doubt_labels(scene: Scene, rule: CleanRule) -> Doubt:
    """Return what is believed of every photograph whose landmark has others."""
    near, rng = scene.near, np.random.default_rng(rule.seed)
    labelled = np.flatnonzero(near.codes != scene.nothing)
    rows = labelled[near.sizes[near.codes[labelled]] >= 2]
    real = scene.signals(rows, near.codes[rows])
    nothing = np.zeros(len(rows))
    found = Doubt(real, nothing, nothing, nothing, nothing, {})
    if len(rows) < _FEWEST or len(np.unique(near.codes[labelled])) < 2:
        return found
    trust = (near.codes != scene.nothing).astype(float)
    for _ in range(_ROUNDS):  # what looks wrong at first is no example of a right label later
        found = _compared(real, _made_faults(scene, trust, rng), 1 - found.alike)
        trust[rows] = 1 - found.wrong
    return found


def _compared(real: Signals, made: dict[str, tuple[Signals, Int32]], sound: Float64) -> Doubt:
    """Return what is believed of real labels beside made-up faults."""
    nothing, features = np.zeros(len(real.rows)), real.of_label()
    kinds = {kind: faults.of_label() for kind, (faults, _) in made.items()}
    beliefs = {kind: believe(features, faults) for kind, faults in kinds.items()}
    alike = np.max([belief.passed for belief in beliefs.values()], axis=0)
    shares = {kind: belief.share for kind, belief in beliefs.items()}
    weights = np.concatenate(
        [np.full(len(faults), shares[kind] / max(1, len(faults))) for kind, faults in kinds.items()]
    )
    if not weights.any():
        return Doubt(real, nothing, nothing, nothing, alike, shares)
    wrong = believe(features, np.concatenate(list(kinds.values())), weights, sound).chances
    other, none = _what_instead(real, made, weights)
    return Doubt(real, wrong, wrong * other, wrong * none, alike, shares)


def doubt_bank(scene: Scene, rule: CleanRule) -> tuple[Signals, Belief]:
    """Return the signals of the bank's images, and the chance that each shows its best landmark."""
    near, rng = scene.near, np.random.default_rng(rule.seed)
    rows = np.flatnonzero(near.codes == scene.nothing)
    real = _unsaid(scene, rows)
    labelled = np.flatnonzero(near.codes != scene.nothing)
    labelled = labelled[near.sizes[near.codes[labelled]] >= 2]
    if len(rows) < _FEWEST or len(labelled) < _FEWEST:
        return real, believe(real.of_target(), real.of_target()[:0])
    shown = _unsaid(scene, rng.choice(labelled, min(FAULTS, len(labelled)), replace=False))
    return real, believe(real.of_target(), shown.of_target())


def _unsaid(scene: Scene, rows: Int64) -> Signals:
    return scene.signals(rows, np.full(len(rows), -1, np.int32))


def _made_faults(
    scene: Scene, trust: Float64, rng: np.random.Generator
) -> dict[str, tuple[Signals, Int32]]:
    """Return signals of made-up faults by kind, and what those photographs really show.

    Args:
        scene: What signals are taken from.
        trust: (N,) how far each photograph's label serves as a right one; 0 in the bank.
        rng: Where draws come from.
    """
    near = scene.near
    shared = np.flatnonzero((near.codes != scene.nothing) & (near.sizes[near.codes] >= 2))
    bank = np.flatnonzero(near.codes == scene.nothing)
    kinds = ["exchanged", "lookalike", "foreign", *(["bank"] if len(bank) >= _FEWEST else [])]
    chances = trust / trust.sum()
    made = {}
    for kind in kinds:
        rows = (
            rng.choice(bank, FAULTS) if kind == "bank" else rng.choice(len(near), FAULTS, p=chances)
        )
        codes = near.codes[rng.choice(shared, FAULTS)]  # as common as in the data
        if kind == "lookalike":
            codes = scene.signals(rows, near.codes[rows]).near.target.astype(np.int32)
        differs = (codes != near.codes[rows]) & (codes >= 0) & (near.sizes[codes] >= 2)
        rows, codes = rows[differs], codes[differs]
        truth = near.codes[rows]
        hidden = truth if kind == "foreign" else None
        made[kind] = (scene.signals(rows, codes, hidden=hidden), truth)
    return made


def _what_instead(
    real: Signals, made: dict[str, tuple[Signals, Int32]], weights: Float64
) -> tuple[Float64, Float64]:
    """Return the chances of the best other landmark and of none, were the labels wrong."""
    found = np.concatenate([faults.of_target() for faults, _ in made.values()])
    is_other = np.concatenate([faults.near.target == truth for faults, truth in made.values()])
    is_none = np.concatenate(
        [np.full(len(truth), kind in ("foreign", "bank")) for kind, (_, truth) in made.items()]
    )
    scaled = weights / weights.mean()
    features = real.of_target()
    other = fit_logistic(found, (is_other & ~is_none).astype(float), scaled).chances(features)
    none = fit_logistic(found, is_none.astype(float), scaled).chances(features)
    return other / np.maximum(other + none, 1.0), none / np.maximum(other + none, 1.0)
