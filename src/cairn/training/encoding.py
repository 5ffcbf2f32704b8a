"""Photographs through the model as it stands, without changes, each process a share of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cairn import processes
from cairn.config import Recipe
from cairn.domain import Float32, Int64
from cairn.embed import encode_all
from cairn.engine import autocast
from cairn.errors import CairnError
from cairn.progress import track
from cairn.runtime import Runtime


def encode_rows(
    paths: Sequence[Path],
    rows: Int64,
    function: Callable[[Tensor], Tensor],
    stage: Recipe,
    *,
    device: torch.device,
    what: str,
    note: Callable[[Iterable[tuple[int, str]]], None],
) -> tuple[Float32, Int64]:
    """Return ``function`` of the photographs at ``rows`` and the rows that could be read.

    Every process calls with the same rows and embeds its share of them; the first gets all, in the
    order of ``rows``, the others nothing.

    Args:
        paths: Files of the whole table.
        rows: (N,) which of them.
        function: From images (B, 3, S, S) on the device to values (B, D).
        stage: Preprocessing, precision and batch size.
        device: Where the function runs.
        what: What for, in a word or two.
        note: Told row and reason of those of this process's share that cannot be read.

    Raises:
        CairnError: None of them can be read.
    """

    def forward(images: Float32) -> Float32:
        with torch.inference_mode(), autocast(device, stage.train.precision):
            moved = torch.from_numpy(images).to(device, non_blocking=True)
            values: Float32 = function(moved).float().cpu().numpy()
        return values

    mine = rows[processes.rank() :: processes.size()]
    runtime = Runtime(forward, "", stage.model.preprocess, stage.model.dimension, "training")
    sources = (paths[row] for row in mine)
    encoded = encode_all(
        runtime,
        track(sources, what, total=len(mine)) if processes.is_main() else sources,
        batch_size=max(stage.train.batch_size // processes.size(), 1),
        workers=processes.share_of_processors(stage.train.workers),
    )
    note((int(mine[position]), reason) for position, reason in encoded.unreadable)
    found = np.array(encoded.rows, dtype=np.int64) * processes.size() + processes.rank()
    if not processes.exchange([len(found)]).sum():
        raise CairnError(
            f"none of {len(rows)} photographs can be read",
            where=paths[rows[0]],
            todo="check the paths in the manifest",
        )
    width = int(processes.exchange([encoded.vectors.shape[1] * bool(len(found))]).max())
    values = encoded.vectors if len(found) else np.empty((0, width), np.float32)
    all_values, all_found = processes.gather_rows(values), processes.gather_rows(found)
    if all_values is None or all_found is None:
        return values[:0], found[:0]
    order = np.argsort(all_found)
    return all_values[order], rows[all_found[order]]
