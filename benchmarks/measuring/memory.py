"""How much memory something takes at its peak, counted by the system rather than sampled.

What counts is what the process holds at most beyond what it held before: arrays, indexes, buffers
of libraries, and pages of memory-mapped files that were not there yet. So the pages of a gallery
that is a memory map count once or not at all: read it beforehand (``touch``), and they stand on
both sides of the difference. What a search loads once for good (libraries, compiled code) does not
count after a small search has loaded it.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from pathlib import Path
from types import TracebackType

import numpy as np

from cairn.domain import Float32
from cairn.progress import say
from cairn.runs import peak_memory

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_PAGE_FLOATS = 1024


class PeakMemory:
    """Measures in a ``with`` statement, in bytes.

    ``above`` then says by how much the peak rose, ``left`` by how much more is held at the end. On
    Linux the high-water mark is reset first, so that earlier peaks do not hide later ones;
    elsewhere only peaks above every earlier one show, and ``left`` is 0.
    """

    above = left = 0.0

    def __enter__(self) -> PeakMemory:
        gc.collect()
        if sys.platform == "linux":
            trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
            if trim is not None:
                trim(0)
        self._files, self._start = _files(), _resident()
        self._before = self._start
        self._is_reset = _reset()
        if not self._is_reset:
            self._before = highest()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        peak = _field("VmHWM") if self._is_reset else highest()
        self.above = max(0.0, peak - self._before)
        self.left = max(0.0, _resident() - self._start)
        if _files() < 0.99 * self._files:
            say("mapped pages left memory meanwhile: the peak is a lower bound")


def touch(rows_ND: Float32) -> None:
    """Read a number of every page, so that all of a memory map is resident."""
    flat = rows_ND.reshape(-1)
    for start in range(0, len(flat), 1 << 28):
        np.max(flat[start : start + (1 << 28) : _PAGE_FLOATS])


def highest() -> float:
    """Return the largest memory that this process has held so far, in bytes."""
    return float(peak_memory() or 0)


def available() -> float:
    """Return the bytes that new work may take, as the system estimates; without end if unknown."""
    lines = Path("/proc/meminfo")
    if not lines.exists():
        return float("inf")
    found = [line.split()[1] for line in lines.read_text().splitlines() if "MemAvailable" in line]
    return 1024.0 * int(found[0]) if found else float("inf")


def _reset() -> bool:
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return _STATUS.exists()


def _resident() -> float:
    return _field("VmRSS")


def _files() -> float:
    return _field("RssFile")


def _field(name: str) -> float:
    if not _STATUS.exists():
        return 0.0
    for line in _STATUS.read_text().splitlines():
        if line.startswith(name + ":"):
            return 1024.0 * int(line.split()[1])
    return 0.0
