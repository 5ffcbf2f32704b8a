"""Device and precision: where the model runs and in which number format."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import nn

from cairn.errors import CairnError
from cairn.progress import say


def pick_device(name: str = "auto") -> torch.device:
    """Return the device of that name; ``auto`` is CUDA where present, else the CPU.

    Raises:
        CairnError: The device is unknown or absent.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device: torch.device | None = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise CairnError(
            f"no device {name!r}", where="device", todo="use auto, cpu, cuda or cuda:N"
        )
    if device.type == "cuda" and not torch.cuda.is_available():
        raise CairnError("no CUDA device is at hand", where=name, todo="use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise CairnError(f"there are {count} CUDA devices, counted from 0", where=name)
    return device


def has_bf16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return the autocast context for ``precision``: auto, bf16 or float32."""
    use_bf16 = precision == "bf16" or (precision == "auto" and has_bf16(device))
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=use_bf16)


def compile_backbone(
    model: nn.Module, choice: Literal["auto", "on", "off"], device: torch.device
) -> None:
    """Compile ``model`` in place (torch.compile) where ``choice`` says so; names of weights stay.

    The work is done at the first call. Where the machine cannot compile, this is said and the
    model stays as it is.

    Args:
        model: The embedder, on its device.
        choice: ``auto`` compiles on CUDA alone.
        device: Where it runs.
    """
    if choice == "off" or (choice == "auto" and device.type != "cuda"):
        return
    try:
        torch.compile(torch.nn.functional.gelu)(torch.ones(8, device=device))
    except Exception as error:  # no compiler, no headers, an old GPU: anything may come
        reason = str(error).strip().partition("\n")[0][:200]
        say(f"torch.compile does not work here, going on without it: {reason}")
        return
    model.compile()
