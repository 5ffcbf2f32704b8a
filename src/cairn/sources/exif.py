"""Where and when photographs were taken, as their cameras wrote it (EXIF 2.3, 4.6.6).

Positions that say nothing certain are not taken: no hemisphere (half of the world would be as
likely), a zero denominator, a number out of range, and 0, 0, which cameras write before they know.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cairn.ahead import threaded_map
from cairn.columns import NUMBERS
from cairn.images import UnreadableImage, read_header
from cairn.manifest import Manifest
from cairn.progress import track

TAKEN = "taken"
"""The column of the time a photograph was taken: local, ISO 8601, with an offset where known."""

_LATITUDE, _LONGITUDE = (1, 2), (3, 4)  # tags of the hemisphere and of the degrees
_TIME, _OFFSET = 0x9003, 0x9011
_AHEAD = 256
_HEMISPHERES = {"N": 1.0, "S": -1.0, "E": 1.0, "W": -1.0}


@dataclass(frozen=True)
class PhotoFacts:
    """What a photograph's file says of it; None where it does not.

    Args:
        width: Upright, in pixels.
        height: Upright, in pixels.
        latitude: Degrees, north positive.
        longitude: Degrees, east positive.
        taken: When it was taken, ISO 8601, on the camera's clock.
        fault: Why a position that is there was not taken, or why the file cannot be read.
    """

    width: int | None = None
    height: int | None = None
    latitude: float | None = None
    longitude: float | None = None
    taken: str | None = None
    fault: str = ""


def read_facts(path: Path) -> PhotoFacts:
    """Return what a photograph's file says of it; an unreadable one says its fault."""
    try:
        header = read_header(path)
    except UnreadableImage as error:
        return PhotoFacts(fault=f"unreadable: {error.kind}")
    try:
        place = position(header.gps)
        fault = ""
    except ValueError as error:
        place, fault = None, str(error)
    latitude, longitude = place or (None, None)
    return PhotoFacts(
        header.width, header.height, latitude, longitude, time_taken(header.exif), fault
    )


def position(gps: Mapping[int, Any]) -> tuple[float, float] | None:
    """Return latitude and longitude in degrees of EXIF's GPS values; None where there are none.

    Raises:
        ValueError: There are values, and they are no certain position.
    """
    if _LATITUDE[1] not in gps and _LONGITUDE[1] not in gps:
        return None
    latitude = _degrees(gps, *_LATITUDE, "NS", 90.0)
    longitude = _degrees(gps, *_LONGITUDE, "EW", 180.0)
    if latitude == longitude == 0.0:
        raise ValueError("position 0, 0")
    return latitude, longitude


def _degrees(gps: Mapping[int, Any], ref: int, tag: int, hemispheres: str, most: float) -> float:
    if tag not in gps:
        raise ValueError("half a position")
    values = gps[tag] if isinstance(gps[tag], tuple | list) else (gps[tag],)
    try:
        parts = [float(value) for value in values]
    except (TypeError, ValueError, ZeroDivisionError):
        raise ValueError("position of no numbers") from None
    if not 1 <= len(parts) <= 3:
        raise ValueError("position of no numbers")
    if not all(map(math.isfinite, parts)):  # Pillow reads x/0 as not a number
        raise ValueError("zero denominator")
    letter = gps.get(ref, "")
    text = letter.decode("ascii", "replace") if isinstance(letter, bytes) else str(letter)
    sign = text.strip(" \0").upper()[:1]
    if not sign or sign not in hemispheres:
        raise ValueError("no hemisphere")
    degrees = sum(part / unit for part, unit in zip(parts, (1.0, 60.0, 3600.0), strict=False))
    if min(parts) < 0 or max(parts[1:], default=0.0) > 60 or degrees > most:
        raise ValueError("position out of range")
    return round(_HEMISPHERES[sign] * degrees, 8)


def time_taken(exif: Mapping[int, Any]) -> str | None:
    """Return when a photograph was taken, ISO 8601; None where that is not said plainly."""
    parts = re.fullmatch(r"(\d{4}):(\d\d):(\d\d) (\d\d:\d\d:\d\d)", _text(exif.get(_TIME)))
    if parts is None or parts[1] == "0000" or not "01" <= parts[2] <= "12":
        return None
    if not "01" <= parts[3] <= "31" or parts[4] > "23:59:60":
        return None
    offset = _text(exif.get(_OFFSET))
    known = offset if re.fullmatch(r"[+-]\d\d:\d\d", offset) else ""
    return f"{parts[1]}-{parts[2]}-{parts[3]}T{parts[4]}{known}"


def _text(value: Any) -> str:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")
    return text.strip(" \0")


def with_exif(manifest: Manifest, *, workers: int = 0) -> tuple[Manifest, list[str]]:
    """Return the manifest with what the photographs' files say, and sentences about it.

    Fills ``latitude``, ``longitude``, ``width``, ``height`` and `TAKEN` where they are not known
    already: what a table says of a photograph stands.

    Args:
        manifest: Photographs that lie on disk; others are counted.
        workers: Threads; 0 for as many as processors.
    """
    read = threaded_map(read_facts, manifest.paths, ahead=_AHEAD, workers=workers)
    facts = list(track(read, "EXIF read", total=len(manifest)))
    table = manifest.table
    for name in (*NUMBERS, TAKEN):
        kind = NUMBERS.get(name, pa.string())
        found = pa.array([getattr(fact, name) for fact in facts], kind)
        if name in table.column_names:
            index = table.column_names.index(name)
            told = table[name].combine_chunks()
            table = table.set_column(index, name, pc.coalesce(_no_blank(told), found))
        else:
            table = table.append_column(name, found)
    return Manifest(table, manifest.root), _told(facts)


def _no_blank(column: Any) -> Any:
    if not pa.types.is_string(column.type):
        return column
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)


def _told(facts: list[PhotoFacts]) -> list[str]:
    placed = sum(fact.latitude is not None for fact in facts)
    notes = [f"{placed:,} of {len(facts):,} photographs carry a position"]
    faults = Counter(fact.fault for fact in facts if fact.fault)
    if faults:
        shown = ", ".join(f"{fault} {count:,}" for fault, count in faults.most_common())
        notes.append(f"not taken: {shown}")
    return notes
