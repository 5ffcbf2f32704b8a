"""Calibration: how likely an answer is right, and from which score a picture counts as known."""

from cairn.calibration.calibration import (
    FALSE_ACCEPT_RATE,
    Basis,
    Calibration,
    Judged,
    calibrate,
    weights_at,
)
from cairn.calibration.curves import Logistic
from cairn.calibration.doubt import intervals_of
from cairn.calibration.features import (
    NUM_NEIGHBORS,
    Features,
    features_of,
    features_of_votes,
)
from cairn.calibration.fitting import METHODS, Chance, Fitted, fit
from cairn.calibration.open_set import OpenSetCurve, false_positive_rate
from cairn.calibration.reliability import (
    Bin,
    brier_score,
    calibration_error,
    log_loss,
    reliability_bins,
)
from cairn.calibration.summary import figures, report, table
from cairn.calibration.threshold import (
    By,
    Threshold,
    num_needed,
    require_enough,
    require_unknown,
    threshold_for,
)
from cairn.calibration.verdict import Verdict, rank_by_chance, verdicts, verdicts_on

__all__ = [
    "FALSE_ACCEPT_RATE",
    "METHODS",
    "NUM_NEIGHBORS",
    "Basis",
    "Bin",
    "By",
    "Calibration",
    "Chance",
    "Features",
    "Fitted",
    "Judged",
    "Logistic",
    "OpenSetCurve",
    "Threshold",
    "Verdict",
    "brier_score",
    "calibrate",
    "calibration_error",
    "false_positive_rate",
    "features_of",
    "features_of_votes",
    "figures",
    "fit",
    "intervals_of",
    "log_loss",
    "num_needed",
    "rank_by_chance",
    "reliability_bins",
    "report",
    "require_enough",
    "require_unknown",
    "table",
    "threshold_for",
    "verdicts",
    "verdicts_on",
    "weights_at",
]
