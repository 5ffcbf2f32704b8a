"""How a model is trained: head, data order, augmentation, validation, optimisation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from cairn.config.value import Value


class HeadConfig(Value):
    """The loss over landmarks.

    Attributes:
        kind: ``arcface`` (Deng et al. 2019), ``cosface`` (Wang et al. 2018), ``normalized-softmax``
            (a scaled cosine classifier without margin) or ``softmax`` (a linear classifier).
        scale: s, the factor on the cosines.
        scale_start: The scale before the first step, from where it goes linearly to ``scale`` over
            ``scale_warmup_epochs``; None for a constant one.
        scale_warmup_epochs: See ``scale_start``.
        margin: m: radians for ``arcface``, a difference of cosines for ``cosface``.
        size_margin: Smallest and largest margin by landmark size in place of ``margin``:
            proportional to ``n^-size_power``, so that sparse landmarks get the larger ones (third
            place 2020, first place 2021).
        size_power: Exponent of the sizes in ``size_margin``.
        margin_warmup_epochs: The margins grow linearly from 0 over these epochs.
        centers: K centres a landmark, the nearest of which counts (sub-centre ArcFace, Deng et al.
            2020); 1 for the plain head.
        logit_adjustment: tau: adds ``tau * ln(n / N)`` to the logits in training (Menon et al.
            2021); 1 is balanced softmax (Ren et al. 2020), 0 is none.
        class_weights: ``log`` weighs a photograph by ``1 / ln(1 + n)`` of its landmark.
        label_smoothing: Share of the target spread over all landmarks; heads without margin only.
        nonlandmark: Learn one more class from the non-landmarks that validation leaves over.
        sampled: Share of the landmarks that each step compares with, its own always among them
            (Partial FC, An et al. 2021); 1 for all.
    """

    kind: Literal["arcface", "cosface", "normalized-softmax", "softmax"] = "arcface"
    scale: float = Field(30.0, gt=0)
    scale_start: float | None = Field(None, gt=0)
    scale_warmup_epochs: float = Field(0.0, ge=0)
    margin: float = Field(0.3, ge=0, lt=3.1416)
    size_margin: tuple[float, float] | None = None
    size_power: float = Field(0.25, gt=0)
    margin_warmup_epochs: float = Field(0.0, ge=0)
    centers: int = Field(1, ge=1)
    logit_adjustment: float = Field(0.0, ge=0)
    class_weights: Literal["none", "log"] = "none"
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    nonlandmark: bool = False
    sampled: float = Field(1.0, gt=0, le=1)

    @model_validator(mode="after")
    def _consistent(self) -> HeadConfig:
        if self.size_margin is not None:
            low, high = self.size_margin
            if not 0 <= low <= high < 3.1416:
                raise ValueError(f"size_margin must be 0 <= low <= high, not {self.size_margin}")
            if self.kind not in ("arcface", "cosface"):
                raise ValueError(f"{self.kind} has no margin; size_margin needs arcface or cosface")
        if self.scale_warmup_epochs and self.scale_start is None:
            raise ValueError("scale_warmup_epochs needs scale_start, from where the scale goes")
        if self.kind == "softmax" and self.centers > 1:
            raise ValueError("a softmax head has one center a landmark; centers needs cosines")
        if self.label_smoothing and self.kind in ("arcface", "cosface"):
            raise ValueError(
                "label_smoothing pulls against a margin; use it with softmax or normalized-softmax"
            )
        if self.label_smoothing and self.sampled < 1:
            raise ValueError("label_smoothing needs all landmarks: leave sampled at 1")
        return self


class SamplingConfig(Value):
    """Which photographs an epoch shows, and how often.

    An epoch is as long as there are photographs under the cap, whatever the kind.

    Attributes:
        kind: ``instance`` shows every photograph once; ``balanced`` every landmark equally often;
            ``sqrt`` landmarks in proportion to the square root of their photographs;
            ``progressive`` goes from instance to balanced over the epochs of a stage (Kang et al.
            2020).
        cap: At most so many photographs of a landmark an epoch, drawn anew each epoch.
        min_images: Landmarks with fewer training photographs are not shown.
    """

    kind: Literal["instance", "balanced", "sqrt", "progressive"] = "instance"
    cap: int | None = Field(None, ge=1)
    min_images: int = Field(1, ge=1)


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
        gallery_per_landmark: At most so many training photographs of a landmark serve as the
            validation's gallery, the same each time; None for all. A cap makes scoring cheap where
            crowded landmarks have thousands.
    """

    share: float = Field(0.15, gt=0, lt=1)
    min_images: int = Field(4, ge=2)
    nonlandmark_share: float = Field(0.5, gt=0, le=1)
    every_epochs: int = Field(1, ge=1)
    gallery_per_landmark: int | None = Field(None, ge=1)


class TrainConfig(Value):
    """The optimisation: warm-up and cosine decay over the epochs of a stage.

    Attributes:
        epochs: Passes over the training photographs.
        batch_size: Photographs a step, over all processes and accumulated parts.
        accumulate: Parts that a process cuts its share of a step into, for want of memory.
        optimizer: ``sgd`` (Nesterov momentum) or ``adamw``.
        learning_rate: Peak rate of the new parts (neck, head) and of a backbone from scratch.
        backbone_rate: Factor on the rate for a backbone with loaded weights.
        layer_decay: Further factor on the backbone's rate for each layer away from its output, for
            loaded weights; 1 for none.
        neck_rate: Factor on the rate for the neck; 0 keeps a closed-form one as it was fitted.
        weight_decay: L2 penalty; not applied to biases, norms and GeM's exponent.
        momentum: SGD momentum, Nesterov; AdamW's first beta.
        warmup_epochs: Linear rise of the rate.
        freeze: Parts that learn nothing, by the beginning of their names: ``backbone``,
            ``backbone.layer1``, ``neck``, ``pool``, ``head``.
        freeze_batchnorm: Keep the backbone's batch-norm statistics as loaded.
        clip_norm: Largest gradient norm; None for no clipping.
        ema: Decay of the averaged weights per step, 0 for none; the averaged ones are kept.
        precision: ``auto`` is bf16 autocast where the processor has it, else float32.
        compile: ``on`` compiles the backbone (torch.compile), ``off`` does not, ``auto`` does
            where that has been measured to pay.
        workers: Decoding threads or processes of each process; 0 for as many as its processors.
        patience: End a stage after so many scored epochs without a better validation GAP; None
            never.
        checkpoint_steps: Save the state after every so many steps within an epoch, too.
    """

    epochs: int = Field(10, ge=0)
    batch_size: int = Field(64, ge=2)
    accumulate: int = Field(1, ge=1)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = Field(0.05, gt=0)
    backbone_rate: float = Field(1.0, ge=0)
    layer_decay: float = Field(1.0, gt=0, le=1)
    neck_rate: float = Field(1.0, ge=0)
    weight_decay: float = Field(1e-4, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    warmup_epochs: float = Field(1.0, ge=0)
    freeze: tuple[str, ...] = ()
    freeze_batchnorm: bool = False
    clip_norm: float | None = Field(5.0, gt=0)
    ema: float = Field(0.0, ge=0, lt=1)
    precision: Literal["auto", "bf16", "float32"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    workers: int = Field(0, ge=0)
    patience: int | None = Field(None, ge=1)
    checkpoint_steps: int = Field(1000, ge=1)
