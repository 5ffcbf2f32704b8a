"""Folders that hold results: writes that are whole or absent, run folders, provenance."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from cairn.errors import CairnError

_VERSIONED = ("cairn-landmarks", "torch", "torchvision", "timm", "numpy", "pylance", "openvino")


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is flushed to disk and takes its name.

    A crash leaves the old file, or none, never half of one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as readable JSON, whole or not at all."""
    with atomic_write(path) as temporary:
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Return the JSON value in ``path``.

    Raises:
        CairnError: The file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CairnError("file not found", where=path) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CairnError(f"not a JSON file: {error}", where=path) from None


@contextmanager
def atomic_folder(folder: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder; on success its files are flushed to disk and it becomes ``folder``.

    Args:
        folder: The name to take.
        replace: Take the place of an older folder, for what is Cairn's own, such as checkpoints.

    Raises:
        CairnError: ``folder`` exists and is not empty; results are never overwritten.
    """
    if not replace:
        require_absent(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        for path in temporary.rglob("*"):
            if path.is_file():
                _flush(path)
        aside = _aside(folder)
        shutil.rmtree(aside, ignore_errors=True)
        if folder.is_dir():
            folder.replace(aside)
        temporary.replace(folder)
        shutil.rmtree(aside, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def recover_folder(folder: Path) -> None:
    """Put back what `atomic_folder` had moved aside when it was killed between two renames."""
    if not folder.exists() and _aside(folder).is_dir():
        _aside(folder).replace(folder)


def _flush(path: Path) -> None:
    """Wait until a file is on the disk, so that no loss of power empties it after its rename."""
    with path.open("rb+") as handle:
        os.fsync(handle.fileno())


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def require_absent(folder: Path) -> None:
    """Refuse a folder that already holds something.

    Raises:
        CairnError: ``folder`` is a file or a folder that is not empty.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise CairnError(
            "results are never overwritten and this place is taken",
            where=folder,
            todo="name another folder, or move this one away",
        )


def new_run(root: Path, name: str) -> Path:
    """Return a fresh folder ``root/<date>-<name>``, numbered where today has one already."""
    stem = f"{dt.date.today().isoformat()}-{name}"
    for number in range(1, 10_000):
        folder = root / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise CairnError("no free run name is left", where=root / stem)


def provenance(**facts: Any) -> dict[str, Any]:
    """Return what made a result: command, versions, hardware, time, and the ``facts`` given."""
    return {
        "command": sys.argv,
        "time": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **_versions()},
        "commit": _commit(),
        "hardware": {
            "machine": platform.machine(),
            "system": platform.platform(),
            "cpu_count": os.cpu_count(),
        },
        **facts,
    }


def peak_memory() -> int | None:
    """Return the most bytes this process has held at once; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit


def _versions() -> Mapping[str, str]:
    found = {}
    for name in _VERSIONED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
