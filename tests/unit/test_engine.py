from __future__ import annotations

import pytest
import torch

from cairn.engine import autocast, compile_backbone, has_bf16, pick_device
from cairn.errors import CairnError

CPU = torch.device("cpu")


def test_devices_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pick_device("cpu") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device() == CPU
    with pytest.raises(CairnError, match="no CUDA device") as caught:
        pick_device("cuda:1")
    assert "--device cpu" in caught.value.todo
    for name in ("gpu", "meta", "cuda:x", "mps"):
        with pytest.raises(CairnError, match=f"no device '{name}'"):
            pick_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device() == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(CairnError, match="2 CUDA devices"):
        pick_device("cuda:2")


@pytest.mark.parametrize("available", [True, False])
@pytest.mark.parametrize("precision", ["auto", "bf16", "float32"])
def test_precision_of_matrix_products(
    precision: str, available: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cairn.engine.has_bf16", lambda _: available)
    use_bf16 = precision == "bf16" or (precision == "auto" and available)
    one = torch.ones(2, 2)
    with autocast(CPU, precision):
        assert (one @ one).dtype == (torch.bfloat16 if use_bf16 else torch.float32)
    assert (one @ one).dtype == torch.float32


def test_the_processor_says_whether_it_has_bf16() -> None:
    assert isinstance(has_bf16(CPU), bool)


def test_compiling_keeps_the_names_of_weights_and_can_be_switched_off() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 2))
    names = list(model.state_dict())
    for choice in ("off", "auto"):
        compile_backbone(model, choice, CPU)
        assert model._compiled_call_impl is None
    assert list(model.state_dict()) == names


def test_a_machine_without_a_compiler_goes_on_without(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(function: object) -> object:
        raise RuntimeError("no C++ compiler\nand more")

    monkeypatch.setattr(torch, "compile", broken)
    model = torch.nn.Linear(4, 2)
    compile_backbone(model, "on", CPU)
    assert model._compiled_call_impl is None
    assert "no C++ compiler" in capsys.readouterr().err
    assert model(torch.ones(1, 4)).shape == (1, 2)
