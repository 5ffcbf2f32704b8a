"""What an embedder is made of, and what its input looks like."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from cairn.config.value import Value

_SIDES = (16, 4096)


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
        flip: A finished model sees each view mirrored too, at twice the cost.
        scales: A finished model sees each view at these multiples of ``image_size``. The embeddings
            of all scales, mirrored or not, are averaged at unit length (`cairn.views`).
    """

    image_size: int = Field(512, ge=_SIDES[0], le=_SIDES[1])
    resize: Literal["squash", "crop", "both"] = "squash"
    crop_pct: float = Field(1.0, gt=0, le=1)
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)

    @model_validator(mode="after")
    def _divisible(self) -> Preprocess:
        if not all(value > 0 for value in self.std):
            raise ValueError(f"std must be above 0, not {self.std}")
        return self

    @model_validator(mode="after")
    def _scaled(self) -> Preprocess:
        if not self.scales or not all(0 < scale < math.inf for scale in self.scales):
            raise ValueError(f"scales must be one or more numbers above 0, not {self.scales}")
        if min(self.sides) < _SIDES[0] or max(self.sides) > _SIDES[1]:
            raise ValueError(
                f"scales {self.scales} of {self.image_size} px make pictures of {min(self.sides)} "
                f"to {max(self.sides)} px; {_SIDES[0]} to {_SIDES[1]} px are possible"
            )
        if len(set(self.sides)) < len(self.sides):
            raise ValueError(f"scales {self.scales} make pictures of one size twice: {self.sides}")
        return self

    @model_serializer(mode="wrap")
    def _without_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what older versions do not know where it does nothing: fingerprints stay."""
        values: dict[str, Any] = dump(self)
        if not self.flip:
            values.pop("flip", None)
        if self.scales == (1.0,):
            values.pop("scales", None)
        return values

    @property
    def sides(self) -> tuple[int, ...]:
        """Sides, in pixels, of the square pictures that the network sees: one a scale."""
        return tuple(round(scale * self.image_size) for scale in self.scales)

    @property
    def has_views(self) -> bool:
        """Whether a finished model averages embeddings of several scales or mirror images."""
        return self.flip or len(self.scales) > 1

    @property
    def views(self) -> str:
        """What the network is shown of a photograph, for people."""
        sides = " and ".join(
            filter(None, [", ".join(map(str, self.sides[:-1])), str(self.sides[-1])])
        )
        return f"{sides} px" + (", each mirrored too" if self.flip else "")

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one photograph's input: (3, S, S), or (V, 3, S, S) for V views.

        Views come scale by scale, in each the centre crop before the squashed one. S is the largest
        side; a smaller view lies in the upper left of its square, the rest of which is not seen.
        """
        single = (3, max(self.sides), max(self.sides))
        num_views = len(self.scales) * (2 if self.resize == "both" else 1)
        return single if num_views == 1 else (num_views, *single)

    @property
    def cost(self) -> float:
        """Pixels that the network sees of a photograph, in squares of ``image_size``."""
        views = (2 if self.resize == "both" else 1) * (2 if self.flip else 1)
        return views * sum(side**2 for side in self.sides) / self.image_size**2

    def at(self, side: int) -> Preprocess:
        """Return the same preprocessing for one scale, of pictures of ``side`` pixels."""
        return self.model_copy(update={"image_size": side, "scales": (1.0,), "flip": False})


class ModelConfig(Value):
    """An embedder: backbone -> pooling -> neck -> unit length.

    Attributes:
        backbone: A timm model name, or ``resnext_small``, the house model's laptop sibling, or
            ``focalnet_small``.
        gc: Put a Global Context block into every residual block (timm ResNet family only).
        pool: ``gem`` (generalised mean, learned exponent), ``gem-fixed`` (its exponent stays),
            ``avg``, or ``own`` (what the backbone was trained with, such as a class token). The
            first three pool the positions of a convolutional map or the patch tokens of a
            transformer.
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
        preprocess: What the weights expect as input. Where a recipe names weights and leaves out
            ``mean``, ``std``, ``interpolation``, ``image_size`` or ``crop_pct``, the backbone's own
            are taken (`cairn.model.resolve`).
    """

    backbone: str = "resnext101_32x4d"
    gc: bool = True
    pool: Literal["gem", "gem-fixed", "avg", "own"] = "gem"
    gem_p: float = Field(3.0, gt=0)
    neck: Literal["linear", "whitened", "center"] = "linear"
    dimension: int = Field(512, ge=2)
    shrinkage: float = Field(0.2, gt=0, le=1)
    weights: str | None = None
    backbone_args: dict[str, Any] = Field(default_factory=dict)
    preprocess: Preprocess = Preprocess()
