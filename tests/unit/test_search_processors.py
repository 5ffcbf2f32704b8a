"""The same search on processors that this one is not, as far as it can stand in for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cairn.search.tiles import HAS_TILES

START = """
from unittest import mock
from numba.core.registry import cpu_target

codegen = type(cpu_target.target_context.codegen())
with mock.patch.object(codegen, "magic_tuple", lambda self: ("", "", "{features}")):
    from cairn.search import tiles
from cairn.search import quickest
"""

VECTORS_OF_EIGHT = """
import sys
import numpy as np
from cairn.search import exact, top_k

assert (tiles.HAS_TILES, tiles.LANES, tiles.QUERIES) == (True, 8, 6)
rng = np.random.default_rng(0)
queries, gallery = (rng.standard_normal((num, 37), dtype=np.float32) for num in (40, 900))
gallery[500:540] = gallery[3]
of_queries, of_rows = top_k(queries, gallery, 12), top_k(gallery, queries, 3)
exact.SMALL = exact._FEW = sys.modules["cairn.search.cross"].SMALL = 0
assert quickest.quickest_way() == "tiles"
found = sys.modules["cairn.search.cross"].cross(queries, gallery, 12, 3)
for ours, plain in (
    (top_k(queries, gallery, 12), of_queries),
    (found.of_queries, of_queries),
    (found.of_rows, of_rows),
):
    np.testing.assert_array_equal(ours.rows, plain.rows)
    np.testing.assert_array_equal(ours.scores, plain.scores)
"""

NO_TILES = """
assert not tiles.HAS_TILES
assert quickest.quickest_way() in ("float32", "bfloat16")
"""


def run(features: str, body: str, cache_dir: Path) -> None:
    # Loops compiled for other lanes must not be mixed up with those of this processor.
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache_dir)}
    script = START.format(features=features) + body
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not HAS_TILES, reason="a processor without VNNI")
def test_tiles_of_shorter_vectors(tmp_path: Path) -> None:
    run("+avxvnni", VECTORS_OF_EIGHT, tmp_path)


def test_without_the_instruction_there_are_no_tiles(tmp_path: Path) -> None:
    run("+avx2,+fma", NO_TILES, tmp_path)
