"""Running an embedder: PyTorch on GPU or CPU; OpenVINO or ONNX Runtime on CPU; checked.

A faster way of running is taken only where it gives the same embeddings: each is tried on seeded
pictures when loaded, and one whose cosine to float32 PyTorch falls below ``FAITHFUL`` gives way to
the next, plain PyTorch being the last. An exported model has no PyTorch to fall back on, but its
embeddings of those pictures: one that gives others here is refused. The module does not know where
images come from.

Legend of shapes: B images, D embedding dimensions, S side of the square input in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cairn.config import Preprocess
from cairn.conversion import require_packages, to_onnx, to_openvino
from cairn.domain import Float32
from cairn.errors import CairnError, nearest
from cairn.execution import Forward, onnx_forward, openvino_forwards
from cairn.exported import PROBES_NAME, Exported, is_export, read_export
from cairn.joint import concatenated, is_joint, member_folders, read_joint
from cairn.progress import say

if TYPE_CHECKING:
    import torch
    from torch import nn

BACKENDS = ("auto", "torch", "openvino", "onnx")
FAITHFUL = 0.999
"""Least cosine to float32 PyTorch that a faster way of running must reach on every test picture."""

SAME_INT8 = 0.99
"""Least cosine of an int8 export to its own embeddings at export: processors with and without
instructions for int8 round sums differently."""

_NUM_PICTURES = 6
_CPU_ENGINES = {"openvino": "OpenVINO", "onnx": "ONNX Runtime"}


@dataclass(frozen=True, eq=False)
class Runtime:
    """A loaded embedder: (B, 3, S, S) float32 -> (B, D) float32 of unit length.

    A model that looks at V views takes (B, V, 3, S, S): see ``Preprocess.input_shape``.

    Call it from one thread at a time.

    Args:
        forward: What runs the network.
        fingerprint: The model's fingerprint, which the tables it makes carry; "" for a model that
            is in no folder.
        preprocess: How photographs become its input; of a joint model, its first member's.
        dimension: D.
        description: Backend, device and precision, for people.
        parts: The members of a joint model, whose inputs lie flat, one after the other, in its own;
            none for a single one.
        stands_for: ``Exported.stands_for`` of an export; "" for a model.
    """

    forward: Forward
    fingerprint: str
    preprocess: Preprocess
    dimension: int
    description: str
    parts: tuple[Runtime, ...] = ()
    stands_for: str = ""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one photograph's input."""
        if self.parts:
            return (sum(math.prod(part.input_shape) for part in self.parts),)
        return self.preprocess.input_shape

    def __call__(self, images_BCHW: Float32) -> Float32:
        """Return the (B, D) embeddings of normalised images.

        Raises:
            CairnError: The array is not float32 of B times ``input_shape``.
        """
        shape = self.input_shape
        if images_BCHW.shape[1:] != shape or images_BCHW.dtype != np.float32:
            raise CairnError(
                f"this model takes (B, {', '.join(map(str, shape))}) float32 images",
                where=f"{images_BCHW.shape} {images_BCHW.dtype}",
            )
        if len(images_BCHW) == 0:
            return np.empty((0, self.dimension), dtype=np.float32)
        return self.forward(np.ascontiguousarray(images_BCHW))


def load_runtime(model_dir: Path, *, backend: str = "auto", device: str = "auto") -> Runtime:
    """Return the embedder in a model folder, or in an export of one, ready to run.

    Args:
        model_dir: A folder with config.json and model.safetensors, or what `cairn.export` wrote.
        backend: ``torch``; ``openvino`` or ``onnx`` (ONNX Runtime), on the CPU only; or ``auto``:
            PyTorch on a GPU, otherwise OpenVINO where it is installed, and for an export the engine
            it was made for.
        device: ``cpu``, ``cuda``, ``cuda:1`` ..., or ``auto``: a GPU where there is one.

    Raises:
        CairnError: The folder is no model, the backend or device cannot be had, or an export does
            not give here what it gave where it was made.
    """
    from cairn.checkpoint import load_model, model_fingerprint

    if is_export(model_dir):
        return _exported_runtime(Path(model_dir), backend=backend, device=device)
    if is_joint(model_dir):
        parts = [
            load_runtime(member, backend=backend, device=device)
            for member in member_folders(model_dir)
        ]
        fingerprint = model_fingerprint(Path(model_dir))
        return joint_runtime(parts, read_joint(model_dir).weights, fingerprint=fingerprint)
    module, config = load_model(Path(model_dir))
    return module_runtime(
        module,
        config.preprocess,
        fingerprint=model_fingerprint(Path(model_dir)),
        backend=backend,
        device=device,
    )


def joint_runtime(
    parts: Sequence[Runtime], weights: Sequence[float], *, fingerprint: str
) -> Runtime:
    """Return the members of a joint model as one runtime (`cairn.joint`)."""

    def forward(inputs_BN: Float32) -> Float32:
        ends = np.cumsum([math.prod(part.input_shape) for part in parts])[:-1]
        vectors = [
            part(np.ascontiguousarray(of_part).reshape(-1, *part.input_shape))
            for part, of_part in zip(parts, np.split(inputs_BN, ends, axis=1), strict=True)
        ]
        return concatenated(vectors, weights)

    description = "; ".join(dict.fromkeys(part.description for part in parts))
    dimension = sum(part.dimension for part in parts)
    first = parts[0].preprocess
    return Runtime(forward, fingerprint, first, dimension, description, tuple(parts))


def module_runtime(
    module: nn.Module,
    preprocess: Preprocess,
    *,
    fingerprint: str = "",
    backend: str = "torch",
    device: str = "auto",
) -> Runtime:
    """Return ``module`` (images -> unit vectors) as a runtime, in evaluation mode from now on.

    With ``backend="torch"`` the module is moved, not copied: later changes of its weights show.

    Raises:
        CairnError: The backend or device cannot be had.
    """
    import torch

    _require_backend(backend)
    target = _device(device, backend)
    module = module.eval().to(target, memory_format=torch.channels_last)  # type: ignore[call-overload]
    pictures = sample_input(preprocess)
    plain = _torch_forward(module, target, None)
    expected = plain(pictures)
    forward, description = plain, f"PyTorch on {target}, float32"
    for name, faster in _faster(module, target, backend, pictures):
        cosine = _least_cosine(faster(pictures), expected)
        if cosine >= FAITHFUL:
            forward, description = faster, name
            break
        say(f"{name}: cosine {cosine:.5f} to float32 PyTorch is below {FAITHFUL}; not used")
    return Runtime(forward, fingerprint, preprocess, int(expected.shape[1]), description)


def sample_pictures(side: int) -> Float32:
    """Return (6, 3, side, side) seeded pictures, normalised about as photographs are.

    They have structure at all scales, channels that agree for the most part, and run from sharp to
    blurred, dark to bright and flat to rich in contrast. White noise, or full contrast throughout,
    would flatter a low precision: MobileNetV2 in bf16 keeps a cosine of 0.998 on such pictures, but
    0.987 to 0.995 on photographs and on these.
    """
    random = np.random.default_rng(20)
    shape = (_NUM_PICTURES, 3, side, side)
    pictures = np.zeros(shape, dtype=np.float32)
    blur = np.linspace(0, 2, _NUM_PICTURES, dtype=np.float32)[:, None, None, None]
    cells = 2
    while cells <= side:
        gray = random.standard_normal((_NUM_PICTURES, 1, cells, cells), dtype=np.float32)
        colour = random.standard_normal((_NUM_PICTURES, 3, cells, cells), dtype=np.float32)
        at = np.arange(side) * cells // side
        weight = np.float32(min(1.0, 4 / cells)) ** blur
        pictures += weight * (gray + np.float32(0.3) * colour)[:, :, at[:, None], at]
        cells *= 2
    pictures /= pictures.std(axis=(1, 2, 3), keepdims=True)
    contrast = random.permutation(np.linspace(0.25, 1, _NUM_PICTURES)).reshape(-1, 1, 1, 1)
    brightness = random.permutation(np.linspace(-1, 1, _NUM_PICTURES)).reshape(-1, 1, 1, 1)
    return pictures * contrast.astype(np.float32) + brightness.astype(np.float32)


def sample_input(preprocess: Preprocess) -> Float32:
    """Return (6, ...) input of a model made of `sample_pictures`, another picture in each view."""
    *views, _, side, _ = preprocess.input_shape
    pictures = sample_pictures(side)
    if not views:
        return pictures
    return np.stack([np.roll(pictures, view, axis=0) for view in range(views[0])], axis=1)


def _exported_runtime(folder: Path, *, backend: str, device: str) -> Runtime:
    """Return an export as a runtime, having seen that it gives here what it gave when made."""
    from safetensors.numpy import load_file

    from cairn.weights import read_config

    _require_backend(backend)
    exported, preprocess = read_export(folder), read_config(folder).preprocess
    if backend == "torch" or device not in ("auto", "cpu"):
        raise CairnError(
            "an export runs on the CPU, through ONNX Runtime or OpenVINO",
            where=folder,
            todo=f"for PyTorch or a GPU, give the model folder it was made of ({exported.source})",
        )
    expected = load_file(folder / PROBES_NAME)[exported.precision]
    pictures = sample_input(preprocess)
    least = FAITHFUL if exported.precision == "float32" else SAME_INT8
    for name, forward in _exported_forwards(exported, folder / exported.network, backend):
        cosine = _least_cosine(forward(pictures), expected)
        if cosine >= least:
            told = name if exported.precision == "float32" else f"{name}, int8"
            return Runtime(
                forward,
                exported.fingerprint,
                preprocess,
                int(expected.shape[1]),
                f"{told} (export)",
                stands_for=exported.stands_for,
            )
        say(f"{name}: cosine {cosine:.5f} to this export when made is below {least}; not used")
    raise CairnError(
        "the export does not give here what it gave where it was made",
        where=folder,
        todo="export the model on this machine, or try another --backend",
    )


def _exported_forwards(
    exported: Exported, network: Path, backend: str
) -> Iterator[tuple[str, Forward]]:
    if exported.form == "openvino" and backend == "onnx":
        raise CairnError(
            "this export is for OpenVINO", where=network, todo="give backend openvino or auto"
        )
    if exported.form == "onnx" and backend != "openvino":
        yield "ONNX Runtime on CPU", onnx_forward(network)
        return
    _require_openvino()
    precisions = ("bf16", "f32") if exported.precision == "float32" else ("f32",)
    yield from openvino_forwards(network, precisions=precisions)


def _least_cosine(vectors_BD: Float32, others_BD: Float32) -> float:
    return float((vectors_BD * others_BD).sum(axis=1).min())


def _require_backend(backend: str) -> None:
    if backend not in BACKENDS:
        raise CairnError(f"unknown backend {backend!r}", todo=nearest(backend, BACKENDS))


def _require_openvino() -> None:
    if find_spec("openvino") is None:
        raise CairnError("OpenVINO is not installed", todo="pip install openvino, or use torch")


def _device(name: str, backend: str) -> torch.device:
    from cairn.engine import pick_device

    if backend not in _CPU_ENGINES:
        return pick_device(name)
    if name not in ("auto", "cpu"):
        raise CairnError(
            f"{_CPU_ENGINES[backend]} runs on the CPU here",
            where=name,
            todo="give backend torch, or device cpu",
        )
    return pick_device("cpu")


def _torch_forward(
    module: nn.Module, device: torch.device, precision: torch.dtype | None
) -> Forward:
    import torch

    def forward(images_BCHW: Float32) -> Float32:
        with (
            torch.inference_mode(),
            torch.autocast(device.type, dtype=precision, enabled=precision is not None),
        ):
            images = torch.from_numpy(images_BCHW).to(device)
            embeddings: Float32 = module(images).float().cpu().numpy()
        return embeddings

    return forward


def _faster(
    module: nn.Module, device: torch.device, backend: str, pictures: Float32
) -> Iterator[tuple[str, Forward]]:
    """Yield named ways of running that are quicker than float32 PyTorch, the quickest first."""
    import torch

    from cairn.engine import has_bf16

    if device.type == "cuda":
        precision = torch.bfloat16 if has_bf16(device) else torch.float16
        name = f"PyTorch on {torch.cuda.get_device_name(device)}, {str(precision)[6:]}"
        yield name, _torch_forward(module, device, precision)
        return
    if backend == "torch":
        return
    if backend == "openvino":
        _require_openvino()
    elif backend == "onnx":
        require_packages("onnx", "onnxscript", "onnxruntime")
    elif find_spec("openvino") is None:
        return
    try:
        if backend == "onnx":
            yield "ONNX Runtime on CPU", onnx_forward(to_onnx(module, pictures[:2]))
        else:
            yield from openvino_forwards(to_openvino(module, pictures[:2]))
    except Exception as error:  # a converter meets any network and raises nearly anything
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        engine = _CPU_ENGINES.get(backend, "OpenVINO")
        say(f"{engine} cannot run this model ({reason}); PyTorch does")
