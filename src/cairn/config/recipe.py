"""A recipe: everything that determines a training run, beside the data; also in stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError, model_validator

from cairn.config.model import ModelConfig
from cairn.config.training import (
    AugmentConfig,
    HeadConfig,
    SamplingConfig,
    TrainConfig,
    ValidationConfig,
)
from cairn.config.value import Value

_OF_THE_RUN = {  # what no stage may change: parameters' shapes and the split depend on it
    "model": set(ModelConfig.model_fields) - {"preprocess"},
    "head": {"kind", "centers", "nonlandmark"},
}


class Stage(Value):
    """A part of a run: what it changes in the recipe, section by section.

    Attributes:
        name: For the log.
        data: Another manifest, whose train rows this stage learns from (a path); its landmarks
            join the head from the start, and its images that validation holds out are left out.
        model: May change ``preprocess.image_size`` alone.
        head: Scale, margins, weights; not ``kind``, ``centers`` or ``nonlandmark``.
        train: Anything; ``epochs`` and the schedule of the rate are the stage's own.
        augment: Anything.
        sampling: Anything.
    """

    name: str = ""
    data: str | None = None
    model: dict[str, Any] = Field(default_factory=dict)
    head: dict[str, Any] = Field(default_factory=dict)
    train: dict[str, Any] = Field(default_factory=dict)
    augment: dict[str, Any] = Field(default_factory=dict)
    sampling: dict[str, Any] = Field(default_factory=dict)


class Recipe(Value):
    """Everything that determines a training run, beside the data; ``name`` is for its folder.

    Without ``stages`` the run is one stage: the recipe as it stands. A stage starts from the
    recipe, not from the stage before it.
    """

    name: str = "run"
    seed: int = Field(0, ge=0)
    model: ModelConfig = ModelConfig()
    head: HeadConfig = HeadConfig()
    train: TrainConfig = TrainConfig()
    sampling: SamplingConfig = SamplingConfig()
    augment: AugmentConfig = AugmentConfig()
    validation: ValidationConfig = ValidationConfig()
    stages: tuple[Stage, ...] = ()

    @model_validator(mode="after")
    def _named(self) -> Recipe:
        if not self.name.strip() or any(mark in self.name for mark in "/\\\0"):
            raise ValueError(f"a folder will bear the name, which {self.name!r} does not suit")
        return self

    @model_validator(mode="after")
    def _one_view(self) -> Recipe:
        if self.model.preprocess.has_views or self.model.preprocess.scales != (1.0,):
            raise ValueError(
                "model.preprocess.flip and scales are for a finished model: train without, then "
                "`cairn model views`"
            )
        return self

    @model_validator(mode="after")
    def _staged(self) -> Recipe:
        for stage in self.stages:
            where = f"stage {stage.name!r}"
            for section, fixed in _OF_THE_RUN.items():
                changed = sorted(fixed & set(getattr(stage, section)))
                if changed:
                    raise ValueError(
                        f"{where} cannot change {section}.{changed[0]}: it is the run's"
                    )
            resized = set(stage.model.get("preprocess", {})) - {"image_size"}
            if resized:
                raise ValueError(f"{where} cannot change model.preprocess.{min(resized)}")
        try:
            self.resolved()
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"in a stage, {place}: {first['msg']}") from None
        return self

    def resolved(self) -> tuple[Recipe, ...]:
        """Return the stages as whole recipes without stages of their own; one at least."""
        if not self.stages:
            return (self,)
        base = self.model_dump(exclude={"stages"}, exclude_unset=True)
        return tuple(
            Recipe.model_validate(
                merged(base, stage.model_dump(exclude={"name", "data"}, exclude_unset=True))
            )
            for stage in self.stages
        )


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with what ``over`` says in its place, tables merged key by key."""
    result = dict(base)
    for key, value in over.items():
        inner = result.get(key)
        if isinstance(value, Mapping) and isinstance(inner, Mapping):
            value = merged(inner, value)
        result[key] = value
    return result
