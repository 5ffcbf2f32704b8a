"""Typed recipes: what to train and how, read from TOML, overridden with ``--set a.b=c``.

Every default stands here and nowhere else. A recipe may name a built-in one (``recipes/`` of the
package) or a file, and build on another (``base``). Unknown keys fail with the nearest known name.
"""

from cairn.config.model import ModelConfig, Preprocess
from cairn.config.read import builtin_names, builtin_recipes, read_recipe, read_values
from cairn.config.recipe import Recipe, Stage, merged
from cairn.config.training import (
    AugmentConfig,
    HeadConfig,
    SamplingConfig,
    TrainConfig,
    ValidationConfig,
)
from cairn.config.value import Value, parse_value

__all__ = [
    "AugmentConfig",
    "HeadConfig",
    "ModelConfig",
    "Preprocess",
    "Recipe",
    "SamplingConfig",
    "Stage",
    "TrainConfig",
    "ValidationConfig",
    "Value",
    "builtin_names",
    "builtin_recipes",
    "merged",
    "parse_value",
    "read_recipe",
    "read_values",
]
