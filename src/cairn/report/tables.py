"""Tables of a report, once: as HTML for the page, Markdown and LaTeX for a paper."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from cairn.bootstrap import Interval
from cairn.pages.parts import scrolling_table

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "−": "$-$", "–": "--", "→": r"$\rightarrow$", "↔": r"$\leftrightarrow$", "≥": r"$\geq$",
    "≤": r"$\leq$", "<": r"\textless{}", ">": r"\textgreater{}", "’": "'", "·": r"$\cdot$",
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """A value and, in smaller figures, what doubt or explanation belongs to it.

    Args:
        text: The value, as text.
        small: Its interval or share; may be empty.
        kind: ``better``, ``worse``, ``same`` for what is told by colour too; may be empty.
        was: The value before a change; may be empty.
    """

    text: str
    small: str = ""
    kind: str = ""
    was: str = ""


@dataclass(frozen=True)
class Table:
    """A table whose first column heads the rows.

    Args:
        key: Its name in LaTeX labels.
        title: What it shows, as a caption.
        heads: Heads of the columns.
        rows: Cells; texts stand for cells without small figures.
        narrow: Columns (from 0) that a phone leaves out.
        note: What a reader must know, below it.
    """

    key: str
    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    narrow: frozenset[int] = frozenset()
    note: str = ""

    def html(self) -> str:
        """Return the table for the page, scrolling sideways where it is too wide."""
        body = []
        for row in self.rows:
            cells = [_html(_cell(one)) for one in row]
            body.append(
                [
                    (f'<th scope="row">{cells[0]}</th>'),
                    *(
                        f"<td{self._extra(number)}>{cell}</td>"
                        for number, cell in enumerate(cells[1:], start=1)
                    ),
                ]
            )
        heads = [
            f'<th scope="col"{self._extra(number)}>{escape(name)}</th>'
            for number, name in enumerate(self.heads)
        ]
        note = f'<p class="note">{escape(self.note)}</p>' if self.note else ""
        return scrolling_table(self.title, heads, body) + note

    def markdown(self) -> str:
        """Return the table in GitHub's Markdown, its title in bold above it."""
        lines = [f"**{self.title}**", "", _markdown_row(self.heads)]
        lines.append("|" + "|".join([" --- ", *(" ---: " for _ in self.heads[1:])]) + "|")
        lines += [_markdown_row([_flat(_cell(one)) for one in row]) for row in self.rows]
        return "\n".join([*lines, *(["", self.note] if self.note else [])])

    def latex(self) -> str:
        """Return the table as LaTeX that needs booktabs alone."""
        note = f" {latex_text(self.note)}" if self.note else ""
        lines = [
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{latex_text(self.title)}.{note}}}",
            rf"\label{{tab:{self.key}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(self.heads) - 1)}}}",
            r"\toprule",
            _latex_row(self.heads),
            r"\midrule",
            *(_latex_row([_flat(_cell(one)) for one in row]) for row in self.rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
        return "\n".join(lines)

    def _extra(self, number: int) -> str:
        return ' class="extra"' if number in self.narrow else ""


def markdown_of(tables: Iterable[Table]) -> str:
    """Return tables as one Markdown file."""
    return "\n\n".join(table.markdown() for table in tables) + "\n"


def latex_of(tables: Iterable[Table]) -> str:
    """Return tables as one LaTeX file to be read in by another."""
    head = "% Tables of a Cairn report; needs \\usepackage{booktabs}.\n"
    return head + "\n\n".join(table.latex() for table in tables) + "\n"


def latex_text(text: str) -> str:
    """Return text as LaTeX shows it, its signs escaped."""
    return "".join(_LATEX.get(sign, sign) for sign in text)


def bounds_text(interval: Interval, digits: int = 3, *, percent: bool = False) -> str:
    """Return an interval's bounds as text, "" without any."""
    if interval.low is None or interval.high is None:
        return ""
    if percent:
        return f"{interval.low:.1%}–{interval.high:.1%}"
    return f"{interval.low:.{digits}f}–{interval.high:.{digits}f}"


def share_cell(interval: Interval) -> Cell:
    """Return a share as per cent with its interval."""
    return Cell(f"{interval.value:.1%}", bounds_text(interval, percent=True))


def signed(value: float, digits: int = 3) -> str:
    """Return a difference with its sign; one that rounds to nothing has none."""
    if round(value, digits) == 0:
        return f"{0:.{digits}f}"
    return f"{value:+.{digits}f}".replace("-", "−")


def _cell(one: Cell | str) -> Cell:
    return one if isinstance(one, Cell) else Cell(one)


def _html(cell: Cell) -> str:
    text = escape(cell.text)
    if cell.kind:
        text = f'<span class="{cell.kind}">{text}</span>'
    if cell.was:
        text = f'<span class="was">{escape(cell.was)} → </span>{text}'
    return text + (f"<small>{escape(cell.small)}</small>" if cell.small else "")


def _flat(cell: Cell) -> str:
    text = f"{cell.was} → {cell.text}" if cell.was else cell.text
    return f"{text} ({cell.small})" if cell.small else text


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(re.sub(r"([|\\<])", r"\\\1", one) for one in cells) + " |"


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(latex_text(one) for one in cells) + r" \\"
