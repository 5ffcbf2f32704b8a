"""The quick reader says what the careful one does, or nothing."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cairn.plain_csv import plain_columns

PARTS = st.sampled_from(["a", "b", "é", ",", " ", "\n", "\r\n", "\r", '"', "\x0b", "\u2028", "a,b"])


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(PARTS, max_size=14).map("".join))
def test_it_reads_what_the_csv_module_reads(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(("x,y\n" + text).encode())
    columns = plain_columns(path, ("x", "y"))
    if columns is None:
        return
    with path.open(encoding="utf-8", newline="") as file:
        rows = [tuple(row) for row in csv.reader(file, strict=True) if row]
    assert list(zip(*columns, strict=True)) == rows[1:]


def test_what_is_usual_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbfx,y,z\r\na,1 2,\r\n\r\nb,,c\r\n")
    assert plain_columns(path, ("x", "y", "z")) == (["a", "b"], ["1 2", ""], ["", "c"])
    path.write_text("x,y\n", encoding="utf-8")
    assert plain_columns(path, ("x", "y")) == ([], [])


@pytest.mark.parametrize(
    "text",
    ['x,y\n"a",1\n', "x,y\na,1\na,2\n", "x,y\n,1\n", "x,y\na\n", "x,y\na,1,2\nb\n", "x;y\na,1\n",
     "x,y\na,1\rb,2\n", "x,y\na\0,1\n"],
)  # fmt: skip
def test_what_is_unusual_is_left_to_others(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8", newline="")
    assert plain_columns(path, ("x", "y")) is None
    assert plain_columns(tmp_path / "none.csv", ("x", "y")) is None
    path.write_bytes(b"x,y\n\xff,1\n")
    assert plain_columns(path, ("x", "y")) is None
