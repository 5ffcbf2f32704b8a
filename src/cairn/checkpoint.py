"""Model folders: config.json + model.safetensors + README.md card; no pickle.

``head.safetensors`` and ``landmarks.json`` are there when the head was kept: row i of the head's
weight is the centre of landmark ``landmarks[i]``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from cairn.config import ModelConfig
from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.exported import is_export, read_export
from cairn.joint import is_joint, member_folders, read_joint
from cairn.model import Embedder, assemble
from cairn.runs import atomic_folder, read_json, write_json
from cairn.weights import MODEL_FORMAT
from cairn.weights import read_config as read_config


def save_model(
    folder: Path,
    model: nn.Module,
    config: ModelConfig,
    *,
    head: nn.Module | Mapping[str, torch.Tensor] | None = None,
    landmarks: Sequence[str] = (),
    facts: Mapping[str, Any] | None = None,
    replace: bool = False,
) -> None:
    """Write a model folder, whole or not at all.

    Args:
        folder: Where to; must not hold anything yet.
        model: The embedder.
        config: What built it.
        head: Its head or the head's state, kept for stages that use the landmark centres.
        landmarks: Landmark ids in the order of the head's rows.
        facts: Lines for the card, such as data, epochs and scores.
        replace: Take the place of an older model folder.
    """
    with atomic_folder(folder, replace=replace) as temporary:
        save_file(_plain(model), temporary / "model.safetensors")
        write_json(
            temporary / "config.json",
            {"format": MODEL_FORMAT, "model": config.model_dump(), "num_landmarks": len(landmarks)},
        )
        if head is not None:
            save_file(_plain(head), temporary / "head.safetensors")
            write_json(temporary / "landmarks.json", list(landmarks))
        (temporary / "README.md").write_text(_card(config, facts or {}), encoding="utf-8")


def load_model(folder: Path) -> tuple[Embedder, ModelConfig]:
    """Return the embedder in a model folder, in evaluation mode, and its config.

    Raises:
        CairnError: The folder is not a model folder or its weights do not fit its config.
    """
    config = read_config(folder)
    model = assemble(config)
    path = folder / "model.safetensors"
    try:
        model.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CairnError(
            "cannot load the weights: " + str(error).partition("\n")[0],
            where=path,
            todo="copy the model folder again; all its files belong together",
        ) from None
    return model.eval(), config


def read_head(folder: Path) -> tuple[dict[str, Float32], list[str]] | None:
    """Return the state of the head in a model folder and the landmarks of its rows, if it has one.

    ``weight`` is (L, D), or (L, K, D) for K centres; a head of products has ``bias``. Rows beyond
    the landmarks are the class of non-landmarks.

    Raises:
        CairnError: The head cannot be read, or lacks its landmarks.
    """
    path = folder / "head.safetensors"
    if not path.is_file():
        return None
    try:
        state = {name: values.float().numpy() for name, values in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise CairnError(
            f"cannot load the head: {str(error).partition(chr(10))[0]}",
            where=path,
            todo="copy the model folder again; all its files belong together",
        ) from None
    return state, [str(one) for one in read_json(folder / "landmarks.json")]


def model_fingerprint(folder: Path) -> str:
    """Return 16 hex digits that name what the model computes: its config and its weights.

    An export says itself what it computes: see ``cairn.exported.Exported``.
    Those of a joint model name its members and what each weighs.

    Raises:
        CairnError: The folder is not a model folder, or lacks its weights.
    """
    if is_export(folder):
        return read_export(folder).fingerprint
    if is_joint(folder):
        joint = read_joint(folder)
        names = [model_fingerprint(member) for member in member_folders(folder)]
        rows = json.dumps([names, joint.weights])
        return hashlib.sha256(f"joint {rows}".encode()).hexdigest()[:16]
    config = read_config(folder).model_dump(exclude={"weights"})
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise CairnError(
            "the model folder has no model.safetensors",
            where=folder,
            todo="copy the model folder again; all its files belong together",
        )
    with weights.open("rb") as handle:
        for block in iter(lambda: handle.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()[:16]


def model_dimension(folder: Path) -> int:
    """Return the length of the embeddings that a model folder, single or joint, makes.

    Raises:
        CairnError: The folder is not a model folder.
    """
    if is_joint(folder):
        return sum(model_dimension(member) for member in member_folders(folder))
    return read_config(folder).dimension


def _plain(module: nn.Module | Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    state = module.state_dict() if isinstance(module, nn.Module) else module
    return {name: values.detach().cpu().contiguous() for name, values in state.items()}


def _card(config: ModelConfig, facts: Mapping[str, Any]) -> str:
    context = " with Global Context blocks" if config.gc else ""
    pre = config.preprocess
    lines = [
        f"# {config.backbone}{context}, {config.pool} pooling, {config.dimension}-d",
        "",
        "A Cairn embedder: photograph -> vector of unit length; cosine similarity compares two.",
        "",
        f"- input: {pre.image_size} x {pre.image_size} RGB, {pre.resize}, "
        f"mean {pre.mean}, std {pre.std}, {pre.interpolation}",
        *([f"- views: {pre.views}, their embeddings averaged"] if pre.has_views else []),
        f"- started from: {config.weights or 'random weights'}",
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
        "```console",
        "cairn embed <this folder> manifest.parquet --role gallery -o embeddings",
        "```",
    ]
    return "\n".join(lines) + "\n"
