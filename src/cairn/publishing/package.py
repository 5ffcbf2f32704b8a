"""One version of a gallery as a folder that can be given away, and back into a gallery.

The folder is a gallery itself (``Recognizer.load`` takes it), with two files more: ``README.md``,
the card, and ``cairn.json``, which names every file with its size and SHA-256. It holds no history,
no photographs and no paths but those below the photographs' common folder. The module knows no
network.

Approximate indexes stay behind: they are large, and ``cairn gallery tune`` makes them where they
will be searched.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any

from cairn.calibration import Calibration
from cairn.checkpoint import model_fingerprint, read_config
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.gallery.calibrations import FOLDER as CALIBRATIONS
from cairn.gallery.calibrations import basis_of
from cairn.gallery.entries import Entry
from cairn.gallery.gallery import model_name
from cairn.gallery.penalties import read_bank, write_bank, write_penalty
from cairn.gallery.place import LOCK_NAME, Place
from cairn.gallery.rows import arrow_rows
from cairn.gallery.versions import Version, commit, write_fragments
from cairn.joint import is_joint, member_folders
from cairn.progress import track
from cairn.publishing.card import card_of
from cairn.runs import atomic_folder, read_json, write_json
from cairn.tables import EmbeddingTable, lance_library

CONTENTS_NAME = "cairn.json"
CARD_NAME = "README.md"
PACKAGE_FORMAT = 1

_BLOCK = 1 << 20
_SHOWN = 3
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Package:
    """What a published folder says of itself.

    Args:
        title: A name for people.
        version: The version of the gallery that was packed.
        model: The model's fingerprint.
        content: The content key of images and vectors.
        num_images: Gallery images.
        num_landmarks: Landmarks.
        has_penalty: Whether a penalty and its bank are there.
        num_calibrations: Calibrations that hold for this version.
        files: Size in bytes and SHA-256 of every file but ``cairn.json``, by name.
    """

    title: str
    version: int
    model: str
    content: str
    num_images: int
    num_landmarks: int
    has_penalty: bool
    num_calibrations: int
    files: Mapping[str, tuple[int, str]]

    @property
    def num_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(size for size, _ in self.files.values())

    def to_json(self) -> dict[str, Any]:
        """Return a value for JSON."""
        files = {name: {"bytes": size, "sha256": sha} for name, (size, sha) in self.files.items()}
        return {"format": PACKAGE_FORMAT, **asdict(self), "files": files}


def pack(
    location: Path | str,
    out: Path,
    *,
    version: int | str | None = None,
    title: str = "",
    license: str = "",
) -> Package:
    """Write a version of a gallery as a folder to give away, whole or not at all.

    Args:
        location: The gallery: a folder, or ``s3://bucket/prefix``.
        out: The new folder.
        version: Number or tag; the newest by default.
        title: Heading of the card; by default the gallery's own name.
        license: SPDX identifier of what is published, for the card; "" leaves it out.

    Raises:
        CairnError: There is no gallery or version, its penalty is stale, or ``out`` is taken.
    """
    opened = Version.open(Place(location), version)
    gallery = Gallery.load(location, version=opened.number)
    facts, name = opened.facts, model_name(opened.facts.fingerprint)
    with atomic_folder(Path(out)) as folder:
        place = Place(folder)
        place.write_folder(name, gallery.model_dir)
        _forget_weights_place(folder / name)
        table = replace(gallery.table, paths=without_place(gallery.table.paths))
        rows = arrow_rows(facts, table, opened.labels())
        fragments = write_fragments(place, rows, facts.schema(), first=True)
        entry = Entry(
            0,
            "publish",
            {"from_version": opened.number},
            num_images=len(table),
            num_landmarks=gallery.num_landmarks,
            model=facts.fingerprint,
            content=gallery.content_key,
        )
        operation = lance_library().LanceOperation.Overwrite(facts.schema(), fragments)
        commit(place, None, operation, entry)
        _copy_penalty(opened, gallery, table, place)
        calibrations = _copy_calibrations(gallery, place)
        title = title or Path(str(location)).resolve().name
        card = card_of(gallery, calibrations, title=title, license=license)
        (folder / CARD_NAME).write_text(card, encoding="utf-8")
        package = Package(
            title,
            opened.number,
            facts.fingerprint,
            gallery.content_key,
            len(table),
            gallery.num_landmarks,
            gallery.penalty is not None,
            len(calibrations),
            _sums(folder),
        )
        write_json(folder / CONTENTS_NAME, package.to_json())
    return package


def read_package(folder: Path) -> Package:
    """Return what a published folder says of itself; its files are not looked at.

    Raises:
        CairnError: It is none, of another format, or names files outside itself.
    """
    path = Path(folder) / CONTENTS_NAME
    if not path.is_file():
        raise CairnError(
            f"not a published gallery: it has no {CONTENTS_NAME}",
            where=folder,
            todo="make one with `cairn push GALLERY FOLDER`",
        )
    value = read_json(path)
    found = value.get("format") if isinstance(value, dict) else None
    if found != PACKAGE_FORMAT:
        raise CairnError(
            f"a published gallery of format {found}; this Cairn reads {PACKAGE_FORMAT}",
            where=path,
            todo="use the Cairn that wrote it",
        )
    try:
        files = {
            _inside(name): (int(one["bytes"]), _digest(one["sha256"]))
            for name, one in value.pop("files").items()
        }
        value.pop("format")
        return Package(**value, files=files)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CairnError(
            f"this list of a published gallery's files cannot be used: {error}", where=path
        ) from None


def unpack(folder: Path, out: Path) -> Package:
    """Make a gallery of a published folder, whole or not at all; return what it said of itself.

    Every file is compared with its sum while it is copied, the model with its fingerprint, the
    vectors with their content key. What the list does not name is left behind.

    Raises:
        CairnError: A file is missing or differs, the list says something else than the files, or
            ``out`` is taken.
    """
    folder, package = Path(folder), read_package(folder)
    with atomic_folder(Path(out)) as made:
        for name in track(sorted(package.files), "check files"):
            _copy_checked(folder / name, made / name, *package.files[name])
        (made / CONTENTS_NAME).unlink(missing_ok=True)
        _require_as_said(Place(made), package, where=folder)
    return package


def without_place(paths: Sequence[str]) -> list[str]:
    """Return paths below the folder that all have in common; no part of it remains.

    Addresses with a scheme (``s3://...``) and relative paths stay among themselves likewise.
    """
    present = [PurePosixPath(path.replace("\\", "/")) for path in paths]
    parents = [path.parent.parts for path in present if path.name]
    together = zip(*parents, strict=False)
    shared = sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, together))
    return ["/".join(path.parts[shared:]).lstrip("/") if path.name else "" for path in present]


def _forget_weights_place(model_dir: Path) -> None:
    """Keep of the file that a model's weights came from its name alone; no fingerprint has it."""
    if is_joint(model_dir):
        for member in set(member_folders(model_dir)):
            _forget_weights_place(member)
        return
    weights = read_config(model_dir).weights
    if weights is None or not {"/", "\\"} & set(weights):
        return
    name = PurePosixPath(weights.replace("\\", "/")).name
    config = read_json(model_dir / "config.json")
    config["model"]["weights"] = name
    write_json(model_dir / "config.json", config)
    card = model_dir / CARD_NAME
    if card.is_file():
        card.write_text(card.read_text("utf-8").replace(weights, name), encoding="utf-8")


def _copy_penalty(opened: Version, gallery: Gallery, table: EmbeddingTable, place: Place) -> None:
    note = opened.facts.penalty
    if note is None or gallery.penalty is None:
        return
    bank = read_bank(opened.place, note.bank)
    write_bank(place, replace(bank, paths=without_place(bank.paths)))
    with tempfile.TemporaryDirectory(prefix="cairn-") as folder:
        path = Path(folder) / "penalty.parquet"
        write_penalty(gallery.penalty, table, path)
        place.write_file(note.file_name(gallery.content_key), path)
    name = note.attraction_name(gallery.content_key)
    if opened.place.has(name):
        with opened.place.local_file(name) as path:
            place.write_file(name, path)


def _copy_calibrations(gallery: Gallery, place: Place) -> list[Calibration]:
    found = []
    for item in gallery.place.items(f"{CALIBRATIONS}/{gallery.content_key}"):
        with gallery.place.local_file(item.name) as path:
            made = Calibration.read(path)
            if _holds(made, gallery):
                found.append(made)
                place.write_file(item.name, path)
    return found


def _holds(calibration: Calibration, gallery: Gallery) -> bool:
    """Say whether chances are of this version, with or without its penalty."""
    made = calibration.basis
    return any(
        made == basis_of(gallery, use_penalty=used, search=made.search, stages=made.stages)
        for used in (True, False)
    )


def _sums(folder: Path) -> dict[str, tuple[int, str]]:
    """Return size and SHA-256 of each file of a folder, but for the list itself and the lock."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in (CONTENTS_NAME, LOCK_NAME):
            with path.open("rb") as file:
                sha = hashlib.file_digest(file, "sha256").hexdigest()
            found[name] = (path.stat().st_size, sha)
    return found


def _copy_checked(source: Path, target: Path, num_bytes: int, sha256: str) -> None:
    if not source.is_file():
        raise CairnError(
            "a file of this published gallery is missing", where=source, todo="fetch it again"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as read, target.open("wb") as write:
        while block := read.read(_BLOCK):
            digest.update(block)
            size += len(block)
            write.write(block)
    if (size, digest.hexdigest()) != (num_bytes, sha256):
        raise CairnError(
            f"a file of this published gallery is damaged: {size} bytes, {num_bytes} expected"
            if size != num_bytes
            else "a file of this published gallery is damaged: its SHA-256 is another",
            where=source,
            todo="fetch it again; nothing was written",
        )


def _require_as_said(place: Place, package: Package, *, where: Path) -> None:
    """Refuse a folder whose files are whole, yet not what its list says they are."""
    opened = Version.open(place)
    made = Gallery.load(place.location)
    key = replace(made).content_key  # of the vectors themselves, not of the log's line
    told = {
        "model": (model_fingerprint(made.model_dir), opened.facts.fingerprint, package.model),
        "content": (key, opened.content_key, package.content),
        "images": (str(len(made.table)), str(package.num_images)),
        "landmarks": (str(made.num_landmarks), str(package.num_landmarks)),
    }
    for name, values in told.items():
        if len(set(values)) > 1:
            raise CairnError(
                f"this published gallery is not what it says: {name} {' / '.join(values)}",
                where=where,
                todo="fetch it again, or ask who published it; nothing was written",
            )


def _inside(name: str) -> str:
    """Return the name of a file within a folder, refusing any that leads out of it."""
    path = PurePosixPath(name)
    parts = name.split("/")
    if path.is_absolute() or "\\" in name or ":" in name or {"", ".", ".."} & set(parts):
        raise ValueError(f"{name!r} is no name of a file within the folder")
    return name


def _digest(text: str) -> str:
    if not _DIGEST.fullmatch(text):
        raise ValueError(f"{text!r} is no SHA-256")
    return text
