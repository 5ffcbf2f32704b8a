"""What an export folder says of itself, and that its files are the ones it was written with.

An export is a model folder without a network in PyTorch's form: ``config.json`` is the model's,
``export.json`` what is told here. The module neither converts nor runs anything.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cairn.errors import CairnError
from cairn.runs import read_json, write_json

EXPORT_NAME = "export.json"
EXPORT_FORMAT = 1
"""Version of ``export.json``."""

PROBES_NAME = "probes.safetensors"
"""Embeddings (6, D) of `cairn.runtime.sample_input`, which every machine that loads the export
must reproduce."""

FORMATS = {"onnx": "model.onnx", "openvino": "model.xml"}
"""Formats, and the file that holds the network."""

PRECISIONS = ("float32", "int8")


@dataclass(frozen=True)
class Exported:
    """An export, as its ``export.json`` has it.

    Args:
        form: ``onnx`` or ``openvino``.
        precision: ``float32`` or ``int8``.
        source: Fingerprint of the model folder that was exported.
        fingerprint: Names what the export computes. In float32 that is what its source computes,
            so the two are equal; in int8 it is another model.
        files: SHA-256 of every file that the fingerprint speaks for, by name.
        parity: How near it comes to its source on seeded pictures.
        facts: Opset, versions, calibration; for people.
        loss: int8: the measured loss of GAP, and the most that was allowed; None where it was not
            measured.
    """

    form: str
    precision: str
    source: str
    fingerprint: str
    files: dict[str, str]
    parity: dict[str, Any]
    facts: dict[str, Any]
    loss: dict[str, Any] | None = None

    @property
    def stands_for(self) -> str:
        """Fingerprint of the model whose galleries it may be asked about, or "".

        An int8 export's vectors differ from its source's; it may stand in for it where the loss of
        GAP was measured, and was at most what the person who exported it allows.
        """
        if self.precision == "float32":
            return self.source
        if self.loss is None or self.loss["lost"] > self.loss["allowed"]:
            return ""
        return self.source

    @property
    def network(self) -> str:
        """Name of the file that holds the network."""
        return FORMATS[self.form]


def is_export(folder: Path) -> bool:
    """Return whether ``folder`` is an export, rather than a model folder."""
    return (Path(folder) / EXPORT_NAME).is_file()


def read_export(folder: Path, *, check_files: bool = True) -> Exported:
    """Return what an export folder says of itself.

    Args:
        folder: What `cairn.export` wrote.
        check_files: Read its files through, and refuse them where they are not those it names.

    Raises:
        CairnError: It is no export, of another format, or its files were changed.
    """
    path = Path(folder) / EXPORT_NAME
    values = read_json(path)
    try:
        if values.pop("format") != EXPORT_FORMAT:
            raise ValueError
        exported = Exported(**values)
        known = exported.form in FORMATS and exported.precision in PRECISIONS
        if not known or exported.network not in exported.files:
            raise ValueError
    except (AttributeError, KeyError, TypeError, ValueError):
        raise CairnError(
            f"not what an export of format {EXPORT_FORMAT} says",
            where=path,
            todo="export the model again with this version",
        ) from None
    for name, digest in exported.files.items() if check_files else ():
        file = Path(folder) / name
        if not file.is_file() or file_digest(file) != digest:
            state = "is not the one it was written with" if file.is_file() else "is missing"
            raise CairnError(
                f"{name} of this export {state}",
                where=folder,
                todo="copy the folder again, whole, or export the model again",
            )
    return exported


def write_export(folder: Path, exported: Exported) -> None:
    """Write ``export.json``."""
    write_json(Path(folder) / EXPORT_NAME, {"format": EXPORT_FORMAT, **asdict(exported)})


def export_fingerprint(source: str, precision: str, files: dict[str, str]) -> str:
    """Return 16 hex digits that name what an export computes."""
    if precision == "float32":
        return source
    told = "".join(f"{name} {digest}\n" for name, digest in sorted(files.items()))
    return hashlib.sha256(f"{source} {precision}\n{told}".encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
