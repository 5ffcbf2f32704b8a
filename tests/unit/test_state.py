"""What a resumed run takes up: everything, or an error that says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from cairn.errors import CairnError
from cairn.state import State, load_state, peek_state, save_state, state_path


def test_a_state_comes_back_whole(tmp_path: Path) -> None:
    path = state_path(tmp_path)
    state = State(stage=1, epoch=4, step=7, loss_sum=0.1 + 0.2, best_gap=0.25, stale=1)
    model = nn.Linear(3, 2)
    save_state(path, state, {"model": model})
    other = nn.Linear(3, 2)
    assert peek_state(path) == state
    assert load_state(path, {"model": other}) == state
    assert torch.equal(other.weight, model.weight)


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "other parts"])
def test_a_state_that_does_not_fit_is_refused(tmp_path: Path, damage: str) -> None:
    path = state_path(tmp_path)
    save_state(path, State(), {"model": nn.Linear(3, 2)})
    whole = path.read_bytes()
    path.write_bytes(
        {"cut": whole[:200], "text": b"hello", "empty": b"", "other parts": whole}[damage]
    )
    with pytest.raises(CairnError, match="cannot take up the training") as caught:
        load_state(path, {"head": nn.Linear(3, 2)})
    assert caught.value.where == str(path)
    assert "--resume" in caught.value.todo
