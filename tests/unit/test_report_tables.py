"""Tables for papers, and curves thinned for plots."""

import re

import numpy as np
import pytest

from cairn.bootstrap import Interval
from cairn.pages.thinning import thinned
from cairn.report.tables import Cell, Table, latex_of, latex_text, markdown_of, signed

TABLE = Table(
    "sizes",
    "By size & kind",
    ("Size", "Queries", "Top-1"),
    [["a|b_c", "10", Cell("0.500", "0.4–0.6", "better", was="0.400")], [">50", "5%", "–"]],
    narrow=frozenset({1}),
    note="A note.",
)


def test_a_table_as_html_escapes_and_names_its_kinds() -> None:
    html = Table("k", "T", ("<h>", "b"), [["<r>", Cell("+1", "x", "worse")]]).html()
    assert '<th scope="col">&lt;h&gt;</th>' in html
    assert '<th scope="row">&lt;r&gt;</th>' in html
    assert '<td><span class="worse">+1</span><small>x</small></td>' in html
    assert '<td class="extra">10</td>' in TABLE.html()
    assert '<p class="note">A note.</p>' in TABLE.html()


def test_a_table_as_markdown() -> None:
    assert markdown_of([TABLE]) == (
        "**By size & kind**\n\n| Size | Queries | Top-1 |\n| --- | ---: | ---: |\n"
        "| a\\|b_c | 10 | 0.400 → 0.500 (0.4–0.6) |\n| >50 | 5% | – |\n\nA note.\n"
    )


def test_a_table_as_latex() -> None:
    text = latex_of([TABLE])
    assert r"\caption{By size \& kind. A note.}" in text
    assert r"\begin{tabular}{lrr}" in text
    assert r"a|b\_c & 10 & 0.400 $\rightarrow$ 0.500 (0.4--0.6) \\" in text
    assert r"\textgreater{}50 & 5\% & -- \\" in text
    assert text.count(r"\begin") == text.count(r"\end")


def test_latex_escapes_every_sign_of_its_own() -> None:
    escaped = latex_text("\\&%$#_{}~^")
    assert re.sub(r"\\(text\w+\{\}|[&%$#_{}])", "", escaped) == ""


@pytest.mark.parametrize(
    ("value", "text"), [(0.0126, "+0.013"), (-0.5, "−0.500"), (-1e-9, "0.000")]
)
def test_differences_have_a_sign(value: float, text: str) -> None:
    assert signed(value) == text


def test_an_interval_without_bounds_is_no_text() -> None:
    from cairn.report.tables import bounds_text

    assert bounds_text(Interval(0.5)) == ""
    assert bounds_text(Interval(0.5, 0.25, 0.75), percent=True) == "25.0%–75.0%"


@pytest.mark.parametrize("log", [False, True])
def test_a_thinned_curve_reaches_the_same_heights_in_every_column(log: bool) -> None:
    rng = np.random.default_rng(2)
    x = np.arange(1, 50_001, dtype=np.float64)
    y = rng.normal(size=len(x)).cumsum()
    kept = thinned(x, y, columns=100, log=log)
    assert len(kept) <= 400
    place = np.log(x) if log else x
    column = np.minimum((100 * (place - place[0]) / (place[-1] - place[0])).astype(int), 99)
    for number in np.unique(column):
        mine, ours = column == number, column[kept] == number
        assert y[kept][ours].max() == y[mine].max()
        assert y[kept][ours].min() == y[mine].min()
        assert (kept[ours][0], kept[ours][-1]) == (
            np.flatnonzero(mine)[0],
            np.flatnonzero(mine)[-1],
        )


def test_a_short_curve_stays_whole() -> None:
    assert thinned(np.arange(5.0), np.zeros(5)).tolist() == [0, 1, 2, 3, 4]
    assert len(thinned(np.zeros(9000), np.arange(9000.0))) == 2
