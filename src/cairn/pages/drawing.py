"""Figures for pages: SVG that takes colours and font from the page around it, and PNG files.

Figures are made with Matplotlib's objects (no pyplot, no global figure) in the colours that the
page has on light paper. In SVG these are named as CSS variables, so that one plot serves light and
dark pages.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from cairn.runs import atomic_write

INK, MUTED, RULE, CARD = "#1d1f23", "#62666e", "#dcdad5", "#ffffff"
NOW, PAST = "#2456c7", "#9a9ca3"
RIGHT, WRONG, NONE = "#156b4d", "#a64a14", "#83858c"
_VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    RULE: "rule",
    CARD: "card",
    NOW: "now",
    PAST: "past",
    RIGHT: "right",
    WRONG: "wrong",
    NONE: "none",
}
_PNG_DPI = 160
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.size": 10.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": RULE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 2.0,
}


@contextmanager
def drawing() -> Iterator[None]:
    """Draw, and save, figures in the style of the pages."""
    with mpl.rc_context(_STYLE):
        yield


def new_figure(
    width_in: float, height_in: float, rows: int = 1, columns: int = 1, **shared: Any
) -> tuple[Figure, list[Axes]]:
    """Return a figure without a ground, and its panels row by row."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    figure.patch.set_alpha(0.0)
    panels = list(figure.subplots(rows, columns, squeeze=False, **shared).flat)
    for axes in panels:
        axes.patch.set_alpha(0.0)
    return figure, panels


def thousands() -> FuncFormatter:
    """Return a formatter of whole numbers: 12,000."""
    return FuncFormatter(lambda value, _: f"{value:,.0f}")


def to_svg(figure: Figure, name: str) -> str:
    """Return the figure as an ``svg`` element with CSS colours, the page's font and own ids.

    Args:
        figure: Drawn within `drawing`.
        name: Put before its ids, which are the page's too.
    """
    with mpl.rc_context({"svg.hashsalt": name}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    text = text.replace("'DejaVu Sans'", "system-ui").replace("&#8722;", "−")
    text = re.sub(r'id="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'(xlink:href|href)="#([^"]+)"', rf'href="#{name}-\2"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    # No outside addresses, not even as names: HTML knows the svg element without them.
    text = re.sub(r'\s(xmlns(:\w+)?)="[^"]*"', "", text)
    return re.sub(
        r'<svg [^>]*?(viewBox="[^"]+")[^>]*>', r'<svg \1 aria-hidden="true">', text, count=1
    )


def save_svg(figure: Figure, path: Path, name: str) -> None:
    """Write the figure as an SVG file of its own, in the colours of light paper, ground left clear.

    Args:
        figure: Drawn within `drawing`.
        path: Written whole or not at all; the same figure gives the same bytes.
        name: Seed of its ids.
    """
    with mpl.rc_context({"svg.hashsalt": name}), atomic_write(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})


def save_png(figure: Figure, path: Path) -> None:
    """Write the figure as PNG on white, whole or not at all."""
    figure.patch.set_alpha(1.0)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_PNG_DPI, facecolor="white")
    figure.patch.set_alpha(0.0)
