"""What `train.freeze` names learns nothing, and nothing else is touched."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cairn.errors import CairnError
from cairn.training.freezing import batchnorms, freeze, set_train_mode


class Model(nn.Module):
    """Parts named as an embedder's."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.ModuleDict(
            {name: nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)) for name in ("l1", "l10")}
        )
        self.neck = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout())


def _learning(model: nn.Module) -> set[str]:
    return {name.rpartition(".")[0] for name, p in model.named_parameters() if p.requires_grad}


def test_a_prefix_ends_where_a_name_does() -> None:
    model, head = Model(), nn.Linear(2, 3)
    freeze(model, head, ("backbone.l1", "head"))
    assert _learning(model) == {"backbone.l10.0", "backbone.l10.1", "neck.0", "neck.1"}
    assert not any(p.requires_grad for p in head.parameters())
    freeze(model, head, ("neck.0.weight",))
    assert all(p.requires_grad for p in head.parameters()), "the next stage sets free again"
    assert not model.neck[0].weight.requires_grad
    assert model.neck[0].bias.requires_grad


def test_frozen_parts_keep_statistics_and_drop_nothing() -> None:
    model = Model()
    set_train_mode(model, ("neck",), freeze_batchnorm=False)
    assert not any(module.training for module in model.neck)
    assert len(batchnorms(model)) == 2
    set_train_mode(model, (), freeze_batchnorm=True)
    assert batchnorms(model) == [model.neck[1]]
    assert model.backbone["l1"].training
    set_train_mode(model, (), freeze_batchnorm=False)
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize(
    ("prefixes", "what", "todo"),
    [
        (("bakcbone",), "no part 'bakcbone' to freeze", "did you mean 'backbone'?"),
        (("backbone.l",), "no part 'backbone.l' to freeze", "did you mean 'backbone.l1'?"),
        (("backbone", "neck", "head"), "nothing is left to learn", ""),
    ],
)
def test_what_cannot_be_frozen_is_said(prefixes: tuple[str, ...], what: str, todo: str) -> None:
    with pytest.raises(CairnError, match=what) as caught:
        freeze(Model(), nn.Linear(2, 3), prefixes)
    assert caught.value.todo == todo
    assert caught.value.where == "train.freeze"
    assert torch.is_grad_enabled()
