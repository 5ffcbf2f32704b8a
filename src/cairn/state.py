"""The state of a training run between two steps: all that a resumed run takes up again.

It holds weights, momenta and averages whole, however many processes share them, and how far the run
is. It needs no random generator: order and augmentation derive from the seed and the epoch
(`cairn.sampling`), what layers such as dropout draw from these and the step (`cairn.training`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol

import torch

from cairn import processes
from cairn.errors import CairnError
from cairn.runs import atomic_write


@dataclass
class State:
    """How far a run is.

    Attributes:
        stage: The stage under way, counted from 0.
        stage_start: Finished epochs when that stage began.
        epoch: Finished epochs of all stages; -1 before the model was prepared for the first.
        step: Steps taken in the epoch under way.
        loss_sum: Loss of the photographs of that epoch so far, summed.
        num_seen: How many they are.
        seconds: How long their steps took.
        learning_rate: Of the last step.
        best_gap: Highest validation GAP of the run; -1 before one is known.
        best_epoch: Finished epochs when it was scored.
        stage_gap: Highest validation GAP of the stage.
        stale: Scored epochs of the stage since then.
    """

    stage: int = 0
    stage_start: int = 0
    epoch: int = -1
    step: int = 0
    loss_sum: float = 0.0
    num_seen: int = 0
    seconds: float = 0.0
    learning_rate: float = 0.0
    best_gap: float = -1.0
    best_epoch: int = -1
    stage_gap: float = -1.0
    stale: int = 0


class Part(Protocol):
    """Model, head, optimiser, average: what gives its state and takes it up."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state, whole in the first process."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> object:
        """Take up a state."""


def state_path(folder: Path) -> Path:
    """Return where the run in ``folder`` keeps its state."""
    return folder / "checkpoints" / "last" / "trainer.pt"


def save_state(path: Path, state: State, parts: Mapping[str, Part]) -> None:
    """Write the state of a run, whole or not at all; every process calls, the first writes."""
    values: dict[str, Any] = {name: part.state_dict() for name, part in parts.items()}
    if processes.is_main():
        with atomic_write(path) as temporary:
            torch.save({"state": asdict(state), **values}, temporary)


def load_state(path: Path, parts: Mapping[str, Part]) -> State:
    """Return the state in ``path``, having given ``parts`` theirs.

    Raises:
        CairnError: The file is damaged, or of other parts.
    """
    with _refusing(path):
        values = torch.load(path, weights_only=True, map_location="cpu")
        for name, part in parts.items():
            part.load_state_dict(values[name])
        return State(**values["state"])


def peek_state(path: Path) -> State:
    """Return how far the run is whose state lies in ``path``, without weights.

    Raises:
        CairnError: The file is damaged.
    """
    with _refusing(path):
        values = torch.load(path, weights_only=True, map_location="cpu", mmap=True)
        return State(**values["state"])


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Put into words what a damaged or unfit file leads to."""
    try:
        yield
    except (
        OSError,
        EOFError,
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
        UnpicklingError,
    ) as error:
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        raise CairnError(
            f"cannot take up the training: {reason}",
            where=path,
            todo="start a fresh run without --resume",
        ) from None
