"""What an epoch shows: the steps of all processes, and this process's photographs for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from cairn import processes
from cairn.config import Recipe
from cairn.domain import Int64
from cairn.loading import TrainBatch, train_batches
from cairn.progress import track
from cairn.sampling import count_showings, epoch_rows, process_share, step_rows


def epoch_steps(
    rows: Int64, targets: Int64, stage: Recipe, *, epoch: int, begun: int
) -> list[Int64]:
    """Return what every step of an epoch shows, of all processes together.

    Each is (B, 2): rows, and how often the epoch has shown each before.

    Args:
        rows: What the stage learns from.
        targets: Of every row of the table.
        stage: Sampling, batch size and seed.
        epoch: Finished epochs of the run.
        begun: Finished epochs of the stage.
    """
    order = epoch_rows(
        targets[rows],
        stage.sampling,
        seed=stage.seed,
        epoch=epoch,
        progress=begun / max(stage.train.epochs - 1, 1),
    )
    return step_rows(count_showings(rows[order]), stage.train.batch_size)


def shown_parts(
    paths: Sequence[Path],
    steps: Sequence[Int64],
    stage: Recipe,
    *,
    epoch: int,
    device: torch.device,
    what: str,
) -> Iterator[list[TrainBatch]]:
    """Yield this process's parts of each of ``steps``, showing in photographs/s how it goes on.

    Args:
        paths: Files of the whole table.
        steps: Of `epoch_steps`, those still to take.
        stage: Preprocessing, augmentation, parts a step, seed.
        epoch: Finished epochs of the run.
        device: Where the images are wanted.
        what: The epoch's name.
    """
    accumulate = stage.train.accumulate
    shares = (process_share(step, processes.rank(), processes.size()) for step in steps)
    batches = train_batches(
        paths,
        [part for share in shares for part in np.array_split(share, accumulate)],
        stage.model.preprocess,
        stage.augment,
        seed=stage.seed,
        epoch=epoch,
        device=device,
        workers=processes.share_of_processors(stage.train.workers),
    )
    sizes = [len(step) for step in steps]
    numbered: Iterable[tuple[int, list[TrainBatch]]] = enumerate(
        iter(lambda: list(islice(batches, accumulate)), [])
    )
    if processes.is_main():
        numbered = track(numbered, what, total=sum(sizes), size=lambda item: sizes[item[0]])
    for _, parts in numbered:
        yield parts
