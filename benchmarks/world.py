"""How fast the procedural world takes photographs, against the goal of 100 a second and core.

Counts processor time of one process, after compilation, for a landmark with many photographs, for
landmarks with five, and for non-landmarks (one photograph a structure), with and without JPEG.
"""

from __future__ import annotations

import io
import time

import numpy as np
from PIL import Image

from cairn.world import render_photo
from cairn.world.dataset import generator
from cairn.world.nonlandmarks import draw_nonlandmark
from cairn.world.setting import Scene, place
from cairn.world.structures import draw_structure

GOAL = 100.0
SIZE = 128


def landmark(number: int) -> Scene:
    rng = generator(0, 0, number)
    return place(draw_structure(rng), rng)


def stranger(number: int) -> Scene:
    return draw_nonlandmark(generator(0, 1, number))[1]


def rate(build: str, photos: int, structures: int, *, jpeg: bool) -> float:
    """Return photographs per second of processor time, building the structures included."""
    start = time.process_time()
    for number in range(structures):
        scene = landmark(number) if build == "landmark" else stranger(number)
        for index in range(photos):
            picture = render_photo(scene, generator(0, 0, number, index), size=SIZE)
            if jpeg:
                Image.fromarray(picture).save(io.BytesIO(), format="JPEG", quality=80)
    return photos * structures / (time.process_time() - start)


def main() -> None:
    start = time.perf_counter()
    render_photo(landmark(0), generator(0), size=SIZE)
    print(
        f"first photograph, compilation or its cache included: {time.perf_counter() - start:.1f} s"
    )
    print(f"{'photographs at 128 px':34} {'render/s':>9} {'with JPEG/s':>12} {'of goal 100':>12}")
    cases = (
        ("landmarks of 20 photographs", "landmark", 20, 20),
        ("landmarks of 5 photographs", "landmark", 5, 60),
        ("non-landmarks, 1 photograph each", "stranger", 1, 200),
    )
    for name, build, photos, structures in cases:
        bare = np.median([rate(build, photos, structures, jpeg=False) for _ in range(3)])
        whole = np.median([rate(build, photos, structures, jpeg=True) for _ in range(3)])
        print(f"{name:34} {bare:9.0f} {whole:12.0f} {whole / GOAL:11.2f}x")


if __name__ == "__main__":
    main()
