"""An ONNX network in int8: convolutions and matrix products, where that is bearable.

Post-training, static, by ONNX Runtime's tool: activation ranges are running means over photographs
of the kind that will be met, weights are rounded by output channel. Early layers round worst (on
MobileNetV2 the first quarter costs 0.08 of cosine: docs/log.md), so as many of them stay in float32
as it takes; depthwise convolutions, which wait for memory anyway, always do. The module does not
judge what the result is worth.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cairn.conversion import INPUT_NAME, require_packages
from cairn.domain import Float32
from cairn.execution import onnx_forward, onnx_session
from cairn.progress import say, track

QUANTIZED = ("Conv", "MatMul")
"""Operators that run in int8. The rest (pooling with its powers, norms, softmax, context blocks'
and necks' Gemm, unit length) stays in float32: it costs little and rounds badly."""

KEPT = (0.0, 0.1, 0.25, 0.5)
"""Shares of the layers, from the input, that are tried in float32; the first layer always is."""

GOOD = 0.99
"""Mean cosine to float32 on photographs at which no more layers are kept."""


def quantize(
    network: bytes, images: Sequence[Float32], held: Float32, expected_ND: Float32
) -> tuple[bytes, float]:
    """Return the ONNX network in int8 (QDQ nodes), and the share of layers kept in float32.

    Args:
        network: A float32 network.
        images: Normalised photographs, each of the network's input shape, to measure ranges on.
        held: Further ones, to choose how many layers to keep.
        expected_ND: Their embeddings in float32.

    Raises:
        CairnError: onnx or onnxruntime is not installed.
    """
    require_packages("onnx", "onnxruntime")
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, _quiet():
        plain, ready = (Path(folder) / f"{name}.onnx" for name in ("plain", "ready"))
        plain.write_bytes(network)
        quant_pre_process(str(plain), str(ready), skip_symbolic_shape=True)
        ranges = _ranges(ready, Path(folder) / "watched.onnx", images)
        for share in KEPT:
            made = _quantized(ready, ranges, share)
            cosine = float((onnx_forward(made)(held) * expected_ND).sum(axis=1).mean())
            say(f"int8, first {share:.0%} of the layers in float32: mean cosine {cosine:.4f}")
            if cosine >= GOOD:
                break
    return made, share


def _ranges(network: Path, watched: Path, images: Sequence[Float32]) -> Any:
    """Return the mean least and largest activation of every layer's input and output.

    Measured once in float32, whichever layers will be rounded, and by Cairn's own session: the
    tool's threads spin between layers, which beside other work takes several times as long.
    """
    from onnxruntime.quantization.calibrate import CalibrationDataReader, MinMaxCalibrater

    class Calibrater(MinMaxCalibrater):  # type: ignore[misc]
        def create_inference_session(self) -> None:
            self.infer_session = onnx_session(Path(self.augmented_model_path))

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.images = iter(track(images, "ranges", total=len(images)))

        def get_next(self) -> dict[str, Float32] | None:
            image = next(self.images, None)
            return None if image is None else {INPUT_NAME: image[None]}

    calibrater = Calibrater(network, QUANTIZED, str(watched), moving_average=True)
    calibrater.augment_graph()
    calibrater.create_inference_session()
    calibrater.collect_data(Reader())
    return calibrater.compute_data()


def _quantized(network: Path, ranges: Any, share: float) -> bytes:
    """Return the network in int8, the first ``share`` of its layers and depthwise ones left out."""
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    model = onnx.load(network)
    nodes = [node for node in model.graph.node if node.op_type in QUANTIZED]
    first = max(1, round(share * len(nodes)))
    left_out = [*nodes[:first], *(node for node in nodes[first:] if _is_depthwise(node))]
    quantizer = QDQQuantizer(
        model,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=ranges,
        nodes_to_quantize=None,
        nodes_to_exclude=[node.name for node in left_out],
        op_types_to_quantize=list(QUANTIZED),
        extra_options={},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    made: bytes = quantizer.model.model.SerializeToString()
    return made


def _is_depthwise(node: Any) -> bool:
    """Return whether a convolution has a group for nearly every channel (ResNeXt has 32)."""
    return any(attribute.name == "group" and attribute.i > 64 for attribute in node.attribute)


class _quiet:  # noqa: N801 (a context manager, used as a function)
    """Keep the tool's advice to itself: it goes to the root logger."""

    def __enter__(self) -> None:
        self.level = logging.root.level
        logging.root.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        logging.root.setLevel(self.level)
