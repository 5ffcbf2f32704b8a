"""A photograph's maps as a folder of pictures: what ``cairn attention`` writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cairn.attention.masks import context_masks, stage_masks
from cairn.attention.overlay import overlay, overlay_signed
from cairn.attention.sheet import contact_sheet
from cairn.attention.similarity import Method, SimilarityMap, similarity_map
from cairn.attention.views import opened
from cairn.checkpoint import load_model, model_fingerprint
from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.exported import is_export
from cairn.images import UnreadableImage
from cairn.joint import is_joint
from cairn.layers import GlobalContext
from cairn.model import Embedder
from cairn.runs import atomic_folder, require_absent, write_json

LONGEST_PX = 1024
"""Longer side of the pictures written; smaller photographs keep their size."""

LEAST_RANGE = 3.0
"""Context masks: the brightest colour is never less than this times the even share, so that a map
that is nearly even looks so."""


@dataclass(frozen=True)
class Looked:
    """What was drawn.

    Args:
        folder: Where the pictures are.
        files: Their names, the contact sheet first.
        similarity: Cosine to the match; None without one.
        stages: Stage -> largest and least attention, times the even share; empty without blocks.
    """

    folder: Path
    files: tuple[str, ...]
    similarity: float | None = None
    stages: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Picture:
    """One picture of the folder."""

    name: str
    image: Image.Image
    title: str
    note: str


def look(
    model_dir: Path,
    photograph: Path,
    out: Path,
    *,
    match: Path | None = None,
    match_title: str = "match",
    method: Method = "auto",
    stretch: bool = False,
    device: str = "cpu",
) -> Looked:
    """Write the maps of a photograph into the new folder ``out``: a picture each, and a sheet.

    Args:
        model_dir: A model folder.
        photograph: The photograph.
        out: Where the pictures go; must not hold anything yet.
        match: Another photograph: which places of both speak for their likeness?
        match_title: What to call it on the sheet.
        method: As `similarity_map`.
        stretch: Colour each context mask over its own range, however narrow.
        device: As ``cairn.runtime.load_runtime``.

    Raises:
        CairnError: A photograph cannot be read, the place is taken, or there is nothing to show: no
            Global Context block and no match.
    """
    from cairn.engine import pick_device

    require_absent(out)
    if is_export(model_dir):
        raise CairnError(
            "an export shows no maps: its network is closed",
            where=model_dir,
            todo="give the model folder that it was made of",
        )
    if is_joint(model_dir):
        raise CairnError(
            "a joint model is several networks, and maps are of one",
            where=model_dir,
            todo="give a member, a model folder in members/",
        )
    model = load_model(Path(model_dir))[0].to(pick_device(device))
    has_blocks = any(isinstance(one, GlobalContext) for one in model.modules())
    if not has_blocks and match is None:
        raise CairnError(
            "this model has no Global Context blocks, so no attention of its own",
            where=model_dir,
            todo="add --match other.jpg, or give a gallery: a similarity map works for any model",
        )
    image = _open(photograph)
    found = [_Picture("photograph.png", image, "photograph", f"{image.width} x {image.height}")]
    stages: dict[str, tuple[float, float]] = {}
    if has_blocks:
        stages = _draw_masks(model, photograph, image, found, stretch=stretch)
    cosine = None
    if match is not None:
        cosine = _draw_match(model, photograph, image, match, match_title, method, found)
    with atomic_folder(out) as folder:
        contact_sheet([(one.image, one.title, one.note) for one in found]).save(
            folder / "sheet.png"
        )
        for one in found:
            one.image.save(folder / one.name)
        facts: dict[str, Any] = {
            "model": model_fingerprint(Path(model_dir)),
            "photograph": str(photograph),
            "match": None if match is None else str(match),
            "similarity": cosine,
            "stages": {k: {"most": v[0], "least": v[1]} for k, v in stages.items()},
        }
        write_json(folder / "attention.json", facts)
    return Looked(Path(out), ("sheet.png", *(one.name for one in found)), cosine, stages)


def _draw_masks(
    model: Embedder,
    photograph: Path,
    image: Image.Image,
    found: list[_Picture],
    *,
    stretch: bool,
) -> dict[str, tuple[float, float]]:
    masks = context_masks(model, photograph)
    told = {}
    for name, placed in stage_masks(masks).items():
        num = sum(block.startswith(f"{name}/") for block in masks)
        values, size = placed.values, " x ".join(map(str, placed.values.shape))
        low = float(values.min()) if stretch else 0.0
        high = float(values.max()) if stretch else max(LEAST_RANGE, float(values.max()))
        told[name] = float(values.max()), float(values.min())
        found.append(
            _Picture(
                f"{name}.png",
                overlay(image, placed.over(image.size), low=low, high=high),
                f"{name}, {num} block{'s' if num > 1 else ''}, {size}",
                f"attention {values.min():.2f} to {values.max():.2f} times the even share\n"
                f"colours from {low:.2f} to {high:.2f}",
            )
        )
    return told


def _draw_match(
    model: Embedder,
    photograph: Path,
    image: Image.Image,
    match: Path,
    title: str,
    method: Method,
    found: list[_Picture],
) -> float:
    other = _open(match)
    ours = similarity_map(model, photograph, match, method=method)
    theirs = similarity_map(model, match, photograph, method=method)
    for name, picture, made, words in (
        ("similarity.png", image, ours, "what speaks for the match"),
        ("similarity-match.png", other, theirs, "and in the match"),
    ):
        placed = made.over(picture.size)
        drawn = overlay_signed(picture, placed)
        found.append(_Picture(name, drawn, words, _told(made, placed)))
    note = f"{other.width} x {other.height}"
    found.insert(len(found) - 1, _Picture("match.png", other, title, note))
    return ours.similarity


def _told(made: SimilarityMap, placed: Float32) -> str:
    how = "" if made.method == "exact" else ", by hiding parts"
    top = float(np.nanmax(np.abs(placed)))
    return f"cosine {made.similarity:.3f}{how}; red for, blue against\nstrongest: {top:.2f} by area"


def _open(path: Path) -> Image.Image:
    """Return the photograph at the size that it is drawn in."""
    try:
        image = opened(Path(path))
    except UnreadableImage as error:
        raise CairnError(
            f"the photograph cannot be read: {error.reason}",
            where=path,
            todo="give a JPEG, PNG or WebP file",
        ) from None
    image.thumbnail((LONGEST_PX, LONGEST_PX), Image.Resampling.LANCZOS)
    return image
