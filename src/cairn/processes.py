"""The processes of one run: as torchrun starts them, or one alone.

Every function works without a process group, as for a group of one. Small values and counts travel
between processors' memories over gloo, also where the tensors of training travel over NCCL, so that
no accelerator waits for them. The module does not know what is trained.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch import distributed as dist

from cairn.errors import CairnError

T = TypeVar("T")

_NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_TIMEOUT = dt.timedelta(hours=2)
"""How long processes wait for one another: the first one scores a validation while others wait."""


@contextmanager
def process_group(device: str = "auto") -> Iterator[str]:
    """Join the processes that torchrun started, and yield the name of this process's device.

    Without torchrun, with one process, or inside another `process_group`, nothing is joined and
    ``device`` comes back as it was given.

    Raises:
        CairnError: The environment is incomplete, ``device`` names one GPU for all processes, or
            this machine has fewer GPUs than processes.
    """
    if dist.is_initialized():
        yield _own_device(device)
        return
    if _from_environment("WORLD_SIZE", 1) <= 1:
        yield device
        return
    missing = [name for name in _NEEDED if name not in os.environ]
    if missing:
        raise CairnError(
            f"a run of several processes needs {', '.join(missing)}",
            where="environment",
            todo="start it as torchrun --nproc-per-node N -m cairn train ...",
        )
    own = _own_device(device)
    if own.startswith("cuda"):
        torch.cuda.set_device(torch.device(own))
        dist.init_process_group("cpu:gloo,cuda:nccl", timeout=_TIMEOUT)
    else:
        dist.init_process_group("gloo", timeout=_TIMEOUT)
    yield own
    dist.destroy_process_group()  # not after an error: the others might be gone, and it would wait


def rank() -> int:
    """Return the number of this process, from 0; torchrun's word for it before the group stands."""
    if dist.is_initialized():
        return dist.get_rank()
    return _from_environment("RANK", 0) if _from_environment("WORLD_SIZE", 1) > 1 else 0


def size() -> int:
    """Return how many processes the group has."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Return whether this process is the one that writes and speaks."""
    return rank() == 0


def num_restarts() -> int:
    """Return how often torchrun has started the run anew after a process was lost."""
    return _from_environment("TORCHELASTIC_RESTART_COUNT", 0)


def broadcast(value: T) -> T:
    """Return the first process's small ``value``, on all."""
    if size() == 1:
        return value
    holder = [value]
    dist.broadcast_object_list(holder, src=0, device=torch.device("cpu"))
    return holder[0]


def exchange(numbers: Sequence[int]) -> NDArray[np.int64]:
    """Return the numbers of all processes, (P, n) int64; each gives as many."""
    own = torch.tensor(numbers, dtype=torch.int64)
    if size() == 1:
        return own[None].numpy()
    found = [torch.empty_like(own) for _ in range(size())]
    dist.all_gather(found, own)
    return torch.stack(found).numpy()


def gather(value: T) -> list[T]:
    """Return the small values of all processes in order, on the first; [] on the others."""
    if size() == 1:
        return [value]
    found: list[Any] | None = [None] * size() if is_main() else None
    dist.gather_object(value, found, dst=0)
    return found or []


def gather_rows(array: NDArray[Any]) -> NDArray[Any] | None:
    """Return the (n, ...) arrays of all processes, one after another, on the first; else None.

    Only the numbers of rows may differ. Nothing is padded or pickled.
    """
    if size() == 1:
        return array
    counts = exchange([len(array)])[:, 0]
    if not is_main():
        if len(array):
            dist.send(torch.from_numpy(np.ascontiguousarray(array)), dst=0)
        return None
    parts = [array]
    for sender in range(1, size()):
        part = np.empty((int(counts[sender]), *array.shape[1:]), array.dtype)
        if len(part):
            dist.recv(torch.from_numpy(part), src=sender)
        parts.append(part)
    return np.concatenate(parts)


def broadcast_rows(array: NDArray[Any] | None) -> NDArray[Any]:
    """Return the first process's array on all; the others give None."""
    if size() == 1:
        assert array is not None
        return array
    shape, kind = broadcast((array.shape, array.dtype.str) if array is not None else ((), ""))
    values = np.ascontiguousarray(array) if array is not None else np.empty(shape, kind)
    if values.size:
        dist.broadcast(torch.from_numpy(values), src=0)
    return values


def broadcast_weights(module: nn.Module) -> None:
    """Give ``module`` the first process's parameters and buffers, in place."""
    if size() > 1:
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, src=0)


def total(tensor: Tensor) -> Tensor:
    """Return ``tensor`` summed over the processes."""
    if size() == 1:
        return tensor
    summed = tensor.clone()
    dist.all_reduce(summed)
    return summed


def barrier() -> None:
    """Wait until all processes are here."""
    exchange([0])


def _own_device(device: str) -> str:
    """Return the device of this process: its own GPU where there are GPUs to be used."""
    if device not in ("auto", "cuda"):
        if device.startswith("cuda"):
            raise CairnError(
                f"{device!r} is one GPU, and every process takes its own",
                where="--device",
                todo="give --device cuda, and choose GPUs with CUDA_VISIBLE_DEVICES",
            )
        return device
    found = torch.cuda.device_count()
    if device == "auto" and not found:
        return "cpu"
    local = _from_environment("LOCAL_RANK", 0)
    if local >= found:
        raise CairnError(
            f"process {local} of this machine has no GPU: there are {found}",
            where="torchrun --nproc-per-node",
            todo=f"start {found} processes, or give --device cpu",
        )
    return f"cuda:{local}"


def _from_environment(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default
