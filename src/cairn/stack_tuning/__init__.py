"""Choosing stages and their parameters on validation queries, without fooling oneself.

``Queries`` hold hits, context and truth; ``Trials`` run rows of stages on them and remember;
``tune`` searches a space of recipes, ``select`` builds a row of the portfolio's stages; both say
what the choice gains on folds that it did not see. ``Measured`` and ``ablation`` say what each
stage gains, with paired intervals. ``tune_gallery`` does it all for a gallery and manifests.
"""

from cairn.stack_tuning.gains import Line, Measured, ablation, optimism
from cairn.stack_tuning.portfolio import CHOICES, choices_of, portfolio
from cairn.stack_tuning.queries import Parts, Queries, stratified
from cairn.stack_tuning.space import Slot, Space, read_space, said, space_of
from cairn.stack_tuning.trials import Runs, TrialLog, Trials
from cairn.stack_tuning.tune import Tuned, select, tune

__all__ = [
    "CHOICES",
    "Line",
    "Measured",
    "Parts",
    "Queries",
    "Runs",
    "Slot",
    "Space",
    "TrialLog",
    "Trials",
    "Tuned",
    "ablation",
    "choices_of",
    "optimism",
    "portfolio",
    "read_space",
    "said",
    "select",
    "space_of",
    "stratified",
    "tune",
]
