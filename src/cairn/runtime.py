"""Running an embedder: PyTorch on GPU or CPU, OpenVINO on CPU, checked against float32 PyTorch.

A faster way of running is taken only where it gives the same embeddings: each is tried on seeded
pictures when loaded, and one whose cosine to float32 PyTorch falls below ``FAITHFUL`` gives way to
the next, plain PyTorch being the last. The module does not know where images come from.

Legend of shapes: B images, D embedding dimensions, S side of the square input in pixels.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from cairn.config import Preprocess
from cairn.domain import Float32
from cairn.errors import CairnError, nearest
from cairn.joint import concatenated, is_joint, member_folders, read_joint
from cairn.progress import say

if TYPE_CHECKING:
    import torch
    from torch import nn

Forward: TypeAlias = Callable[[Float32], Float32]

BACKENDS = ("auto", "torch", "openvino")
FAITHFUL = 0.999
"""Least cosine to float32 PyTorch that a faster way of running must reach on every test picture."""

_NUM_PICTURES = 6


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
    """

    forward: Forward
    fingerprint: str
    preprocess: Preprocess
    dimension: int
    description: str
    parts: tuple[Runtime, ...] = ()

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
    """Return the embedder in a model folder, ready to run.

    Args:
        model_dir: A folder with config.json and model.safetensors.
        backend: ``torch``, ``openvino`` (CPU only), or ``auto``: PyTorch on a GPU, otherwise
            OpenVINO where it is installed.
        device: ``cpu``, ``cuda``, ``cuda:1`` ..., or ``auto``: a GPU where there is one.

    Raises:
        CairnError: The folder is no model, or the backend or device cannot be had.
    """
    from cairn.checkpoint import load_model, model_fingerprint

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

    if backend not in BACKENDS:
        raise CairnError(f"unknown backend {backend!r}", todo=nearest(backend, BACKENDS))
    target = _device(device, backend)
    module = module.eval().to(target, memory_format=torch.channels_last)  # type: ignore[call-overload]
    pictures = sample_input(preprocess)
    plain = _torch_forward(module, target, None)
    expected = plain(pictures)
    forward, description = plain, f"PyTorch on {target}, float32"
    for name, faster in _faster(module, target, backend, pictures):
        cosine = float((faster(pictures) * expected).sum(axis=1).min())
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


def _device(name: str, backend: str) -> torch.device:
    from cairn.engine import pick_device

    if backend != "openvino":
        return pick_device(name)
    if name not in ("auto", "cpu"):
        raise CairnError(
            "OpenVINO runs on the CPU here", where=name, todo="give backend torch, or device cpu"
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
    if find_spec("openvino") is None:
        if backend == "openvino":
            raise CairnError(
                "OpenVINO is not installed", todo="pip install openvino, or give backend torch"
            )
        return
    try:
        yield from _openvino_forwards(module, pictures)
    except Exception as error:  # a converter meets any network and raises nearly anything
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        say(f"OpenVINO cannot run this model ({reason}); PyTorch does")


def _openvino_forwards(module: nn.Module, pictures: Float32) -> Iterator[tuple[str, Forward]]:
    with _no_telemetry(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing and its shape constants: the result is checked
        import openvino as ov

        converted = _converted(ov, module, pictures[:2])
    core = ov.Core()
    precisions = ["f32"]
    if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        precisions.insert(0, "bf16")
    for precision in precisions:
        hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
        yield (
            f"OpenVINO on CPU, {precision}",
            _openvino_forward(core.compile_model(converted, "CPU", hints)),
        )


@contextmanager
def _no_telemetry() -> Iterator[None]:
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


def _converted(ov: Any, module: nn.Module, example: Float32) -> Any:
    """Return the network for any batch size; tracing it here halves the converter's own time."""
    import torch

    images = torch.from_numpy(example)
    with torch.no_grad():
        traced = torch.jit.freeze(torch.jit.trace(module, images, check_trace=False))  # type: ignore[no-untyped-call]
    return ov.convert_model(traced, example_input=images, input=[-1, *example.shape[1:]])


def _openvino_forward(compiled: Any) -> Forward:
    def forward(images_BCHW: Float32) -> Float32:
        embeddings: Float32 = compiled(images_BCHW)[0]
        return embeddings

    return forward
