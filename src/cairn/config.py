"""Typed recipes: what to train and how, read from TOML, overridden with ``--set a.b=c``.

Every default stands here and nowhere else. A recipe may name a built-in one (``recipes/`` of the
package) or a file. Unknown keys fail with the nearest known name.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cairn.errors import CairnError, nearest

T = TypeVar("T", bound="Value")


class Value(BaseModel):
    """A frozen value that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Preprocess(Value):
    """How a photograph becomes the model's input; travels with the weights.

    Attributes:
        image_size: Side of the square input, in pixels.
        resize: ``squash`` changes the aspect ratio to a square (the competition winners' habit);
            ``crop`` scales the shorter side to ``image_size / crop_pct`` and cuts out the centre;
            ``both`` shows the model the two as views, at twice the cost, and averages what it
            pools of them.
        crop_pct: Share of the shorter side that the centre crop keeps; not for ``squash``.
        mean: Per-channel mean of RGB in [0, 1] that is subtracted.
        std: Per-channel standard deviation that is divided by.
        interpolation: Resampling filter.
    """

    image_size: int = Field(512, ge=16, le=4096)
    resize: Literal["squash", "crop", "both"] = "squash"
    crop_pct: float = Field(1.0, gt=0, le=1)
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    @model_validator(mode="after")
    def _divisible(self) -> Preprocess:
        if not all(value > 0 for value in self.std):
            raise ValueError(f"std must be above 0, not {self.std}")
        return self

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one photograph's input: (3, S, S), or (2, 3, S, S) for two views."""
        single = (3, self.image_size, self.image_size)
        return (2, *single) if self.resize == "both" else single


class ModelConfig(Value):
    """An embedder: backbone -> pooling -> neck -> unit length.

    Attributes:
        backbone: A timm model name, or ``resnext_small``, the house model's laptop sibling.
        gc: Put a Global Context block into every residual block (timm ResNet family only).
        pool: ``gem`` (generalised mean, learned exponent) or ``avg``.
        gem_p: Initial exponent of GeM.
        neck: ``linear`` (Linear + BatchNorm, learned by gradient), ``whitened`` (a projection in
            closed form from the training features before the first step: within-landmark
            variation is scaled down, then the main directions kept), or ``center`` (features less
            their mean; the embedding has the backbone's own dimension).
        dimension: Length of the embedding; with ``center`` it must equal the backbone's.
        shrinkage: ``whitened`` only: share of the within-landmark covariance that is replaced by
            its mean variance; more where photographs are few.
        weights: ``imagenet`` (timm's hub weights), a ``.safetensors`` file, or None for scratch.
        backbone_args: Further arguments for ``timm.create_model``.
        preprocess: What the weights expect as input.
    """

    backbone: str = "resnext101_32x4d"
    gc: bool = True
    pool: Literal["gem", "avg"] = "gem"
    gem_p: float = Field(3.0, gt=0)
    neck: Literal["linear", "whitened", "center"] = "linear"
    dimension: int = Field(512, ge=2)
    shrinkage: float = Field(0.2, gt=0, le=1)
    weights: str | None = None
    backbone_args: dict[str, Any] = Field(default_factory=dict)
    preprocess: Preprocess = Preprocess()


class HeadConfig(Value):
    """The loss over landmarks.

    Attributes:
        kind: ``arcface`` (Deng et al. 2019) or ``softmax`` (a linear classifier).
        scale: ArcFace's s.
        margin: ArcFace's m, in radians.
        margin_warmup_epochs: The margin grows linearly from 0 over these epochs.
    """

    kind: Literal["arcface", "softmax"] = "arcface"
    scale: float = Field(30.0, gt=0)
    margin: float = Field(0.3, ge=0, lt=3.1416)
    margin_warmup_epochs: float = Field(0.0, ge=0)


class AugmentConfig(Value):
    """Random changes of a training photograph; the validation sees none.

    Attributes:
        crop_scale: Range of the random crop's share of the area.
        crop_ratio: Range of the random crop's aspect ratio change.
        flip: Probability of mirroring left-right.
        brightness: Largest relative change of brightness; likewise contrast and saturation.
        contrast: See ``brightness``.
        saturation: See ``brightness``.
        erase: Probability of blanking a random rectangle (Zhong et al. 2020).
        grayscale: Probability of dropping the colours.
    """

    crop_scale: tuple[float, float] = (0.5, 1.0)
    crop_ratio: tuple[float, float] = (0.75, 1.3333)
    flip: float = Field(0.5, ge=0, le=1)
    brightness: float = Field(0.3, ge=0, lt=1)
    contrast: float = Field(0.3, ge=0, lt=1)
    saturation: float = Field(0.3, ge=0, lt=1)
    erase: float = Field(0.25, ge=0, le=1)
    grayscale: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> AugmentConfig:
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError(f"crop_scale must be 0 < low <= high <= 1, not {self.crop_scale}")
        low, high = self.crop_ratio
        if not 0 < low <= high:
            raise ValueError(f"crop_ratio must be 0 < low <= high, not {self.crop_ratio}")
        return self


class ValidationConfig(Value):
    """The split that each epoch is scored on, cut from the training data.

    Attributes:
        share: Share of each landmark's training photographs held out as queries (landmarks with
            at least ``min_images`` photographs; at least one stays in the gallery).
        min_images: Landmarks with fewer photographs give none away.
        nonlandmark_share: Share of the non-landmark images that serve as unknown queries.
        every_epochs: Score after every so many epochs, and always after the last.
    """

    share: float = Field(0.15, gt=0, lt=1)
    min_images: int = Field(4, ge=2)
    nonlandmark_share: float = Field(0.5, gt=0, le=1)
    every_epochs: int = Field(1, ge=1)


class TrainConfig(Value):
    """The optimisation: SGD with warm-up and cosine decay.

    Attributes:
        epochs: Passes over the training photographs.
        batch_size: Photographs a step.
        learning_rate: Peak rate of the new parts (neck, head) and of a backbone from scratch.
        backbone_rate: Factor on the rate for a backbone with loaded weights.
        neck_rate: Factor on the rate for the neck; 0 keeps a closed-form one as it was fitted.
        weight_decay: L2 penalty; not applied to biases, norms and GeM's exponent.
        momentum: SGD momentum, Nesterov.
        warmup_epochs: Linear rise of the rate.
        freeze_epochs: The backbone learns nothing before this epoch.
        freeze_batchnorm: Keep the backbone's batch-norm statistics as loaded.
        clip_norm: Largest gradient norm; None for no clipping.
        ema: Decay of the averaged weights per step, 0 for none; the averaged ones are kept.
        precision: ``auto`` is bf16 autocast where the processor has it, else float32.
        workers: Decoding threads; 0 for as many as processors.
        patience: Stop after so many scored epochs without a better validation GAP; None never.
    """

    epochs: int = Field(10, ge=0)
    batch_size: int = Field(64, ge=2)
    learning_rate: float = Field(0.05, gt=0)
    backbone_rate: float = Field(1.0, ge=0)
    neck_rate: float = Field(1.0, ge=0)
    weight_decay: float = Field(1e-4, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    warmup_epochs: float = Field(1.0, ge=0)
    freeze_epochs: int = Field(0, ge=0)
    freeze_batchnorm: bool = False
    clip_norm: float | None = Field(5.0, gt=0)
    ema: float = Field(0.0, ge=0, lt=1)
    precision: Literal["auto", "bf16", "float32"] = "auto"
    workers: int = Field(0, ge=0)
    patience: int | None = Field(None, ge=1)


class Recipe(Value):
    """Everything that determines a training run, beside the data; ``name`` is for its folder."""

    name: str = "run"
    seed: int = Field(0, ge=0)
    model: ModelConfig = ModelConfig()
    head: HeadConfig = HeadConfig()
    train: TrainConfig = TrainConfig()
    augment: AugmentConfig = AugmentConfig()
    validation: ValidationConfig = ValidationConfig()

    @model_validator(mode="after")
    def _named(self) -> Recipe:
        if not self.name.strip() or any(mark in self.name for mark in "/\\\0"):
            raise ValueError(f"a folder will bear the name, which {self.name!r} does not suit")
        return self


def builtin_recipes() -> list[str]:
    """Return the names of the recipes that come with the package."""
    folder = resources.files("cairn") / "recipes"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir())


def read_recipe(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Return the recipe in a TOML file, or the built-in one of that name, with overrides applied.

    Args:
        source: Path of a TOML file, or a name from ``builtin_recipes()``.
        overrides: ``section.key=value`` texts; values are TOML, bare words are strings.

    Raises:
        CairnError: No such recipe, not TOML, an unknown key or a value out of range.
    """
    path = Path(source)
    if path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            todo = "the recipe comes first, the manifest after --data"
            raise CairnError(f"not TOML: {error}", where=source, todo=todo) from None
    elif str(source) in builtin_recipes():
        text = (resources.files("cairn") / "recipes" / f"{source}.toml").read_text("utf-8")
    else:
        raise CairnError(
            f"no recipe {str(source)!r}",
            where=path.absolute(),
            todo=f"give a TOML file or a built-in name; {nearest(str(source), builtin_recipes())}",
        )
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CairnError(f"not TOML: {error}", where=source) from None
    for override in overrides:
        _apply(values, override)
    return parse_value(Recipe, values, where=source)


def parse_value(kind: type[T], values: dict[str, Any], *, where: object) -> T:
    """Return ``values`` as a ``kind``, its faults put into words.

    Raises:
        CairnError: An unknown key (with the nearest known one) or a value out of range.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            key = str(first["loc"][-1])
            homes = [] if "." in place else _homes(kind, key)
            known = _fields_at(kind, first["loc"][:-1])
            todo = f"did you mean {homes[0]!r}?" if homes else nearest(key, known)
            raise CairnError(f"unknown setting {place!r}", where=where, todo=todo) from None
        raise CairnError(f"setting {place!r}: {first['msg']}", where=where) from None


def _homes(kind: type[BaseModel], key: str, place: str = "") -> list[str]:
    """Return the settings of that very name in the sections below ``kind``, as section.key."""
    found = []
    for name, field in kind.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            inner = f"{place}{name}."
            found += [inner + key] * (key in field.annotation.model_fields)
            found += _homes(field.annotation, key, inner)
    return found


def _fields_at(kind: type[BaseModel], place: Iterable[int | str]) -> list[str]:
    for part in place:
        inner = kind.model_fields[str(part)].annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            kind = inner
    return list(kind.model_fields)


def _apply(values: dict[str, Any], override: str) -> None:
    """Set one ``a.b=c`` in nested ``values``."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise CairnError(
            f"not an override: {override!r}", where="--set", todo="write it as section.key=value"
        )
    try:
        value = tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        value = text
    *sections, last = key.strip().split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise CairnError(f"{section!r} is not a section", where=f"--set {override}")
    values[last] = None if value == "none" else value
