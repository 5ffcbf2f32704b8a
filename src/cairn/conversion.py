"""A network in a form that other engines run: ONNX, or OpenVINO's own; for any number of images.

The module converts; it does not run what it made, and does not judge whether it is faithful.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from cairn.domain import Float32
from cairn.errors import CairnError

if TYPE_CHECKING:
    from torch import nn

OPSET = 18
"""ONNX's operator set: the first with all that the exporter writes, and known to every engine of
the last years."""

INPUT_NAME, OUTPUT_NAME = "images", "embeddings"

EXPORT_EXTRA = "pip install 'cairn-landmarks[export]'"


def to_onnx(module: nn.Module, example: Float32) -> bytes:
    """Return ``module`` as the bytes of an ONNX file, its first dimension free.

    Args:
        module: A network in evaluation mode on the CPU: images -> embeddings.
        example: At least two images.

    Raises:
        CairnError: onnx or onnxscript is not installed.
    """
    import torch

    require_packages("onnx", "onnxscript")
    talkative = logging.getLogger("onnxscript")
    level = talkative.level
    talkative.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tracing: what comes out is checked
            program = torch.onnx.export(
                module,
                (torch.from_numpy(example),),
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                input_names=[INPUT_NAME],
                output_names=[OUTPUT_NAME],
                verbose=False,
            )
        assert program is not None
        network: bytes = program.model_proto.SerializeToString()
        return network
    finally:
        talkative.setLevel(level)


def to_openvino(module: nn.Module, example: Float32) -> Any:
    """Return ``module`` as an ``openvino.Model``, its first dimension free.

    Tracing it here halves the converter's own time.
    """
    import torch

    with without_telemetry(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing and its shape constants: the result is checked
        import openvino as ov

        images = torch.from_numpy(example)
        with torch.no_grad():
            traced = torch.jit.freeze(torch.jit.trace(module, images, check_trace=False))  # type: ignore[no-untyped-call]
        return ov.convert_model(traced, example_input=images, input=[-1, *example.shape[1:]])


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Let OpenVINO fall back on its silent stub, as where its telemetry package is not installed.

    That package reports every import and conversion to a server, unasked, from forked processes;
    Cairn sends nothing, and a fork beside Lance's threads may hang.
    """
    name = "openvino_telemetry"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.modules.pop(name, None)


def require_packages(*names: str) -> None:
    """Refuse work that needs packages of the extra ``export`` which are not installed.

    Raises:
        CairnError: One of them is missing.
    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise CairnError(
            f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} not installed",
            where="the extra 'export'",
            todo=EXPORT_EXTRA,
        )
