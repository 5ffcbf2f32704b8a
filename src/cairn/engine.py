"""Device and precision: where the model runs and in which number format."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from cairn.errors import CairnError


def pick_device(name: str = "auto") -> torch.device:
    """Return the device of that name; ``auto`` is CUDA where present, else the CPU.

    Raises:
        CairnError: The device is unknown or absent.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise CairnError(f"no device {name!r}", todo="use auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise CairnError("no CUDA device is at hand", where=name, todo="use --device cpu")
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
