"""The experiment table: rows that each change one thing, with equal budgets and several seeds.

What is known of a row is an interval and a sentence; rows are data (``tables/*.toml``).
"""

from cairn.ablation.plan import DEFAULT_TABLE
from cairn.ablation.report import Outcome
from cairn.ablation.run import NUM_SEEDS, reproduce_ablation
from cairn.ablation.table import builtin_tables

__all__ = ["DEFAULT_TABLE", "NUM_SEEDS", "Outcome", "builtin_tables", "reproduce_ablation"]
