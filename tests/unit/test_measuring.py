"""What benchmarks measure with: vectors, memory, checks, peers, the picture of growth."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cairn.domain import Float32, Neighbors
from cairn.errors import CairnError
from cairn.penalty import penalty_table
from cairn.search import search
from measuring import vectors
from measuring.checks import brute_force, overlap, require_exact, require_picks, require_same
from measuring.growing import Line, Point, draw
from measuring.machine import taking_turns
from measuring.memory import PeakMemory, touch
from measuring.once import PENALTY, Task, measure
from measuring.peers import WAYS
from measuring.vectors import ALIKE, fill, long_tail, queries, write


def rows(kind: str, num: int = 600, *, seed: int = 0, landmarks: int | None = None) -> Float32:
    made = np.empty((num, 64), dtype=np.float32)
    fill(made, kind, seed=seed, landmarks=landmarks)
    return made


@pytest.mark.parametrize("kind", ALIKE)
def test_rows_are_unit_and_repeat_by_seed(kind: str) -> None:
    made = rows(kind)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=5e-6)
    np.testing.assert_array_equal(made, rows(kind))
    assert not np.array_equal(made, rows(kind, seed=1))


@pytest.mark.parametrize("kind", ["random", "clustered"])
def test_blocks_do_not_repeat_and_do_not_hang_on_one_another(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "_BLOCK", 100)
    made = rows(kind, 250)
    assert len(np.unique(made, axis=0)) == 250
    monkeypatch.setattr("os.cpu_count", lambda: 7)
    np.testing.assert_array_equal(made, rows(kind, 250))


def test_views_of_a_landmark_are_as_alike_as_said() -> None:
    for kind, alike in (("clustered", 0.5), ("strong", 0.95)):
        likeness = rows(kind, 200, landmarks=1) @ rows(kind, 200, landmarks=1).T
        others = likeness[~np.eye(200, dtype=bool)]
        assert abs(float(np.median(others)) - alike) < 0.02
    assert np.abs(rows("random", 200) @ rows("random", 200, seed=1).T).max() < 0.7


def test_strong_rows_hold_copies_and_near_copies() -> None:
    made = rows("strong", 1000).astype(np.float64)
    likeness = made @ made.T
    np.fill_diagonal(likeness, 0)
    assert 1000 - len(np.unique(made, axis=0)) == 10
    distances = np.sqrt(((made[:, None] - made) ** 2).sum(-1))
    near = (distances > 0) & (distances < 1e-5)
    assert 10 <= near.sum() / 2 <= 12


def test_queries_are_views_of_the_gallery_or_of_nothing() -> None:
    gallery = rows("random", 1000)
    made = queries(gallery, 100, known=0.3, alike=0.9, seed=1)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-6)
    best = (made @ gallery.T).max(axis=1)
    assert (best > 0.8).sum() == 30
    assert (best < 0.65).sum() == 70


def test_the_long_tail_has_every_photograph_and_falls() -> None:
    counts = long_tail(1_580_470, 81_313)
    assert counts.sum() == 1_580_470
    assert counts.min() >= 2
    assert np.median(counts) == 13
    assert counts[0] == counts.max() > 5000
    assert long_tail(10, 7).sum() == 10


def test_written_rows_are_those_filled(tmp_path: Path) -> None:
    write(tmp_path / "made.npy", "clustered", 300, 64, seed=3)
    np.testing.assert_array_equal(np.load(tmp_path / "made.npy"), rows("clustered", 300, seed=3))
    assert [path.name for path in tmp_path.iterdir()] == ["made.npy"]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's counters")
def test_peak_memory_sees_what_came_and_went_but_no_mapped_pages(tmp_path: Path) -> None:
    np.save(tmp_path / "mapped.npy", np.ones((1 << 14, 512), dtype=np.float32))  # 34 MB
    mapped = np.load(tmp_path / "mapped.npy", mmap_mode="c")
    np.ones(1 << 24)  # an earlier, higher peak of 134 MB
    touch(mapped)
    with PeakMemory() as memory:
        float(mapped.sum())
        with mmap.mmap(-1, 40_000_000) as pages:  # the system's own, which malloc cannot keep
            for place in range(0, len(pages), 4096):
                pages[place] = 1
    assert 38e6 < memory.above < 60e6
    assert memory.left < 20e6


def test_brute_force_orders_equal_rows_by_number() -> None:
    gallery = np.array([[0, 1], [1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32)
    query = np.array([[0, 1]], dtype=np.float32)
    np.testing.assert_array_equal(brute_force(query, gallery, 3), [[0, 2, 3]])


def test_wrong_answers_are_refused() -> None:
    gallery, asked = rows("strong"), rows("strong", 5)
    found = search(asked, gallery, 10)
    require_exact(found, asked, gallery)
    swapped = found.indices.copy()
    swapped[3, [4, 5]] = swapped[3, [5, 4]]
    with pytest.raises(CairnError, match="differ from float64's"):
        require_exact(Neighbors(swapped, found.similarities), asked, gallery)
    with pytest.raises(CairnError, match="FAISS"):
        require_same(swapped, found.indices, asked, gallery, peer="FAISS")


def test_equal_rows_out_of_order_are_refused() -> None:
    gallery = np.array([[0, 1], [1, 0], [0, 1]], dtype=np.float32)
    query = np.array([[0, 1]], dtype=np.float32)
    near = np.ones((1, 2), dtype=np.float32)
    require_exact(Neighbors(np.array([[0, 2]]), near), query, gallery)
    with pytest.raises(CairnError, match="by row number"):
        require_exact(Neighbors(np.array([[2, 0]]), near), query, gallery)


def test_picks_too_many_or_too_few_are_refused() -> None:
    gallery, bank = rows("clustered"), rows("random", 40)
    table = penalty_table(gallery, bank, top=3)
    everything = np.arange(len(bank))
    require_picks(table, bank, everything, gallery)
    require_picks(table, bank, everything[:7], gallery)
    row = int(np.argmax(table.n_picked))
    table.n_picked[row] += 1
    with pytest.raises(CairnError, match="too many"):
        require_picks(table, bank, everything, gallery)
    table.n_picked[row] = 0
    with pytest.raises(CairnError, match="miss picks"):
        require_picks(table, bank, everything, gallery)


def test_overlap_ignores_the_order() -> None:
    assert overlap(np.array([[1, 2], [3, 4]]), np.array([[2, 1], [3, 5]])) == 0.75


@pytest.mark.parametrize("name", WAYS)
def test_every_installed_way_finds_the_same(name: str) -> None:
    way = WAYS[name]
    if not way.is_installed:
        pytest.skip(f"{name} is not installed")
    gallery, asked = rows("clustered"), rows("clustered", 20)
    theirs = way.prepare(gallery, 2)(asked, 5)
    assert theirs.shape == (20, 5)
    right = brute_force(asked, gallery, 5)
    if way.is_exact:
        require_same(right, theirs, asked, gallery, peer=name)
    assert overlap(theirs, right) > 0.8


def test_a_copy_of_the_gallery_counts_and_a_search_in_place_does_not(tmp_path: Path) -> None:
    write(tmp_path / "gallery.npy", "random", 20_000, 512, seed=0)  # 41 MB
    write(tmp_path / "queries.npy", "random", 8, 512, seed=1)
    paths = str(tmp_path / "gallery.npy"), str(tmp_path / "queries.npy")

    def cost(way: str) -> float:
        return measure(Task(way, paths[0], 20_000, paths[1], 8, 5, 1, 1)).above

    assert cost("FAISS flat") > 35e6
    assert cost("FAISS in place") < 20e6
    assert cost(PENALTY) < 41e6


def test_ways_take_turns_until_each_has_run_enough() -> None:
    now, calls = 0.0, []

    def way(name: str, *seconds: float) -> Callable[[], None]:
        lasts = iter(seconds)

        def run() -> None:
            nonlocal now
            calls.append(name)
            now += next(lasts)

        return run

    ways = {"long": way("long", 30.0), "usual": way("usual", 2.0, 1.0, 3.0)}
    assert taking_turns(ways, 3, lambda: now) == {"long": 30.0, "usual": 1.0}
    assert calls == ["long", "usual", "usual", "usual"]
    calls.clear()
    quick = way("quick", *[0.001] * 20)
    assert taking_turns({"quick": quick}, 2, lambda: now)["quick"] == pytest.approx(0.001)
    assert len(calls) == 20


def test_the_picture_of_growth_is_drawn(tmp_path: Path) -> None:
    lines = [Line("Cairn", 1000, 100), Line("FAISS in place", 1, 100), Line(PENALTY, 10, 20)]
    assert [line.name for line in lines] == [
        "Cairn, 1,000 queries",
        "FAISS flat, 1 query",
        "penalty, 10 non-landmarks",
    ]
    points = [
        Point(line, size, 1e-6 * size, 1e3 * size) for line in lines for size in (10_000, 4_000_000)
    ]
    draw(tmp_path / "growth.png", lines, points, 512)
    with Image.open(tmp_path / "growth.png") as picture:
        assert picture.width > picture.height > 400
        pixels = np.asarray(picture.convert("RGB"))
    for colour in ((0x1F, 0x6F, 0x8B), (0xB4, 0x53, 0x2A), (0x2B, 0x7A, 0x3D)):
        assert (pixels == colour).all(axis=-1).sum() > 100
    assert (pixels[0] == 255).all()
