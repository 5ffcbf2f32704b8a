"""Which rows of a head a process holds, and the batch that all processes put together.

Without a process group nothing of ``torch.distributed`` is used. Legend: B photographs of all
processes, b of this one, D dimensions, P processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.autograd.function import once_differentiable

from cairn import processes
from cairn.errors import CairnError


@dataclass(frozen=True)
class Shard:
    """The rows of one process among several: consecutive, and nearly as many as any other's.

    Weights and momenta of a head are split so, and written whole; with `take` they are split anew
    over another number of processes, exactly.

    Args:
        num_rows: Rows of all processes together: landmarks.
        rank: This process, from 0.
        size: P.
    """

    num_rows: int
    rank: int
    size: int

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.size:
            raise CairnError(f"there is no process {self.rank} of {self.size}", where="Shard")
        if self.num_rows < self.size:
            raise CairnError(
                f"{self.num_rows} landmarks cannot be split over {self.size} processes",
                where="head",
                todo=f"start at most {self.num_rows} processes",
            )

    @property
    def start(self) -> int:
        """The first row of this process."""
        return self.num_rows * self.rank // self.size

    @property
    def stop(self) -> int:
        """The row after its last."""
        return self.num_rows * (self.rank + 1) // self.size

    def take(self, full: Tensor) -> Tensor:
        """Return this process's rows of ``full``, (num_rows, ...), as a tensor of their own."""
        if len(full) != self.num_rows:
            raise CairnError(
                f"{len(full)} rows are not the head's {self.num_rows}",
                where="checkpoint of the head",
                todo="continue with the landmarks that it was trained on",
            )
        return full[self.start : self.stop].clone()

    def gather(self, local: Tensor) -> Tensor | None:
        """Return all rows on the first process, None on the others; every process calls.

        They travel and arrive in the processors' memory, where the whole has room.
        """
        own = local.detach()
        if self.size == 1:
            return own
        if self.rank:
            dist.send(own.cpu().contiguous(), dst=0)
            return None
        full = torch.empty((self.num_rows, *own.shape[1:]), dtype=own.dtype)
        full[: self.stop] = own
        for rank in range(1, self.size):
            other = Shard(self.num_rows, rank, self.size)
            dist.recv(full[other.start : other.stop], src=rank)
        return full


def gather_batch(embeddings_bD: Tensor, labels_b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the embeddings (B, D) and labels (B,) of all processes, in their order.

    Processes may give different numbers of photographs, also none. The gradient of the embeddings
    is the sum over processes: each has computed what its own landmarks contribute.
    """
    wanted = embeddings_bD.requires_grad and torch.is_grad_enabled()
    told = processes.exchange([len(labels_b), int(wanted)])
    sizes, shared = [int(size) for size in told[:, 0]], bool(told[:, 1].any())
    if shared and not wanted:  # all take part in the backward pass of the others
        embeddings_bD = embeddings_bD.detach().requires_grad_()
    embeddings: Tensor = _Gathered.apply(embeddings_bD, sizes)
    return embeddings, _gather(labels_b, sizes)


class _Gathered(torch.autograd.Function):
    """All-gather of rows; backward the all-reduced sum, of which each process takes its own."""

    @staticmethod
    def forward(ctx: Any, embeddings_bD: Tensor, sizes: list[int]) -> Tensor:
        rank = dist.get_rank()
        ctx.start, ctx.num = sum(sizes[:rank]), sizes[rank]
        return _gather(embeddings_bD, sizes)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_BD: Tensor) -> tuple[Tensor, None]:
        summed_BD = gradient_BD.clone()
        dist.all_reduce(summed_BD)
        return summed_BD[ctx.start : ctx.start + ctx.num], None


def _gather(rows: Tensor, sizes: list[int]) -> Tensor:
    """Return the rows of all processes, one after another."""
    padded = rows.new_zeros((max(sizes), *rows.shape[1:]))
    padded[: len(rows)] = rows
    found = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(found, padded)
    return torch.cat([part[:size] for part, size in zip(found, sizes, strict=True)])
