"""The state of a training run between two epochs: all that a resumed run takes up again.

Beside weights and momenta it holds the state of torch's random generators, which layers such as
dropout and stochastic depth draw from. Order and augmentation need none (`cairn.sampling`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol

import torch

from cairn.errors import CairnError
from cairn.runs import atomic_write


@dataclass
class State:
    """How far a run is; ``epoch`` counts the finished epochs.

    ``epoch`` is -1 before the model was prepared for the first; ``stale`` counts the scored epochs
    since the best.
    """

    epoch: int = -1
    best_gap: float = -1.0
    best_epoch: int = -1
    stale: int = 0


class Part(Protocol):
    """Model, head, optimiser, average: what gives its state and takes it up."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> object:
        """Take up a state."""


def state_path(folder: Path) -> Path:
    """Return where the run in ``folder`` keeps its state."""
    return folder / "checkpoints" / "last" / "trainer.pt"


def save_state(path: Path, state: State, parts: Mapping[str, Part]) -> None:
    """Write the state of a run, whole or not at all."""
    values = {
        "state": asdict(state),
        "random": torch.get_rng_state(),
        "cuda_random": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        **{name: part.state_dict() for name, part in parts.items()},
    }
    with atomic_write(path) as temporary:
        torch.save(values, temporary)


def load_state(path: Path, parts: Mapping[str, Part], *, device: torch.device) -> State:
    """Return the state in ``path``, having given ``parts`` and the random generators theirs.

    Raises:
        CairnError: The file is damaged, or of other parts.
    """
    try:
        values = torch.load(path, weights_only=True, map_location=device)
        for name, part in parts.items():
            part.load_state_dict(values[name])
        torch.set_rng_state(values["random"].cpu())
        for index, random in enumerate(values["cuda_random"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(random.cpu(), index)
        return State(**values["state"])
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
