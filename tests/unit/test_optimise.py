from __future__ import annotations

import math

import pytest
import torch

from cairn.config import HeadConfig, ModelConfig, Preprocess, TrainConfig
from cairn.heads import build_head
from cairn.model import assemble
from cairn.optimise import build_optimizer, rate_factor, set_rate

MODEL = ModelConfig(
    backbone="resnext_small",
    backbone_args={"layers": (1, 1, 1, 1), "cardinality": 4},
    dimension=8,
    preprocess=Preprocess(image_size=32),
)


def test_the_schedule_by_hand() -> None:
    rates = [rate_factor(step, warmup_steps=3, total_steps=7) for step in range(8)]
    cosine = [0.5 * (1 + math.cos(math.pi * part / 4)) for part in range(5)]
    assert rates == pytest.approx([1 / 4, 2 / 4, 3 / 4, *cosine])
    assert rates[3] == 1
    assert rates[5] == pytest.approx(0.5)
    assert rates[7] == pytest.approx(0)


def test_the_schedule_without_warmup_and_beyond_its_end() -> None:
    assert rate_factor(0, warmup_steps=0, total_steps=10) == 1
    assert rate_factor(12, warmup_steps=0, total_steps=10) == pytest.approx(0)
    assert rate_factor(1.5, warmup_steps=2, total_steps=2) == pytest.approx(2.5 / 3)
    assert math.isfinite(rate_factor(2, warmup_steps=2, total_steps=2))


def test_every_parameter_is_in_one_group_and_vectors_do_not_decay() -> None:
    model, head = assemble(MODEL), build_head(HeadConfig(), 8, 4)
    config = TrainConfig(weight_decay=0.1, neck_rate=0.5, learning_rate=2.0)
    optimizer = build_optimizer(model, head, config, backbone_rate=0.25)
    known = [p for group in optimizer.param_groups for p in group["params"]]
    everything = [*model.parameters(), *head.parameters()]
    assert len(known) == len(everything)
    assert {id(p) for p in known} == {id(p) for p in everything}
    of = {
        id(p): (group["factor"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    for part, factor in ((model.backbone, 0.25), (model.neck, 0.5), (model.pool, 1), (head, 1)):
        for name, parameter in part.named_parameters():
            expected = (factor, 0.1 if parameter.ndim > 1 else 0.0)
            assert of[id(parameter)] == expected, name
    set_rate(optimizer, 0.4)
    assert {group["lr"] for group in optimizer.param_groups} == {0.1, 0.2, 0.4}


def test_a_step_of_nesterov_by_hand() -> None:
    """v = g, then p - lr * (g + momentum * v): the first step has no past."""
    model, head = assemble(MODEL), build_head(HeadConfig(), 8, 4)
    config = TrainConfig(weight_decay=0, momentum=0.9, learning_rate=0.1)
    optimizer = build_optimizer(model, head, config, backbone_rate=1)
    before = head.weight.detach().clone()
    head.weight.grad = torch.ones_like(before)
    set_rate(optimizer, 0.1)
    optimizer.step()
    torch.testing.assert_close(head.weight.detach(), before - 0.1 * 1.9)


def test_momentum_may_be_off() -> None:
    config = TrainConfig(momentum=0)
    optimizer = build_optimizer(assemble(MODEL), build_head(HeadConfig(), 8, 4), config,
                                backbone_rate=1)  # fmt: skip
    assert not any(group["nesterov"] for group in optimizer.param_groups)
