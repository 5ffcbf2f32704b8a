from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cairn.config import HeadConfig, ModelConfig, Preprocess, TrainConfig
from cairn.errors import CairnError
from cairn.heads import build_head
from cairn.model import Embedder, assemble
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
    model, head = assemble(MODEL), build_head(HeadConfig(), 8, np.full(4, 2))
    config = TrainConfig(weight_decay=0.1, neck_rate=0.5, learning_rate=2.0, backbone_rate=0.25)
    optimizer = build_optimizer(model, head, config, loaded=True)
    known = [p for group in optimizer.param_groups for p in group["params"]]
    everything = [*model.parameters(), *head.parameters()]
    assert len(known) == len(everything)
    assert {id(p) for p in known} == {id(p) for p in everything}
    of = {
        id(p): (group["factor"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    assert model.pool is not None
    for part, factor in ((model.backbone, 0.25), (model.neck, 0.5), (model.pool, 1), (head, 1)):
        for name, parameter in part.named_parameters():
            own = 1.0 if ".se." in name else factor  # Global Context blocks are new parts
            expected = (own, 0.1 if parameter.ndim > 1 else 0.0)
            assert of[id(parameter)] == expected, name
    set_rate(optimizer, 0.4)
    assert {group["lr"] for group in optimizer.param_groups} == {0.1, 0.2, 0.4}


def test_a_step_of_nesterov_by_hand() -> None:
    """v = g, then p - lr * (g + momentum * v): the first step has no past."""
    model, head = assemble(MODEL), build_head(HeadConfig(), 8, np.full(4, 2))
    config = TrainConfig(weight_decay=0, momentum=0.9, learning_rate=0.1)
    optimizer = build_optimizer(model, head, config, loaded=False)
    before = head.weight.detach().clone()
    head.weight.grad = torch.ones_like(before)
    set_rate(optimizer, 0.1)
    optimizer.step()
    torch.testing.assert_close(head.weight.detach(), before - 0.1 * 1.9)


def test_momentum_may_be_off() -> None:
    config = TrainConfig(momentum=0)
    optimizer = build_optimizer(assemble(MODEL), build_head(HeadConfig(), 8, np.full(4, 2)), config,
                                loaded=False)  # fmt: skip
    assert not any(group["nesterov"] for group in optimizer.param_groups)


def vit() -> Embedder:
    args = {"depth": 3, "embed_dim": 12, "num_heads": 2, "img_size": 32}
    return assemble(
        ModelConfig(backbone="vit_tiny_patch16_224", gc=False, pool="avg", dimension=8,
                    backbone_args=args, preprocess=Preprocess(image_size=32))
    )  # fmt: skip


def factors(model: Embedder, config: TrainConfig, *, loaded: bool = True) -> dict[str, float]:
    optimizer = build_optimizer(model, torch.nn.Linear(2, 2), config, loaded=loaded)
    of = {id(p): group["factor"] for group in optimizer.param_groups for p in group["params"]}
    return {name: of[id(p)] for name, p in model.backbone.named_parameters()}


def test_layers_learn_the_less_the_farther_from_the_output_by_hand() -> None:
    config = TrainConfig(layer_decay=0.5, backbone_rate=0.1)
    of = factors(vit(), config)
    assert of["norm.weight"] == pytest.approx(0.1)
    assert of["blocks.2.mlp.fc1.weight"] == pytest.approx(0.1), "timm puts the norm with it"
    assert of["blocks.1.mlp.fc1.weight"] == pytest.approx(0.05)
    assert of["blocks.0.attn.qkv.bias"] == pytest.approx(0.025)
    assert of["patch_embed.proj.weight"] == of["cls_token"] == pytest.approx(0.0125)
    residual = factors(assemble(MODEL), config)
    assert residual["layer4.0.conv1.weight"] == pytest.approx(0.1)
    assert residual["layer1.0.conv1.weight"] == pytest.approx(0.1 / 8)
    assert residual["conv1.weight"] == pytest.approx(0.1 / 16)


def test_new_parts_of_a_loaded_backbone_learn_at_the_full_rate() -> None:
    of = factors(assemble(MODEL), TrainConfig(layer_decay=0.5, backbone_rate=0.1))
    fresh = {name: factor for name, factor in of.items() if "attend" in name or "squeeze" in name}
    assert fresh
    assert set(fresh.values()) == {1.0}
    scratch = factors(
        assemble(MODEL), TrainConfig(layer_decay=0.5, backbone_rate=0.1), loaded=False
    )
    assert set(scratch.values()) == {1.0}


def test_a_backbone_without_numbered_layers_is_refused() -> None:
    model = assemble(MODEL)
    model.backbone = torch.nn.Linear(2, 2)
    with pytest.raises(CairnError, match="does not number the layers of Linear"):
        factors(model, TrainConfig(layer_decay=0.5))


def test_position_embeddings_and_tokens_do_not_decay() -> None:
    model = vit()
    config = TrainConfig(weight_decay=0.1)
    optimizer = build_optimizer(model, torch.nn.Linear(2, 2), config, loaded=False)
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    own = dict(model.backbone.named_parameters())
    assert own["pos_embed"].ndim > 1
    assert decay[id(own["pos_embed"])] == decay[id(own["cls_token"])] == 0
    assert decay[id(own["blocks.0.mlp.fc1.weight"])] == 0.1


def test_steps_of_adamw_by_hand() -> None:
    """Loshchilov and Hutter 2019, algorithm 2, in float64."""
    model, head = assemble(MODEL), torch.nn.Linear(3, 2, bias=False)
    config = TrainConfig(optimizer="adamw", learning_rate=0.1, weight_decay=0.2, momentum=0.8)
    optimizer = build_optimizer(model, head, config, loaded=False)
    set_rate(optimizer, 0.1)
    weight = head.weight.detach().double()
    first = second = torch.zeros_like(weight)
    for step in range(1, 4):
        gradient = torch.arange(6.0).reshape(2, 3) * step - 2
        head.weight.grad = gradient.clone()
        optimizer.step()
        first = 0.8 * first + 0.2 * gradient
        second = 0.999 * second + 0.001 * gradient.double() ** 2
        root = (second / (1 - 0.999**step)).sqrt() + 1e-8
        weight = weight * (1 - 0.1 * 0.2) - 0.1 * first / (1 - 0.8**step) / root
    torch.testing.assert_close(head.weight.detach().double(), weight, rtol=1e-5, atol=1e-6)


def test_steps_of_sgd_by_hand() -> None:
    """v = momentum * v + (g + decay * p); p - lr * (g + decay * p + momentum * v)."""
    model, head = assemble(MODEL), torch.nn.Linear(3, 2, bias=False)
    config = TrainConfig(learning_rate=0.1, weight_decay=0.2, momentum=0.8)
    optimizer = build_optimizer(model, head, config, loaded=False)
    weight = head.weight.detach().double()
    velocity = torch.zeros_like(weight)
    for step in range(1, 4):
        set_rate(optimizer, 0.1 * step)
        gradient = torch.arange(6.0).reshape(2, 3) * step - 2
        head.weight.grad = gradient.clone()
        optimizer.step()
        slope = gradient + 0.2 * weight
        velocity = 0.8 * velocity + slope
        weight = weight - 0.1 * step * (slope + 0.8 * velocity)
    torch.testing.assert_close(head.weight.detach().double(), weight, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_steps_are_fused_where_torch_can(name: str) -> None:
    config = TrainConfig.model_validate({"optimizer": name})
    for device, fused in (("cpu", True), ("meta", False)):
        head = torch.nn.Linear(2, 2, device=device)
        optimizer = build_optimizer(assemble(MODEL), head, config, loaded=False)
        assert {group["fused"] for group in optimizer.param_groups} == {fused}
