"""Foreign pickles: plain values come out, nothing is run."""

from __future__ import annotations

import datetime
import pickle
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cairn.errors import CairnError
from cairn.sources import inert_pickle
from cairn.sources.inert_pickle import read_inert


class Runs:
    """Unpickled by Python, it calls what it was given."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def written(folder: Path, value: Any, protocol: int = 2) -> Path:
    path = folder / "gnd.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_values_and_numpy_s_numbers_come_out_plain(tmp_path: Path, protocol: int) -> None:
    value = {
        "names": ["a", "é"],
        "pair": (1, None, True),
        "whole": np.array([3, 1], dtype=np.int32),
        "none": np.array([], dtype=np.int64),
        "bytes": np.array([200, 7], dtype=np.uint8),
        "grid": np.array([[1.5, 2.0], [3.0, 4.0]], order="F"),
        "big": np.array([258], dtype=">u2"),
        "mixed": np.array([1, "x"], dtype=object),
        "one": np.float64(0.25),
    }
    assert read_inert(written(tmp_path, value, protocol)) == {
        "names": ["a", "é"],
        "pair": [1, None, True],
        "whole": [3, 1],
        "none": [],
        "bytes": [200, 7],
        "grid": [[1.5, 2.0], [3.0, 4.0]],
        "big": [258],
        "mixed": [1, "x"],
        "one": 0.25,
    }


def test_python_2_s_texts_are_read(tmp_path: Path) -> None:
    path = tmp_path / "gnd.pkl"
    path.write_bytes(b"(dp0\nS'imlist'\np1\n(lp2\nS'all_souls_1'\np3\nas.")
    assert read_inert(path) == {"imlist": ["all_souls_1"]}


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize(
    "value",
    [
        Runs(subprocess.getoutput, "touch owned"),
        Runs(eval, "open('owned', 'w')"),
        Runs(open, "owned", "w"),
        Runs(getattr, [], "append"),
        Runs(np.load, "owned"),
        datetime.date(2020, 1, 1),
        {1, 2},
        b"bytes",
        1j,
        {1: "a"},
    ],
)
def test_anything_else_is_refused_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: Any, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, {"gnd": [value]}, protocol)
    with pytest.raises(CairnError, match="refused"):
        read_inert(path)
    assert list(tmp_path.iterdir()) == [path]


def test_arrays_of_objects_are_looked_into(tmp_path: Path) -> None:
    hidden = np.array([Runs(open, "owned", "w")], dtype=object)
    with pytest.raises(CairnError, match=r"open: refused"):
        read_inert(written(tmp_path, hidden))
    with pytest.raises(CairnError, match="not of numbers"):
        read_inert(written(tmp_path, np.array(["a"])))


def test_a_file_that_unfolds_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inert_pickle, "MAX_VALUES", 10_000)
    value: list[Any] = [0] * 10
    for _ in range(10):
        value = [value] * 10
    with pytest.raises(CairnError, match="without end"):
        read_inert(written(tmp_path, value))
    monkeypatch.setattr(inert_pickle, "MAX_BYTES", 10)
    with pytest.raises(CairnError, match="no ground truth"):
        read_inert(tmp_path / "gnd.pkl")


def test_damage_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, {"imlist": ["a"] * 50})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CairnError, match="not a readable pickle"):
        read_inert(path)
    with pytest.raises(CairnError, match="file not found"):
        read_inert(tmp_path / "other.pkl")
    # An array whose bytes do not fit its shape.
    array = pickle.dumps(np.arange(4, dtype=np.int64), protocol=2)
    path.write_bytes(array.replace(b"K\x04\x85", b"K\x05\x85"))
    with pytest.raises(CairnError, match="not a readable pickle"):
        read_inert(path)
