"""Heads whose rows are split over real processes (gloo): what one process computes, and moves."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn import functional as F

from cairn.config import HeadConfig
from cairn.domain import Int64
from cairn.errors import CairnError
from cairn.heads import Head, Shard, build_head

DIMENSION = 8
COUNTS = np.array([40, 21, 17, 9, 5, 3, 2, 2, 1, 1, 12])  # 11 landmarks: neither 2 nor 3 divides
EXTRAS: dict[str, Any] = {"logit_adjustment": 0.7, "class_weights": "log"}
CASES: dict[str, dict[str, Any]] = {
    "softmax": {"kind": "softmax", "scale": 4.0},
    "softmax, all": {"kind": "softmax", "label_smoothing": 0.1, **EXTRAS},
    "normalized, all": {"kind": "normalized-softmax", "label_smoothing": 0.2, **EXTRAS},
    "arcface": {"kind": "arcface"},
    "arcface, all": {"kind": "arcface", "size_margin": (0.05, 0.5), **EXTRAS},
    "cosface": {"kind": "cosface", "size_margin": (0.1, 0.4)},
    "sub-centers": {"kind": "arcface", "centers": 3, **EXTRAS},
}
LOCAL_SIZES: dict[int, list[tuple[int, ...]]] = {
    2: [(4, 4), (7, 1), (0, 8)],
    3: [(3, 3, 2), (5, 0, 3), (0, 8, 0)],
}
SAMPLED = HeadConfig(kind="normalized-softmax", sampled=0.5)
MANY = np.ones(61, np.int64)
MEAN_PLACES = np.array([10, 3, 3, 0, 10])


def _batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    embeddings = F.normalize(torch.randn(8, DIMENSION, generator=generator))
    return embeddings, torch.tensor([0, 10, 5, 5, 3, 7, 0, 8])


def _build(config: HeadConfig, shard: Shard | None = None, *, counts: Int64 = COUNTS) -> Head:
    torch.manual_seed(4)
    return build_head(config, DIMENSION, counts, shard=shard)


def _optimizer(head: Head) -> torch.optim.Optimizer:
    return torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9)


def _rows(head: Head, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return all that has rows: weights and momenta."""
    found = {name: value.detach() for name, value in head.named_parameters()}
    for name, value in head.named_parameters():
        found[f"momentum of {name}"] = optimizer.state[value]["momentum_buffer"]
    return found


def _take_rows(head: Head, optimizer: torch.optim.Optimizer, shard: Shard, full: Any) -> None:
    for name, value in head.named_parameters():
        with torch.no_grad():
            value.copy_(shard.take(full[name]))
        optimizer.state[value]["momentum_buffer"] = shard.take(full[f"momentum of {name}"])


def _work(rank: int, folder: Path) -> None:
    """Be one process of a group of two, then of three; write down what the tests compare."""
    torch.set_num_threads(1)
    for size in (2, 3):
        if rank < size:
            meeting = f"file://{folder}/meeting-{size}"
            dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=size)
            found = _compute(rank, size)
            found["moved"] = _move(Shard(len(COUNTS), rank, size), torch.load(folder / "rows.pt"))
            torch.save(found, folder / f"{rank} of {size}.pt")
            dist.barrier()
            if rank == 0:
                torch.save(found["moved"], folder / "rows.pt")
            dist.destroy_process_group()


def _compute(rank: int, size: int) -> dict[str, Any]:
    shard = Shard(len(COUNTS), rank, size)
    found: dict[str, Any] = {}
    for name, settings in CASES.items():
        for sizes in LOCAL_SIZES[size]:
            head = _build(HeadConfig.model_validate(settings), shard)
            found[f"{name} {sizes}"] = _learn(head, shard, _own(rank, sizes))
    own = _own(rank, LOCAL_SIZES[size][0])
    found["no gradient"] = _learn(_build(HeadConfig(), shard), shard, own, wanted=rank > 0)
    found["frozen"] = _learn(_build(HeadConfig(), shard), shard, own, wanted=False)
    many = Shard(len(MANY), rank, size)
    found["sampled"] = _learn(_build(SAMPLED, many, counts=MANY), many, own)
    head = _build(HeadConfig(centers=2), shard)
    head.place(np.eye(5, DIMENSION, dtype=np.float32), MEAN_PLACES)
    found["placed"] = shard.gather(head.weight)
    found["empty"] = head(torch.zeros(0, DIMENSION), torch.zeros(0, dtype=torch.int64)).detach()
    return found


def _own(rank: int, sizes: tuple[int, ...]) -> tuple[int, int]:
    return sum(sizes[:rank]), sum(sizes[: rank + 1])


def _learn(
    head: Head, shard: Shard, own: tuple[int, int], *, wanted: bool = True
) -> dict[str, Any]:
    embeddings, labels = _batch()
    local = embeddings[slice(*own)].clone().requires_grad_(wanted)
    loss = head(local, labels[slice(*own)])
    (0.5 * loss).backward()
    gradients = {n: shard.gather(p.grad) for n, p in head.named_parameters() if p.grad is not None}
    return {"loss": loss.detach(), "embeddings": local.grad, "own": own, "rows": gradients}


def _move(shard: Shard, full: dict[str, Tensor]) -> dict[str, Tensor | None]:
    """Take up rows that another number of processes wrote, and give them back whole."""
    head = _build(HeadConfig(kind="softmax"), shard)
    optimizer = _optimizer(head)
    _take_rows(head, optimizer, shard, full)
    return {name: shard.gather(value) for name, value in _rows(head, optimizer).items()}


def _alone(settings: dict[str, Any] | HeadConfig) -> dict[str, Any]:
    head = _build(HeadConfig.model_validate(settings))
    return _learn(head, Shard(len(COUNTS), 0, 1), (0, 8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Learn in 1 process here, then in 2, then in 3, each with the rows that the last wrote."""
    root = tmp_path_factory.mktemp("heads")
    head = _build(HeadConfig(kind="softmax"))
    optimizer = _optimizer(head)
    head(*_batch()).backward()
    optimizer.step()
    first = _rows(head, optimizer)
    torch.save(first, root / "first.pt")
    torch.save(first, root / "rows.pt")
    context = multiprocessing.get_context("spawn")
    started = [context.Process(target=_work, args=(rank, root)) for rank in range(3)]
    for process in started:
        process.start()
    for process in started:
        process.join(240)
        assert process.exitcode == 0
    return root


def _found(folder: Path, size: int) -> list[dict[str, Any]]:
    return [torch.load(folder / f"{rank} of {size}.pt") for rank in range(size)]


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("name", CASES)
def test_several_processes_give_the_loss_and_gradients_of_one(
    folder: Path, size: int, name: str
) -> None:
    expected = _alone(CASES[name])
    found = _found(folder, size)
    for sizes in LOCAL_SIZES[size]:
        for process in found:
            part = process[f"{name} {sizes}"]
            torch.testing.assert_close(part["loss"], expected["loss"], rtol=1e-5, atol=1e-5)
            own = expected["embeddings"][slice(*part["own"])]
            torch.testing.assert_close(part["embeddings"], own, rtol=1e-5, atol=1e-5)
        rows = found[0][f"{name} {sizes}"]["rows"]
        assert rows.keys() == expected["rows"].keys()
        for key, value in rows.items():
            torch.testing.assert_close(value, expected["rows"][key], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [2, 3])
def test_embeddings_without_gradients_do_not_hold_the_others_up(folder: Path, size: int) -> None:
    expected = _alone(HeadConfig())
    first, *others = _found(folder, size)
    assert first["no gradient"]["embeddings"] is None
    for process in others:
        part = process["no gradient"]
        torch.testing.assert_close(part["embeddings"], expected["embeddings"][slice(*part["own"])])
    for name in ("no gradient", "frozen"):
        torch.testing.assert_close(first[name]["rows"]["weight"], expected["rows"]["weight"])


@pytest.mark.parametrize("size", [2, 3])
def test_each_process_samples_its_own_rows(folder: Path, size: int) -> None:
    found = _found(folder, size)
    embeddings, labels = _batch()
    rows = found[0]["sampled"]["rows"]["weight"].abs().sum(1).nonzero().squeeze(1)
    assert set(labels.tolist()) < set(rows.tolist())
    shards = [Shard(len(MANY), rank, size) for rank in range(size)]
    own = [int(((rows >= s.start) & (rows < s.stop)).sum()) for s in shards]
    assert own == [-(-(s.stop - s.start) // 2) for s in shards]  # half of each, rounded up
    few = _build(SAMPLED.model_copy(update={"sampled": 1.0}), counts=MANY[rows])
    whole = _build(SAMPLED, counts=MANY)
    few.load_state_dict({"weight": whole.weight.detach()[rows]})
    expected = few(embeddings, torch.searchsorted(rows, labels)).detach()
    for process in found:
        torch.testing.assert_close(process["sampled"]["loss"], expected)


@pytest.mark.parametrize("size", [2, 3])
def test_each_process_places_its_own_landmarks(folder: Path, size: int) -> None:
    expected = _build(HeadConfig(centers=2))
    expected.place(np.eye(5, DIMENSION, dtype=np.float32), MEAN_PLACES)
    first, *others = _found(folder, size)
    assert torch.equal(first["placed"], expected.weight)
    assert all(process["placed"] is None for process in others)


@pytest.mark.parametrize("size", [2, 3])
def test_nothing_anywhere_costs_nothing(folder: Path, size: int) -> None:
    assert [float(process["empty"]) for process in _found(folder, size)] == [0.0] * size


def test_rows_and_momenta_go_from_1_to_2_to_3_processes_and_back(folder: Path) -> None:
    first, last = torch.load(folder / "first.pt"), torch.load(folder / "rows.pt")
    assert set(first) == {"weight", "bias", "momentum of weight", "momentum of bias"}
    head = _build(HeadConfig(kind="softmax"))
    optimizer = _optimizer(head)
    _take_rows(head, optimizer, Shard(len(COUNTS), 0, 1), last)
    for name, value in _rows(head, optimizer).items():
        assert torch.equal(value, first[name]), name
        assert value.abs().sum() > 0


def test_shards_cover_all_rows_once_and_nearly_equally() -> None:
    for num_rows in (3, 10, 11, 81_313):
        for size in (1, 2, 3):
            shards = [Shard(num_rows, rank, size) for rank in range(size)]
            sizes = [shard.stop - shard.start for shard in shards]
            assert [s.start for s in shards] == [0, *(s.stop for s in shards[:-1])]
            assert sum(sizes) == num_rows
            assert max(sizes) - min(sizes) <= 1


def test_rows_of_another_head_are_refused() -> None:
    with pytest.raises(CairnError, match="12 rows are not the head's 11"):
        Shard(11, 0, 2).take(torch.zeros(12, 4))


def test_more_processes_than_landmarks_are_refused() -> None:
    with pytest.raises(CairnError, match="2 landmarks cannot be split over 3 processes"):
        Shard(2, 0, 3)


def test_one_process_needs_nothing_of_torch_distributed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("torch.distributed was used")

    for name in ("all_reduce", "all_gather", "send", "recv", "get_rank"):
        monkeypatch.setattr(dist, name, refuse)
    head = _build(HeadConfig(), Shard(len(COUNTS), 0, 1))
    head(*_batch()).backward()
    assert head.shard.gather(head.weight) is not None
