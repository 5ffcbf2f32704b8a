"""Wrong labels of training data: suggested with evidence, and mended where told."""

from cairn.cleaning.apply import Applied, apply_suggestions
from cairn.cleaning.clean import Cleaning, clean
from cairn.cleaning.rule import APPLIED, KINDS, CleanRule

__all__ = ["APPLIED", "KINDS", "Applied", "CleanRule", "Cleaning", "apply_suggestions", "clean"]
