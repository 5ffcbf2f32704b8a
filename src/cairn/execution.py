"""Converted networks, run on the processor: ONNX Runtime, and OpenVINO in what precisions it has.

The module does not know where a network came from, nor whether it is faithful to anything.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from cairn.ahead import num_processors
from cairn.conversion import INPUT_NAME, require_packages, without_telemetry
from cairn.domain import Float32

Forward: TypeAlias = Callable[[Float32], Float32]
"""Images of one batch -> their embeddings."""


def onnx_session(model: bytes | Path) -> Any:
    """Return an ONNX network loaded by ONNX Runtime, to run by one thread a processor.

    Raises:
        CairnError: onnxruntime is not installed.
    """
    require_packages("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Said here, so that it neither counts processors that are not ours nor binds threads to them.
    options.intra_op_num_threads = num_processors()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def onnx_forward(model: bytes | Path) -> Forward:
    """Return what runs an ONNX network through ONNX Runtime.

    Raises:
        CairnError: onnxruntime is not installed.
    """
    session = onnx_session(model)

    def forward(images_BCHW: Float32) -> Float32:
        embeddings: Float32 = session.run(None, {INPUT_NAME: images_BCHW})[0]
        return embeddings

    return forward


@cache
def openvino_core() -> Any:
    """Return the process's one ``openvino.Core``, which lives as long as the process.

    OpenVINO gives the thread that first uses its processor plugin a signal stack, and unmaps that
    stack when the last network goes, in whatever thread: a Ctrl-C in the first thread would then
    end the process by a segmentation fault. A plugin that never goes leaves the stack alone.
    """
    with without_telemetry(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import openvino as ov

    return ov.Core()


def openvino_forwards(
    model: Any, *, precisions: tuple[str, ...] = ("bf16", "f32")
) -> Iterator[tuple[str, Forward]]:
    """Yield named ways of running a network through OpenVINO, the quickest first.

    Args:
        model: An ``openvino.Model``, or the path of one, or of an ONNX file.
        precisions: Of what is not quantised; bf16 only where the processor has it.
    """
    core = openvino_core()
    network = core.read_model(model) if isinstance(model, Path) else model
    has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    for precision in precisions:
        if precision == "bf16" and not has_bf16:
            continue
        hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
        compiled = core.compile_model(network, "CPU", hints)
        yield f"OpenVINO on CPU, {precision}", _openvino_forward(compiled)


def _openvino_forward(compiled: Any) -> Forward:
    def forward(images_BCHW: Float32) -> Float32:
        embeddings: Float32 = compiled(images_BCHW)[0]
        return embeddings

    return forward
