"""A head whose rows several processes share, and its momenta, given and taken up whole.

So that a run may go on with another number of processes than it was saved by.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cairn.heads import Shard


class WholeHead:
    """The state of all rows of a head.

    Args:
        head: This process's rows.
        shard: Which rows they are.
    """

    def __init__(self, head: nn.Module, shard: Shard) -> None:
        self.head, self.shard = head, shard

    def state_dict(self) -> dict[str, Any]:
        """Return all rows in the first process; every process calls."""
        rows = dict(self.head.named_parameters())
        return {
            name: self.shard.gather(value) if name in rows else value
            for name, value in self.head.state_dict().items()
        }

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Take this process's rows out of all."""
        rows = dict(self.head.named_parameters())
        own = {n: self.shard.take(v) if n in rows else v for n, v in state_dict.items()}
        self.head.load_state_dict(own)


class WholeOptimizer:
    """The state of an optimiser in which the head's momenta have all rows.

    Args:
        optimizer: Of this process.
        head: Its rows of the head.
        shard: Which rows they are.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, head: nn.Module, shard: Shard) -> None:
        self.optimizer, self.shard = optimizer, shard
        own = {id(parameter) for parameter in head.parameters()}
        learned = [p for group in optimizer.param_groups for p in group["params"]]
        self._rows = {index for index, p in enumerate(learned) if id(p) in own}

    def state_dict(self) -> dict[str, Any]:
        """Return all rows in the first process; every process calls."""
        return self._changed(self.optimizer.state_dict(), self.shard.gather)

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Take this process's rows out of all."""
        self.optimizer.load_state_dict(self._changed(state_dict, self.shard.take))

    def _changed(
        self, state_dict: dict[str, Any], change: Callable[[Tensor], Tensor | None]
    ) -> dict[str, Any]:
        """Return the state with ``change`` made to what has rows; counts of steps have none."""
        state = {
            index: {
                name: change(value) if isinstance(value, Tensor) and value.ndim else value
                for name, value in values.items()
            }
            if index in self._rows
            else values
            for index, values in sorted(state_dict["state"].items())
        }
        return {**state_dict, "state": state}
