"""Writes a world: an ordinary folder of JPEG files and the manifest that lists them.

Every photograph draws from its own generator, seeded by (seed, side, structure, photograph), so the
bytes do not depend on the number of processes, and hardly on the size asked for. Sides keep apart
what must not meet: landmarks, the penalty's bank, and the queries that show no landmark.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cairn.progress import track
from cairn.runs import atomic_folder, write_json
from cairn.world.config import WorldConfig, photo_counts

LANDMARK, BANK, UNKNOWN = 0, 1, 2
"""The sides of a world; no structure stands on two of them."""

_SCENE, _PHOTO, _ORDER = 0, 1, 2
_FIRST_QUERY = 1_000_000
"""Queries count from here, so that more training photographs change none of them."""

LABEL_SPACE = "world"


@dataclass(frozen=True)
class Shot:
    """One photograph to take.

    Args:
        index: Its number within the structure.
        image_id: 16 hexadecimal digits.
        role: As in a manifest.
        path: Where to write it, relative to the world.
    """

    index: int
    image_id: str
    role: str
    path: str


@dataclass(frozen=True)
class Sitting:
    """All photographs of one structure.

    Args:
        side: LANDMARK, BANK or UNKNOWN.
        structure: Its number on that side.
        landmark_id: Empty unless it is a landmark.
        shots: What to take.
    """

    side: int
    structure: int
    landmark_id: str
    shots: tuple[Shot, ...]


Row = dict[str, str | int]


def generator(seed: int, *key: int) -> np.random.Generator:
    """Return the generator of one structure or photograph of the world ``seed``."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *key])))


def plan(config: WorldConfig) -> list[Sitting]:
    """Return every photograph of the world, grouped by structure."""
    num = config.num_landmarks
    order = generator(config.seed, LANDMARK, _ORDER)
    counts = photo_counts(config)[order.permutation(num)]
    whole, rest = divmod(config.num_queries, num)
    asked = np.full(num, whole)
    asked[order.permutation(num)[:rest]] += 1
    sittings = []
    for number in range(num):
        name = f"landmark-{number:05d}"
        train = [
            _shot(config.seed, LANDMARK, number, k, "train", f"train/{name}")
            for k in range(int(counts[number]))
        ]
        query = [
            _shot(config.seed, LANDMARK, number, _FIRST_QUERY + k, "query", "query")
            for k in range(int(asked[number]))
        ]
        sittings.append(Sitting(LANDMARK, number, name, (*train, *query)))
    for number in range(config.num_bank):
        shot = _shot(config.seed, BANK, number, 0, "nonlandmark", "nonlandmark")
        sittings.append(Sitting(BANK, number, "", (shot,)))
    for number in range(config.num_unknown_queries):
        shot = _shot(config.seed, UNKNOWN, number, 0, "query", "query")
        sittings.append(Sitting(UNKNOWN, number, "", (shot,)))
    return sittings


def _shot(seed: int, side: int, structure: int, index: int, role: str, folder: str) -> Shot:
    # Ids say nothing of what a photograph shows, as with real ones.
    name = hashlib.sha256(f"{seed}/{side}/{structure}/{index}".encode()).hexdigest()[:16]
    return Shot(index, name, role, f"{folder}/{name}.jpg")


def sit(sitting: Sitting, config: WorldConfig, folder: Path) -> list[Row]:
    """Take the photographs of one structure, write them, and return their manifest rows."""
    from PIL import Image

    from cairn.world.nonlandmarks import draw_nonlandmark
    from cairn.world.photograph import render_photo
    from cairn.world.setting import place
    from cairn.world.structures import NATURAL, draw_structure

    rng = generator(config.seed, sitting.side, sitting.structure, _SCENE)
    if sitting.side == LANDMARK:
        scene = place(draw_structure(rng), rng)
        category = scene.category
        kind = "natural" if category in NATURAL else "human-made"
    else:
        category, scene = draw_nonlandmark(rng)
        kind = ""
    rows: list[Row] = []
    for shot in sitting.shots:
        own = generator(config.seed, sitting.side, sitting.structure, _PHOTO, shot.index)
        picture = render_photo(scene, own, size=config.size, variety=config.variety)
        quality = int(own.integers(50, 96))
        path = folder / shot.path
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path, format="JPEG", quality=quality)
        rows.append(
            {
                "image_id": shot.image_id,
                "path": shot.path,
                "landmark_id": sitting.landmark_id,
                "role": shot.role,
                "label_space": LABEL_SPACE,
                "category": category,
                "natural_or_human_made": kind,
                "width": picture.shape[1],
                "height": picture.shape[0],
            }
        )
    return rows


def make_world(out: Path, config: WorldConfig, *, workers: int = 1) -> Path:
    """Write a world into the new folder ``out`` and return the path of its manifest.

    The folder appears whole or not at all: ``train/<landmark>/``, ``query/``, ``nonlandmark/``,
    ``world.json`` (the configuration) and ``manifest.parquet``. Training photographs are also the
    gallery; role ``nonlandmark`` is the penalty's bank; queries without a landmark have an empty
    ``landmark_id``.

    Args:
        out: A folder that does not exist yet, or is empty.
        config: What to make.
        workers: Processes; the result does not depend on their number.

    Raises:
        CairnError: ``out`` already holds something.
    """
    from cairn.manifest import Manifest

    sittings = plan(config)
    with atomic_folder(out) as folder:
        rows: list[Row] = []
        with _sittings_done(sittings, config, folder, workers) as results:
            for done in track(results, "photographing the world", total=len(sittings)):
                rows.extend(done)
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        Manifest.from_columns(columns, root=folder).write(folder / "manifest.parquet")
        write_json(folder / "world.json", vars(config))
    return out / "manifest.parquet"


@contextmanager
def _sittings_done(
    sittings: list[Sitting], config: WorldConfig, folder: Path, workers: int
) -> Iterator[Iterator[list[Row]]]:
    jobs = [(sitting, config, folder) for sitting in sittings]
    if workers <= 1:
        yield (sit(*job) for job in jobs)
        return
    # spawn: forking a process that may hold threads of numerical libraries is not safe.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield pool.imap(_sit, jobs, chunksize=4)


def _sit(job: tuple[Sitting, WorldConfig, Path]) -> list[Row]:
    return sit(*job)
