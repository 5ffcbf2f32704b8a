"""Several views of a photograph at test time: scales and mirror images, without training.

The views are a part of the model folder's preprocessing, so that embedding, recognizing, serving
and calibrating follow by themselves, and the fingerprint differs: a gallery is of the views that
its queries are given. The embeddings of all views, each of unit length, are averaged and put to
unit length again. That is what DELG does with its global descriptors over the scales 0.7071, 1 and
1.4142 (Cao, Araujo and Sim 2020), and Radenovic, Tolias and Chum (2018) before it.

Each scale is cut out of the photograph itself, as a model of that image size would see it. The cost
grows with the pixels that the network sees: ``Preprocess.cost``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from cairn.checkpoint import load_model, model_fingerprint, read_config, save_model
from cairn.config import ModelConfig, Preprocess
from cairn.errors import CairnError
from cairn.model import assemble
from cairn.runs import read_json, require_absent
from cairn.runtime import sample_input

SCALES = (0.7071, 1.0, 1.4142)
"""The scales of DELG: the square root of a half, one, and the square root of two."""

_OWN_LINES = ("- input: ", "- views: ", "- started from: ")


def add_views(
    model_dir: Path, out: Path, *, flip: bool = False, scales: Sequence[float] = (1.0,)
) -> ModelConfig:
    """Write a model of the same weights that looks at several views; return its config.

    Args:
        model_dir: A model folder; views that it has already are left behind.
        out: Where the new model folder goes.
        flip: Each view mirrored too.
        scales: Multiples of the model's ``image_size``.

    Raises:
        CairnError: There is nothing to add, the backbone cannot look at a scale, a scale is out of
            range, or ``out`` is taken.
    """
    model_dir = Path(model_dir)
    require_absent(out)
    old = read_config(model_dir)
    said = {**old.preprocess.model_dump(), "flip": flip, "scales": tuple(scales)}
    try:
        preprocess = Preprocess.model_validate(said)
    except ValidationError as error:
        raise CairnError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    if not preprocess.has_views:
        raise CairnError(
            "one scale, and no mirror images: there is no further view to average",
            where=f"scales = {tuple(scales)}",
            todo="give --flip, or several --scales",
        )
    module, _ = load_model(model_dir)
    config = old.model_copy(update={"preprocess": preprocess})
    model = assemble(config).eval()
    model.load_state_dict(module.state_dict())
    _try(model, config)
    head = model_dir / "head.safetensors"
    save_model(
        out,
        model,
        config,
        head=load_file(head) if head.is_file() else None,
        landmarks=read_json(model_dir / "landmarks.json") if head.is_file() else (),
        facts={**_facts(model_dir), "views added to": f"model {model_fingerprint(model_dir)}"},
    )
    return config


def _try(model: torch.nn.Module, config: ModelConfig) -> None:
    """Raise unless the network takes its input: some backbones are tied to a size unsaid."""
    try:
        with torch.inference_mode():
            model(torch.from_numpy(sample_input(config.preprocess)[:1]))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise CairnError(
            f"{config.backbone} cannot look at these views: {str(error).partition(chr(10))[0]}",
            where=f"pictures of {config.preprocess.views}",
            todo="leave --scales out; mirror images (--flip) suit every backbone",
        ) from None


def _facts(model_dir: Path) -> dict[str, str]:
    """Return the lines of a model's card on data, epochs and scores."""
    card = model_dir / "README.md"
    lines = card.read_text(encoding="utf-8").splitlines() if card.is_file() else []
    own = [line[2:] for line in lines if line.startswith("- ") and not line.startswith(_OWN_LINES)]
    pairs = [line.partition(": ") for line in own]
    return {name: value for name, _, value in pairs if value}
