"""Rows of transfer learning, from whatever weights lie in a folder.

A file is named after the timm model that it fits: ``<timm name>*.safetensors``. Where a model
expects another input or other arguments than timm states, a file of the same stem says so:
``<stem>.toml`` with a section ``[model]``, as in a recipe.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cairn.ablation.table import Row, Table
from cairn.config import merged
from cairn.errors import CairnError


def transfer_rows(table: Table, weights: Path | None) -> tuple[dict[str, Row], dict[str, str]]:
    """Return the rows that weights at hand make, and what is missing and why.

    Args:
        table: Its templates become rows, ``<backbone>-<template>``, for each file.
        weights: The folder of weights; None for none.

    Returns:
        Rows by name, and per wanted backbone without weights a line that says so.

    Raises:
        CairnError: The folder is missing, or a file in it is named after no timm model.
    """
    if weights is None:
        files: list[Path] = []
    elif not weights.is_dir():
        raise CairnError("no folder of weights", where=weights.absolute())
    else:
        files = sorted(weights.glob("*.safetensors"))
    rows: dict[str, Row] = {}
    found = set()
    for file in files:
        backbone = _backbone(file)
        found.add(backbone)
        own = {"backbone": backbone, "weights": str(file.absolute()), **_sidecar(file)}
        prefix = (
            backbone if f"{backbone}-{next(iter(table.transfer), '')}" not in rows else file.stem
        )
        for name, template in table.transfer.items():
            changes = template.changes
            if template.recipe is not None or template.reference not in table.transfer:
                changes = merged({"model": own}, changes)
            reference = template.reference
            rows[f"{prefix}-{name}"] = template.model_copy(
                update={
                    "title": template.title.format(backbone=backbone),
                    "question": template.question.format(backbone=backbone),
                    "reference": f"{prefix}-{reference}"
                    if reference in table.transfer
                    else reference,
                    "changes": changes,
                }
            )
    where = "no --weights folder was given" if weights is None else f"not in {weights}"
    missing = {
        name: f"{title}: no weights ({where}; a file {name}*.safetensors makes the row)"
        for name, title in table.wanted.items()
        if table.transfer and not any(backbone.startswith(name) for backbone in found)
    }
    return rows, missing


def _backbone(file: Path) -> str:
    """Return the timm model that a file is named after: the longest that its name begins with."""
    import timm

    known = set(timm.list_models())
    name = file.stem.partition(".")[0]
    fits = [name[:end] for end in range(len(name), 0, -1) if name[:end] in known]
    if not fits:
        raise CairnError(
            "a file of weights is named after no timm model",
            where=file,
            todo="name it <timm name>.<anything>.safetensors, such as "
            "tf_efficientnet_b3.imagenet.safetensors, or move it away",
        )
    return fits[0]


def _sidecar(file: Path) -> Mapping[str, Any]:
    path = file.with_suffix(".toml")
    if not path.is_file():
        return {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CairnError(f"not TOML: {error}", where=path) from None
    if set(values) != {"model"} or not isinstance(values["model"], dict):
        raise CairnError("it needs a section [model] and nothing else", where=path)
    return values["model"]
