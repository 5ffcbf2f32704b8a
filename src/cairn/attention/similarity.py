"""Which places of a photograph speak for its likeness to another; no gradients.

Behind an average or GeM the embedding is a sum over places, so the cosine is one as well, exactly:

    GeM_c = (mean_p x_cp^q)^(1/q) = sum_p v_cp  with  v_cp = GeM_c x_cp^q / sum_p x_cp^q
    cos(e, m) = sum_p m . (W v_p + b / n) / |W GeM + b|

with W, b the neck (affine once trained) and any norm behind the pooling, its statistics held; the
average is q = 1. Of several scales and mirror images the cosine is the sum of theirs, by the length
of the summed embeddings.

It is Zhu et al.'s point-to-point activation ("Visual explanation for deep metric
learning", 2019) summed over the other photograph's places, and CAM's idea (Zhou et al., 2016) with
the matched embedding as the classifier. Where the embedding is no such sum (class tokens), parts of
the photograph are hidden, and the cosine's fall is the map (Zeiler and Fergus, 2014).

Legend of shapes: h x w = n places, C channels, D embedding dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cairn.attention.placing import PlacedMap, square, tiles, watching
from cairn.attention.views import Photograph, View, looks
from cairn.backbones import pooled_norm, positions
from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.layers import AveragePool, GeM
from cairn.model import Embedder

Method = Literal["auto", "exact", "occlusion"]
CELLS = 8
"""Rows and columns of an occlusion map."""

_BATCH = 32


@dataclass(frozen=True, eq=False)
class SimilarityMap:
    """What each place of a photograph adds to its similarity to another.

    Args:
        parts: One map a view, scale and mirror image. By the exact method all values of all maps
            add up to the similarity; by occlusion they are what the similarity loses when that
            place is hidden.
        similarity: The cosine of the two photographs' embeddings.
        method: ``exact`` or ``occlusion``.
    """

    parts: tuple[PlacedMap, ...]
    similarity: float
    method: str

    def over(self, size: tuple[int, int]) -> Float32:
        """Return (H, W) over a photograph of ``size`` (W, H): what each place adds, by its area.

        Views are laid over one another and added; 1 is what a place would add if all of the
        photograph added alike and the similarity were 1. NaN where no view reaches.
        """
        total = np.zeros((size[1], size[0]), dtype=np.float32)
        seen = np.zeros_like(total, dtype=bool)
        for part in self.parts:
            placed = part.over(size)
            area = (part.box[2] - part.box[0]) * (part.box[3] - part.box[1])
            there = ~np.isnan(placed)
            total[there] += placed[there] * np.float32(part.values.size / area)
            seen |= there
        total[~seen] = np.nan
        return total


def similarity_map(
    model: Embedder, query: Photograph, match: Photograph, *, method: Method = "auto"
) -> SimilarityMap:
    """Return which places of ``query`` speak for (above 0) and against its likeness to ``match``.

    Args:
        model: Any embedder.
        query: The photograph that the map lies over.
        match: The other one.
        method: ``exact`` needs ``avg`` or ``gem`` pooling; ``occlusion`` works for all, at 64 more
            passes of the network; ``auto`` is exact where that can be.

    Raises:
        CairnError: The pooling is the backbone's own, and the method ``exact``.
        UnreadableImage: A photograph cannot be read.
    """
    summed = isinstance(model.pool, (GeM, AveragePool))
    if method == "exact" and not summed:
        raise CairnError(
            "the backbone's own pooling is no sum over places",
            where="method exact",
            todo="use method occlusion",
        )
    if method == "occlusion" or not summed:
        return occlusion_map(model, query, match)
    with torch.inference_mode():
        wanted_D = embedded(model.eval(), looks(model, match))
        found = [_exact(model, views, wanted_D) for views in looks(model, query)]
        length = float(torch.stack([vector_D for _, vector_D in found]).sum(dim=0).norm())
        parts = [replace(one, values=one.values / length) for each, _ in found for one in each]
        cosine = sum(float(vector_D @ wanted_D) for _, vector_D in found) / length
        return SimilarityMap(tuple(parts), cosine, "exact")


def occlusion_map(
    model: Embedder, query: Photograph, match: Photograph, *, cells: int = CELLS
) -> SimilarityMap:
    """Return what the similarity loses when a square of ``query`` is hidden, cell by cell.

    A square of two cells' side moves by one cell; what it hides becomes the mean colour, which is
    0 behind normalisation. With several views the same cell of each is hidden in turn.

    Raises:
        CairnError: ``cells`` is less than 1 or more than the input has pixels.
        UnreadableImage: A photograph cannot be read.
    """
    seen = looks(model, query)
    if not 1 <= cells <= min(views[0].side for views in seen):
        raise CairnError("an occlusion map needs 1 cell to one a pixel", where=f"cells = {cells}")
    with torch.inference_mode():
        wanted_D = embedded(model.eval(), looks(model, match))
        own = [_vectors(model, [one.images for one in views]) for views in seen]
        whole_D = torch.cat(own).sum(dim=0)
        whole = float(whole_D @ wanted_D / whole_D.norm())
        parts = []
        for views, own_1D in zip(seen, own, strict=True):
            for view in views:
                falls: list[float] = []
                for batch in torch.split(_hidden(view.images[0], cells), _BATCH):
                    changed = [batch if one is view else one.images for one in views]
                    vectors_ND = whole_D - own_1D + _vectors(model, changed)
                    cosines_N = vectors_ND @ wanted_D / vectors_ND.norm(dim=1)
                    falls += (whole - cosines_N).tolist()
                values = np.asarray(falls, dtype=np.float32).reshape(cells, cells)
                steps = tiles(cells, view.side)
                placed = PlacedMap(values, view.box, steps, steps, view.side)
                parts.append(placed.mirrored() if view.is_mirrored else placed)
    return SimilarityMap(tuple(parts), whole, "occlusion")


def embedded(model: Embedder, seen: list[list[View]]) -> Tensor:
    """Return the embedding (D,) of a photograph, from what `looks` gives."""
    vectors = [_vectors(model, [one.images for one in views]) for views in seen]
    return F.normalize(torch.cat(vectors).sum(dim=0), dim=0)


def _vectors(model: Embedder, views: list[Tensor]) -> Tensor:
    """Return the embeddings (N, D) of one scale's views, of (N, ...) or (1, ...)."""
    pooled = [model.features(one) for one in views]
    count = max(len(one) for one in pooled)
    return model.project(torch.stack([one.expand(count, -1) for one in pooled]).mean(dim=0))


def _exact(model: Embedder, views: list[View], wanted_D: Tensor) -> tuple[list[PlacedMap], Tensor]:
    """Return what the places of one scale's views add to its cosine, and its embedding (D,)."""
    grids, shares, pooled = [], [], []
    for view in views:
        with watching(model.backbone, view.side) as geometry:
            features = model.backbone.forward_features(view.images)  # type: ignore[operator]
        map_CHW = square(positions(model.backbone, features)[0].float())
        share_NC, whole_C = _shares(model.pool, map_CHW)
        share_NC, whole_C = _behind_norm(pooled_norm(model.backbone), share_NC, whole_C)
        grids.append((geometry, tuple(map_CHW.shape[1:]), view))
        shares.append(share_NC / len(views))
        pooled.append(whole_C / len(views))
    raw_D = model.neck(torch.stack(pooled).sum(dim=0, keepdim=True))[0]
    length = raw_D.norm()
    at_zero_D = model.neck(torch.zeros_like(pooled[0])[None])[0]
    number = sum(len(share) for share in shares)
    parts = []
    for share_NC, (geometry, shape, view) in zip(shares, grids, strict=True):
        projected_ND = model.neck(share_NC) - at_zero_D + at_zero_D / number
        values = (projected_ND @ wanted_D / length).reshape(shape)
        placed = geometry.placed(values.cpu().numpy().astype(np.float32), view.box)
        parts.append(placed.mirrored() if view.is_mirrored else placed)
    return parts, raw_D / length


def _shares(pool: nn.Module | None, map_CHW: Tensor) -> tuple[Tensor, Tensor]:
    """Return the parts (n, C) of the pooled features that the places give, and their sum (C,)."""
    flat_CN = map_CHW.flatten(1)
    if isinstance(pool, AveragePool):
        return flat_CN.T / flat_CN.shape[1], flat_CN.mean(dim=1)
    assert isinstance(pool, GeM)
    clamped_CN = flat_CN.clamp(min=pool.eps)
    powers_CN = (clamped_CN / clamped_CN.amax(dim=1, keepdim=True)).pow(pool.p)
    whole_C = pool(map_CHW[None])[0]
    return (powers_CN / powers_CN.sum(dim=1, keepdim=True) * whole_C[:, None]).T, whole_C


def _behind_norm(
    norm: nn.Module | None, share_NC: Tensor, whole_C: Tensor
) -> tuple[Tensor, Tensor]:
    """Return both behind a layer norm whose mean and deviation are the whole's."""
    if norm is None or isinstance(norm, nn.Identity):
        return share_NC, whole_C
    weight, bias, eps = (getattr(norm, name, None) for name in ("weight", "bias", "eps"))
    if not isinstance(weight, Tensor) or not isinstance(eps, float):
        raise CairnError(
            f"the norm behind the pooling ({type(norm).__name__}) is not known",
            where="method exact",
            todo="use method occlusion",
        )
    scale_C = weight / (whole_C.var(correction=0) + eps).sqrt()
    shift_C = bias if isinstance(bias, Tensor) else torch.zeros_like(whole_C)
    centred_NC = share_NC - share_NC.mean(dim=1, keepdim=True)
    parts_NC = centred_NC * scale_C + shift_C / len(share_NC)
    return parts_NC, (whole_C - whole_C.mean()) * scale_C + shift_C


def _hidden(image_CSS: Tensor, cells: int) -> Tensor:
    """Return the image (cells^2, 3, S, S) with a square hidden at each cell, row by row."""
    side = image_CSS.shape[-1]
    size = side / cells
    copies = image_CSS.repeat(cells * cells, 1, 1, 1)
    for row in range(cells):
        for column in range(cells):
            top, left = (max(0, round((at - 0.5) * size)) for at in (row, column))
            low, right = (round((at + 1.5) * size) for at in (row, column))
            copies[row * cells + column, :, top:low, left:right] = 0
    return copies
