"""Time and memory of exact search as the gallery grows, against FAISS flat: a table and a picture.

For each size of gallery: 1,000 queries and one query, k = 100, by Cairn and by FAISS's flat search,
and the penalty table of 1,000 non-landmarks, top 20. Every figure is measured in a process of its
own (``measuring/once.py`` says what of its memory counts); FAISS searches the gallery in place by
the function behind IndexFlatIP, whose copy of the gallery would count in full otherwise. Rows are
``strong`` ones of ``measuring/vectors.py``, memory-mapped from one file.

    python benchmarks/growth.py                                          # to 100,000 rows
    python benchmarks/growth.py --preset full --picture docs/images/growth.png --points growth.jsonl

With ``--points`` what was measured is kept, a line a figure, and a run that was cut off goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from cairn.domain import Float32
from cairn.progress import say
from measuring.growing import Line, Point, draw
from measuring.machine import describe
from measuring.memory import available
from measuring.once import PENALTY, Task, measured
from measuring.vectors import ALIKE, QUERY_ALIKE, queries, write

PRESETS = {
    "quick": [10_000, 30_000, 100_000],
    "full": [10_000, 30_000, 100_000, 300_000, 1_000_000, 2_000_000, 4_000_000],
}
_KNOWN = 0.5
_PEER = "FAISS in place"
_TOP = 20


def main() -> None:
    options = read_options()
    print(describe(options.threads))
    print(f"{options.data} rows of {options.dimension} dimensions, k = {options.k}\n", flush=True)
    lines = [
        Line("Cairn", options.queries, options.k),
        Line(_PEER, options.queries, options.k),
        Line("Cairn", 1, options.k),
        Line(_PEER, 1, options.k),
        Line(PENALTY, options.queries, _TOP),
    ]
    points = read_points(options.points)
    sizes = [size for size in sorted(options.sizes) if fits(size, options.dimension)]
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        paths = Path(folder, "gallery.npy"), Path(folder, "queries.npy")
        if any(missing(points, lines, size) for size in sizes):
            make(paths, sizes[-1], options)
        print_head(lines)
        for size in sizes:
            for line in missing(points, lines, size):
                say(f"{size:,} rows: {line.name}")
                task = Task(line.way, str(paths[0]), size, str(paths[1]), line.num_queries,
                            min(line.k, size), options.threads, options.repeats)  # fmt: skip
                cost = measured(task)
                points.append(Point(line, size, cost.seconds, cost.above))
                keep_point(options.points, points[-1])
            print_row(size, options.dimension, [point_at(points, line, size) for line in lines])
    if options.picture is not None:
        shown = [p for p in points if p.num_rows in sizes and p.line in lines]
        draw(options.picture, lines, shown, options.dimension)
        print(f"\npicture: {options.picture}")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--preset", choices=PRESETS, default="quick")
    parser.add_argument("--sizes", type=int, nargs="+", help="in place of the preset's")
    parser.add_argument("--queries", type=int, default=1000, help="and non-landmarks")
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--data", choices=ALIKE, default="strong")
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many counts")
    parser.add_argument("--picture", type=Path, help="the PNG to draw")
    parser.add_argument("--points", type=Path, help="JSON lines of what was measured, to go on")
    parser.add_argument("--folder", type=Path, help="for the gallery meanwhile, a .npy file")
    options = parser.parse_args()
    options.sizes = options.sizes or PRESETS[options.preset]
    return options


def fits(size: int, dimension: int) -> bool:
    """Return whether memory holds such a gallery; say so where it does not."""
    if 4.0 * size * dimension < 0.85 * available():
        return True
    print(f"{size:,} rows are left out: they do not fit in this machine's free memory")
    return False


def make(paths: tuple[Path, Path], size: int, options: argparse.Namespace) -> None:
    say(f"making {size:,} rows")
    write(paths[0], options.data, size, options.dimension, seed=0)
    gallery_GD: Float32 = np.load(paths[0], mmap_mode="r")[: min(options.sizes)]
    alike = QUERY_ALIKE[options.data]
    np.save(paths[1], queries(gallery_GD, options.queries, known=_KNOWN, alike=alike, seed=1))


def read_points(path: Path | None) -> list[Point]:
    if path is None or not path.exists():
        return []
    kept = [json.loads(text) for text in path.read_text().splitlines()]
    return [Point(Line(**one.pop("line")), **one) for one in kept]


def keep_point(path: Path | None, point: Point) -> None:
    if path is not None:
        with path.open("a") as file:
            file.write(json.dumps(asdict(point)) + "\n")


def missing(points: Sequence[Point], lines: Sequence[Line], size: int) -> list[Line]:
    """Return the lines without a point at this size."""
    return [
        line for line in lines if not any(p.line == line and p.num_rows == size for p in points)
    ]


def point_at(points: Sequence[Point], line: Line, size: int) -> Point:
    return next(p for p in points if p.line == line and p.num_rows == size)


def print_head(lines: Sequence[Line]) -> None:
    print(f"{'':17}" + "".join(f"{line.name:>31}" for line in lines))
    print(f"{'gallery':>9}{'GB':>8}", end="")
    for line in lines:
        second = "x Cairn" if line.way == _PEER else "us/row"
        print(f"{'seconds':>13}{second:>9}{'MB':>9}", end="")
    print()


def print_row(size: int, dimension: int, points: Sequence[Point]) -> None:
    """Print seconds, microseconds a gallery row or the ratio, and MB above the gallery."""
    print(f"{size:9}{4e-9 * size * dimension:8.2f}", end="")
    own_s = {p.line.num_queries: p.seconds for p in points if p.line.way == "Cairn"}
    for point in points:
        each = f"{1e6 * point.seconds / size:.3f}"
        if point.line.way == _PEER:
            each = f"{point.seconds / own_s[point.line.num_queries]:.1f}x"
        print(f"{point.seconds:13.4f}{each:>9}{point.above / 1e6:9.0f}", end="")
    print(flush=True)


if __name__ == "__main__":
    main()
