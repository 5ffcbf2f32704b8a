"""An ONNX network in int8: weights and activations of convolutions and matrix products.

Post-training, static, by ONNX Runtime's tool: activation ranges are measured on photographs of the
kind that will be met, weights are rounded by output channel. The module does not judge what the
result is worth.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable
from pathlib import Path

from cairn.conversion import INPUT_NAME, require_packages
from cairn.domain import Float32

QUANTIZED = ("Conv", "MatMul", "Gemm")
"""Operators that run in int8. The rest (pooling with its powers, norms, softmax, unit length) stays
in float32: it costs little and rounds badly."""


def quantize(network: bytes, images: Iterable[Float32]) -> bytes:
    """Return the ONNX network ``network`` in int8, as the bytes of a file with QDQ nodes.

    Args:
        network: A float32 network.
        images: Normalised photographs, each of the network's input shape, to measure ranges on.

    Raises:
        CairnError: onnx or onnxruntime is not installed.
    """
    require_packages("onnx", "onnxruntime")
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.images = iter(images)

        def get_next(self) -> dict[str, Float32] | None:
            image = next(self.images, None)
            return None if image is None else {INPUT_NAME: image[None]}

    with tempfile.TemporaryDirectory() as folder, _quiet():
        plain, ready, done = (Path(folder) / f"{name}.onnx" for name in ("plain", "ready", "done"))
        plain.write_bytes(network)
        quant_pre_process(str(plain), str(ready), skip_symbolic_shape=True)
        quantize_static(
            str(ready),
            str(done),
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTIZED),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        return done.read_bytes()


class _quiet:  # noqa: N801 (a context manager, used as a function)
    """Keep the tool's advice to itself: it goes to the root logger."""

    def __enter__(self) -> None:
        self.level = logging.root.level
        logging.root.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        logging.root.setLevel(self.level)
