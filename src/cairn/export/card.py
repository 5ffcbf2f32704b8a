"""The card of an export: what it is, how near it comes to its source, how to use it."""

from __future__ import annotations

from cairn.config import ModelConfig
from cairn.exported import Exported


def card(exported: Exported, config: ModelConfig) -> str:
    """Return the README.md of an export."""
    pre, parity = config.preprocess, exported.parity
    shape = ", ".join(map(str, pre.input_shape))
    title = {"onnx": "ONNX", "openvino": "OpenVINO"}[exported.form]
    probes = "photographs" if exported.precision == "int8" else "seeded pictures"
    lines = [
        f"# {config.backbone}, {config.dimension}-d, {title} {exported.precision}",
        "",
        "An export of a Cairn embedder: photograph -> vector of unit length; cosine similarity "
        "compares two.",
        "",
        f"- exported from model {exported.source}; this export is {exported.fingerprint}",
        f"- input `images`: (batch, {shape}) float32; output `embeddings`: "
        f"(batch, {config.dimension}) float32; any batch",
        f"- preprocessing: RGB, upright, {pre.resize} to {pre.image_size} px with "
        f"{pre.interpolation} resampling and antialiasing"
        + (f", crop_pct {pre.crop_pct}" if pre.resize != "squash" else "")
        + f", value / 255, less {list(pre.mean)}, divided by {list(pre.std)}",
        f"- beside float32 PyTorch, {parity['num_probes']} {probes} in batches of "
        f"{', '.join(map(str, parity['batches']))}: least cosine {parity['min_cosine']:.6f}, "
        f"largest difference {parity['max_difference']:.2g} (accepted from "
        f"{parity['tolerance']})",
        *_opset(exported),
        *_int8(exported),
        "",
        "```console",
        "cairn embed <this folder> manifest.parquet --role gallery -o embeddings",
        "cairn recognize gallery photo.jpg --model <this folder>",
        "```",
    ]
    return "\n".join(lines) + "\n"


def _opset(exported: Exported) -> list[str]:
    opset = exported.facts.get("opset")
    return [f"- ONNX opset {opset}"] if exported.form == "onnx" else []


def _int8(exported: Exported) -> list[str]:
    if exported.precision != "int8":
        return []
    lines = [
        "- int8: convolutions and matrix products, weights by channel, ranges from "
        f"{exported.facts['num_calibration']} photographs; the first "
        f"{exported.facts['float32_share_of_layers']:.0%} of the layers (at least one) and "
        "depthwise ones in float32"
    ]
    loss = exported.loss
    if loss is None:
        return [
            *lines,
            "- loss of GAP: not measured. Galleries of the float32 model refuse this export; "
            "`cairn export --int8 --gallery` measures it",
        ]
    verdict = (
        "it stands in for its source at galleries of that model"
        if exported.stands_for
        else "galleries of the float32 model refuse it"
    )
    return [
        *lines,
        f"- GAP of {loss['num_queries']} queries on a gallery of the float32 model: "
        f"{loss['gap_before']:.4f} by it, {loss['gap_after']:.4f} by this export; lost "
        f"{loss['lost']:.4f} [{loss['low']:.4f}, {loss['high']:.4f}], {loss['allowed']} allowed: "
        f"{verdict}",
        f"- accuracy: {loss['accuracy_before']:.4f} and {loss['accuracy_after']:.4f}",
    ]
