"""What an embedder is made of, and what its input looks like."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from cairn.config.value import Value


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
