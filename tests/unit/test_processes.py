"""One process alone, and what several of one machine exchange."""

from __future__ import annotations

import multiprocessing
import os
import socket
from multiprocessing.queues import SimpleQueue
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cairn import processes
from cairn.errors import CairnError

_KEYS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*_KEYS, "TORCHELASTIC_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)


def test_one_process_needs_no_group() -> None:
    with processes.process_group("cpu") as device:
        assert device == "cpu"
        assert (processes.rank(), processes.size(), processes.is_main()) == (0, 1, True)
        assert processes.broadcast({"a": 1}) == {"a": 1}
        assert processes.from_main(lambda: 3) == 3
        assert processes.gather("x") == ["x"]
        assert processes.exchange([3, 4]).tolist() == [[3, 4]]
        rows = np.arange(6.0).reshape(3, 2)
        assert processes.gather_rows(rows) is rows
        assert processes.broadcast_rows(rows) is rows
        assert float(processes.total(torch.tensor(2.0))) == 2.0
        processes.barrier()
    assert processes.num_restarts() == 0


def test_an_incomplete_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with (
        pytest.raises(CairnError, match="needs LOCAL_RANK, MASTER_ADDR, MASTER_PORT") as caught,
        processes.process_group("cpu"),
    ):
        pass
    assert "torchrun" in caught.value.todo
    assert not processes.is_main(), "so that one process alone speaks of faults before the start"


@pytest.mark.parametrize(("device", "what"), [("cuda:0", "is one GPU"), ("cuda", "has no GPU")])
def test_a_device_that_processes_cannot_share_is_refused(
    monkeypatch: pytest.MonkeyPatch, device: str, what: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name, value in zip(_KEYS, ("1", "2", "1", "127.0.0.1", "1"), strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(CairnError, match=what), processes.process_group(device):
        pass


def _refuse() -> None:
    raise CairnError(f"met by {processes.rank()}", where="there", todo="that")


def _talk(rank: int, port: int, answers: SimpleQueue[Any]) -> None:
    values = (str(rank), "2", str(rank), "127.0.0.1", str(port))
    os.environ.update(zip(_KEYS, values, strict=True))
    torch.set_num_threads(1)
    with processes.process_group("cpu") as device, processes.process_group(device):
        layer = nn.Linear(2, 2)
        nn.init.constant_(layer.weight, rank)
        processes.broadcast_weights(layer)
        rows = np.full((2 * rank, 3), rank + 5, np.float32)  # none of the first process
        collected = processes.gather_rows(rows)
        spread = processes.broadcast_rows(np.arange(4) if rank == 0 else None)
        given = processes.from_main(lambda: processes.rank() + 4)
        with pytest.raises(CairnError, match="met by 0") as fault:
            processes.from_main(_refuse)
        answers.put(
            {
                "given": given,
                "fault": str(fault.value),
                "rank": processes.rank(),
                "main": processes.is_main(),
                "broadcast": processes.broadcast(f"from {rank}"),
                "gather": processes.gather(rank * 10),
                "exchange": processes.exchange([rank, 7]).tolist(),
                "rows": None if collected is None else collected.tolist(),
                "spread": spread.tolist(),
                "total": float(processes.total(torch.tensor(rank + 1.0))),
                "weight": float(layer.weight.sum()),
            }
        )


def test_two_processes_exchange_values_and_rows() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    answers: SimpleQueue[Any] = context.SimpleQueue()
    started = [context.Process(target=_talk, args=(r, port, answers)) for r in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
        assert process.exitcode == 0
    first, second = sorted((answers.get() for _ in started), key=lambda found: found["rank"])
    assert (first["main"], second["main"]) == (True, False)
    assert first["broadcast"] == second["broadcast"] == "from 0"
    assert (first["gather"], second["gather"]) == ([0, 10], [])
    assert first["exchange"] == second["exchange"] == [[0, 7], [1, 7]]
    assert first["rows"] == [[6.0] * 3] * 2
    assert second["rows"] is None
    assert first["spread"] == second["spread"] == [0, 1, 2, 3]
    assert first["given"] == second["given"] == 4
    assert first["fault"] == second["fault"] == "met by 0\n  where: there\n  do:    that"
    assert first["total"] == second["total"] == 3.0
    assert first["weight"] == second["weight"] == 0.0
