"""A model folder to an export: a network that runs without PyTorch, with proof that it is the same.

The export is a folder with the network (``model.onnx``, or ``model.xml`` and ``model.bin``), the
model's ``config.json`` (so its preprocessing), ``export.json``, the embeddings of seeded pictures
that every machine must reproduce, and a card. It is written whole or not at all, and only where the
network gave the model's embeddings in batches of several sizes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from cairn.ahead import threaded_map
from cairn.augment import decode_side, eval_transform
from cairn.checkpoint import load_model, model_fingerprint
from cairn.config import ModelConfig, Preprocess
from cairn.conversion import OPSET, require_packages, to_onnx, to_openvino, without_telemetry
from cairn.domain import Float32
from cairn.errors import CairnError, nearest
from cairn.execution import Forward, onnx_forward, openvino_core, openvino_forwards
from cairn.export.card import card
from cairn.export.loss import MAX_LOSS, measure_loss
from cairn.export.parity import BATCHES, LEAST_COSINE, measure_parity
from cairn.export.quantize import quantize
from cairn.exported import (
    FORMATS,
    PROBES_NAME,
    Exported,
    export_fingerprint,
    file_digest,
    is_export,
    write_export,
)
from cairn.gallery import Gallery
from cairn.images import UnreadableImage, decode
from cairn.joint import is_joint
from cairn.manifest import Manifest
from cairn.model import Embedder
from cairn.progress import say, track
from cairn.runs import atomic_folder, require_absent
from cairn.runtime import module_runtime, sample_input

NUM_CALIBRATION = 200
"""Photographs that activation ranges are measured on."""

_NUM_HELD = 32  # further photographs, on which an int8 export is compared with its source
_FEWEST = 8
_SEED = 0


def export_model(
    model_dir: Path,
    out: Path,
    *,
    form: str = "onnx",
    int8: bool = False,
    manifest: Manifest | None = None,
    gallery: Gallery | None = None,
    max_loss: float = MAX_LOSS,
    num_calibration: int = NUM_CALIBRATION,
    tolerance: float | None = None,
    workers: int = 0,
) -> Exported:
    """Export a model to the new folder ``out``, and return what the export says of itself.

    Args:
        model_dir: A model folder.
        out: Where the export goes; must not hold anything yet.
        form: ``onnx`` or ``openvino``.
        int8: Quantise convolutions and matrix products, by ranges measured on photographs.
        manifest: int8: photographs for the ranges (roles train and gallery) and, with ``gallery``,
            labelled queries to measure the loss of GAP on.
        gallery: int8: a gallery that this model made, to measure the loss on.
        max_loss: int8: GAP that may be lost for the export to stand in for the model at galleries
            that the model made.
        num_calibration: Photographs for the ranges, drawn at random with a fixed seed.
        tolerance: The least cosine to float32 PyTorch; by default that of ``LEAST_COSINE``.
        workers: Decoding threads; 0 for as many as processors.

    Raises:
        CairnError: The place is taken, the format unknown, a package of the extra ``export``
            missing, the network cannot be converted, or it does not give the model's embeddings.
    """
    model_dir, out = Path(model_dir), Path(out)
    _check(model_dir, out, form, int8, manifest, gallery, max_loss, num_calibration)
    module, config = load_model(model_dir)
    source, precision = model_fingerprint(model_dir), "int8" if int8 else "float32"
    plain = module_runtime(module, config.preprocess, backend="torch", device="cpu")
    pictures = sample_input(config.preprocess)
    probes = _enough(pictures)
    calibration: list[Float32] = []
    if int8:
        assert manifest is not None
        photographs = _photographs(manifest, config.preprocess, num_calibration, workers)
        kept = max(len(photographs) - _NUM_HELD, min(len(photographs), num_calibration))
        calibration, held = photographs[:kept], photographs[kept:]
        probes = _enough(np.stack(held or calibration[:_NUM_HELD]))
        say(f"int8: ranges from {len(calibration)} photographs")
    bound = LEAST_COSINE[precision] if tolerance is None else tolerance
    with atomic_folder(out) as folder:
        metadata = {
            "cairn_model": source,
            "cairn_preprocess": config.preprocess.model_dump_json(),
        }
        expected = plain(probes)
        conversion = _Conversion(form, module, pictures, calibration, probes, expected, metadata)
        made = conversion.write(folder)
        parity = measure_parity(made, probes, expected, tolerance=bound)
        save_file({"float32": plain(pictures), precision: made(pictures)}, folder / PROBES_NAME)
        shutil.copyfile(model_dir / "config.json", folder / "config.json")
        names = [path.name for path in folder.iterdir() if path.stem == "model"]
        files = {name: file_digest(folder / name) for name in sorted([*names, PROBES_NAME])}
        exported = Exported(
            form=form,
            precision=precision,
            source=source,
            fingerprint=export_fingerprint(source, precision, files),
            files=files,
            parity=parity.to_json(),
            facts={**_facts(config, form, calibration), **conversion.told()},
        )
        write_export(folder, exported)
        if gallery is not None and manifest is not None:
            loss = measure_loss(folder, gallery, manifest, workers=workers)
            exported = replace(exported, loss={**loss.to_json(), "allowed": max_loss})
            write_export(folder, exported)
        (folder / "README.md").write_text(card(exported, config), encoding="utf-8")
    return exported


@dataclass(frozen=True, eq=False)
class _Conversion:
    """One network to one file."""

    form: str
    module: Embedder
    pictures: Float32
    calibration: list[Float32]
    held: Float32
    expected: Float32
    metadata: dict[str, str]

    def told(self) -> dict[str, Any]:
        """Return what the conversion chose."""
        kept = self.metadata.get("cairn_float32_layers")
        return {} if kept is None else {"float32_share_of_layers": float(kept)}

    def write(self, folder: Path) -> Forward:
        """Write the network, and return what runs the file, in its own precision throughout."""
        path = folder / FORMATS[self.form]
        example = self.pictures[:2]
        try:
            if self.form == "onnx":
                path.write_bytes(self._told(self._onnx(example)))
                return onnx_forward(path)
            self._write_openvino(path, example)
            return next(openvino_forwards(path, precisions=("f32",)))[1]
        except CairnError:
            raise
        except Exception as error:  # a converter meets any network and raises nearly anything
            reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
            raise CairnError(
                f"this network cannot be converted: {reason}",
                where=f"format {self.form}",
                todo="try the other format, without --int8",
            ) from error

    def _onnx(self, example: Float32) -> bytes:
        network = to_onnx(self.module, example)
        if not self.calibration:
            return network
        made, kept = quantize(network, self.calibration, self.held, self.expected)
        self.metadata["cairn_float32_layers"] = f"{kept:.2f}"
        return made

    def _told(self, network: bytes) -> bytes:
        """Return the ONNX network with what it is in its own metadata, for who has it alone."""
        import onnx

        model = onnx.load_from_string(network)
        onnx.helper.set_model_props(model, dict(self.metadata))
        onnx.checker.check_model(model)
        told: bytes = model.SerializeToString()
        return told

    def _write_openvino(self, path: Path, example: Float32) -> None:
        with without_telemetry():
            import openvino as ov

        if self.calibration:  # OpenVINO reads ONNX's quantised nodes and runs them in int8
            network = openvino_core().read_model(model=self._onnx(example))
        else:
            network = to_openvino(self.module, example)
        ov.save_model(network, path, compress_to_fp16=False)


def _check(
    model_dir: Path,
    out: Path,
    form: str,
    int8: bool,
    manifest: Manifest | None,
    gallery: Gallery | None,
    max_loss: float,
    num_calibration: int,
) -> None:
    """Refuse what cannot come to anything before any work."""
    if form not in FORMATS:
        raise CairnError(f"unknown format {form!r}", where="--format", todo=nearest(form, FORMATS))
    require_absent(out)
    if is_export(model_dir):
        raise CairnError(
            "this is an export already",
            where=model_dir,
            todo="give the model folder that it was made of",
        )
    if is_joint(model_dir):
        raise CairnError(
            "a joint model is several networks, and an export is one",
            where=model_dir,
            todo="export its members, the model folders in members/",
        )
    if form == "onnx" or int8:
        require_packages("onnx", "onnxscript", "onnxruntime")
    else:
        require_packages("openvino")
    if int8 and manifest is None:
        raise CairnError(
            "int8 needs photographs to measure ranges on",
            where="--int8",
            todo="add --data manifest.parquet",
        )
    if not int8 and gallery is not None:
        raise CairnError(
            "a float32 export gives the model's own embeddings: no GAP is lost",
            where="--gallery",
            todo="leave --gallery out, or add --int8",
        )
    if gallery is not None and gallery.table.fingerprint != model_fingerprint(model_dir):
        raise CairnError(
            f"the gallery was made by model {gallery.table.fingerprint}, not by this one",
            where=gallery.location,
            todo=f"export the gallery's own model: {gallery.model_dir}",
        )
    if num_calibration < _FEWEST or not max_loss >= 0:
        raise CairnError(
            f"num_calibration must be at least {_FEWEST} and max_loss at least 0",
            where=f"num_calibration = {num_calibration}, max_loss = {max_loss}",
        )


def _enough(pictures: Float32) -> Float32:
    """Return the pictures, mirrored ones after them where they fill no largest batch."""
    while len(pictures) < max(BATCHES):
        pictures = np.concatenate([pictures, np.ascontiguousarray(pictures[..., ::-1])])
    return pictures


def _photographs(
    manifest: Manifest, preprocess: Preprocess, num_calibration: int, workers: int
) -> list[Float32]:
    """Return up to ``num_calibration`` training photographs as input, and some to compare on."""
    usable = manifest.select("train", "gallery")
    rng = np.random.default_rng(_SEED)
    wanted = min(len(usable), num_calibration + _NUM_HELD)
    rows = rng.permutation(len(usable))[:wanted]
    paths = [usable.paths[int(row)] for row in rows]
    prepare = _preparer(preprocess)
    found: list[Float32] = []
    for image in threaded_map(
        prepare, track(paths, "read", total=wanted), ahead=16, workers=workers
    ):
        if image is not None:
            found.append(image)
    if len(found) < wanted:
        say(f"{wanted - len(found)} of {wanted} photographs cannot be read and are left out")
    if len(found) < _FEWEST:
        raise CairnError(
            f"int8 needs at least {_FEWEST} readable photographs of role train or gallery, "
            f"not {len(found)}",
            where=manifest.root,
            todo="give a manifest of more photographs",
        )
    return found


def _preparer(preprocess: Preprocess) -> Callable[[Path], Float32 | None]:
    transform, min_side = eval_transform(preprocess), decode_side(preprocess)

    def prepare(path: Path) -> Float32 | None:
        try:
            return transform(decode(path, min_side=min_side))
        except UnreadableImage:
            return None

    return prepare


def _facts(config: ModelConfig, form: str, calibration: list[Float32]) -> dict[str, Any]:
    """Return what people may want to know of an export's making."""
    engines = ["torch", "openvino"] if form == "openvino" else ["torch"]
    if form == "onnx" or calibration:
        engines += ["onnx", "onnxscript", "onnxruntime"]
    return {
        "dimension": config.dimension,
        "input": ["batch", *config.preprocess.input_shape],
        "opset": OPSET if form == "onnx" or calibration else None,
        "num_calibration": len(calibration),
        "versions": dict(_versions(engines)),
    }


def _versions(names: list[str]) -> Iterator[tuple[str, str]]:
    for name in ("cairn-landmarks", *names):
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
