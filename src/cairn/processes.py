"""The processes of one run: as torchrun starts them, or one alone.

Every function works without a process group, as for a group of one. Small values and counts travel
between processors' memories over gloo, also where the tensors of training travel over NCCL, so that
no accelerator waits for them. The module does not know what is trained.
"""

from __future__ import annotations

import datetime as dt
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from cairn.ahead import num_processors
from cairn.errors import CairnError

T = TypeVar("T")

_NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_TIMEOUT = dt.timedelta(hours=2)
"""How long processes wait for one another: the first one scores a validation while others wait."""

_WAIT_FOR_MAIN_S = 10.0
_JOIN_WITHIN_S = 600.0
_GREET_EVERY_S = 0.02


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
    backend = "gloo"
    if own.startswith("cuda"):
        torch.cuda.set_device(torch.device(own))
        backend = "cpu:gloo,cuda:nccl"
    store, number, count = next(iter(rendezvous("env://", timeout=_TIMEOUT)))
    fresh = PrefixStore(_session(store, number, count), store)
    dist.init_process_group(backend, store=fresh, rank=number, world_size=count, timeout=_TIMEOUT)
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
    return int(exchange([_from_environment("TORCHELASTIC_RESTART_COUNT", 0)]).max())


def launch() -> str:
    """Return torchrun's name of this launch, which stays when it starts anew; "" for none."""
    name = os.environ.get("TORCHELASTIC_RUN_ID", "")
    return "" if name == "none" else name


def share_of_processors(workers: int) -> int:
    """Return how many threads this process may use; 0 asks for its share of the machine's."""
    local = _from_environment("LOCAL_WORLD_SIZE", 1) if size() > 1 else 1
    return workers or max(num_processors() // local, 1)


def broadcast(value: T) -> T:
    """Return the first process's small ``value``, on all."""
    if size() == 1:
        return value
    holder = [value]
    dist.broadcast_object_list(holder, src=0, device=torch.device("cpu"))
    return holder[0]


def from_main(work: Callable[[], T]) -> T:
    """Return what ``work`` gives in the first process, which alone does it, on all.

    Raises:
        CairnError: The fault that it met there, on all, so that none waits for what never comes.
    """
    if size() == 1:
        return work()
    found: tuple[Any, CairnError | None] = (None, None)
    if is_main():
        try:
            found = (work(), None)
        except CairnError as error:
            found = (None, error)
    value, fault = broadcast(found)
    if fault is not None:
        raise fault
    result: T = value
    return result


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


def let_main_speak() -> None:
    """Wait, in processes but the first, until a fault that all have met has been told once.

    The first tells it and ends, whereupon the launcher ends the others. Where nothing ends them,
    the fault is this process's own, and it may speak.
    """
    if not is_main():
        threading.Event().wait(_WAIT_FOR_MAIN_S)


def _session(store: Store, number: int, count: int) -> str:
    """Return a name that the processes alive now, and none before them, share.

    torchrun keeps its store when it starts processes anew, and a process that is quick would read
    the addresses of those that are gone. So each greets with a word of its own, and the first
    answers with that word until it is thanked.
    """
    own, begun = uuid.uuid4().hex, time.monotonic()
    store.set(f"cairn/greeting/{number}", own)
    awaited = set(range(1, count)) if number == 0 else {0}
    session = own
    while awaited:
        for other in sorted(awaited):
            if number == 0:
                greeting = _read(store, f"cairn/greeting/{other}")
                store.set(f"cairn/answer/{other}", greeting + own)
                arrived = _read(store, f"cairn/thanks/{other}") == own
            else:
                answer = _read(store, f"cairn/answer/{number}")
                arrived, session = answer.startswith(own), answer.removeprefix(own)
            if arrived:
                awaited.remove(other)
        if awaited and time.monotonic() - begun > _JOIN_WITHIN_S:
            raise CairnError(
                f"process {min(awaited)} has not come within {_JOIN_WITHIN_S:.0f} s",
                where=f"process {number}",
                todo="look for its own message; start as many processes as torchrun was told",
            )
        threading.Event().wait(_GREET_EVERY_S if awaited else 0)
    if number:
        store.set(f"cairn/thanks/{number}", session)
    return session


def _read(store: Store, key: str) -> str:
    return store.get(key).decode() if store.check([key]) else ""


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
