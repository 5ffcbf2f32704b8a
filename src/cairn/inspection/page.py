"""The inspection as one HTML page that needs no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from cairn.images import UnreadableImage, decode
from cairn.manifest import Manifest

_MAX_PAIRS = 24
_MAX_ROWS = 50
_THUMB_SIDE = 220
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: light-dark(#555, #aaa); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.5rem }
table { border-collapse: collapse } td, th { padding: .25rem .9rem .25rem 0; text-align: left;
border-bottom: 1px solid var(--line); overflow-wrap: anywhere }
td.number { text-align: right; font-variant-numeric: tabular-nums }
.scroll { overflow-x: auto } img.plot { width: 100%; min-width: 44rem; border-radius: 6px }
@media (prefers-color-scheme: dark) { img.plot { filter: invert(.93) hue-rotate(180deg) } }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(30rem, 1fr)); gap: 1rem }
.pair { border: 1px solid var(--line); border-radius: 6px; padding: .6rem }
.pair div { display: flex; gap: .6rem } figure { margin: 0; flex: 1; min-width: 0 }
figure img { width: 100%; height: 11rem; object-fit: contain }
figcaption, .soft { color: var(--soft); font-size: .85rem; overflow-wrap: anywhere }
.flag { color: light-dark(#a3320b, #ff9d76); font-weight: 600 }
@media (max-width: 34rem) { .pairs { grid-template-columns: 1fr } }
"""


def render_page(
    report: Mapping[str, Any],
    sentences: Sequence[str],
    manifest: Manifest,
    duplicates: Sequence[Any],
    unreadable: Mapping[str, str],
    plots: Mapping[str, Path],
) -> str:
    """Return the page's HTML, pictures included.

    Args:
        report: The figures, as report.json holds them.
        sentences: The findings in words.
        manifest: The photographs.
        duplicates: Pairs, those to show first first.
        unreadable: Path to reason.
        plots: Caption to PNG file.
    """
    parts = [
        "<h1>What is in this data</h1>",
        *(f"<p>{escape(sentence)}</p>" for sentence in sentences),
        _table(("role", "images"), list(report["roles"].items())),
        *(_plot(caption, path) for caption, path in plots.items()),
    ]
    if unreadable:
        rows = list(unreadable.items())
        parts += [f"<h2>Unreadable files: {len(rows):,}</h2>", _table(("file", "reason"), rows)]
    if duplicates:
        shown = duplicates[:_MAX_PAIRS]
        more = f", the first {len(shown)}" if len(shown) < len(duplicates) else ""
        parts += [
            f"<h2>Pairs of the same picture: {len(duplicates):,}{more}</h2>",
            '<div class="pairs">',
            *(_pair(manifest, duplicate) for duplicate in shown),
            "</div>",
        ]
    made = f"Manifest fingerprint {report['fingerprint'][:16]}"
    parts.append(f'<p class="soft">{escape(made)}. All pairs: duplicates.csv.</p>')
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    title = "<title>Cairn: inspection</title>"
    return (
        f'<!doctype html><html lang="en"><head>{head}{title}<style>{_STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _table(names: Sequence[str], rows: Sequence[tuple[str, Any]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        f"<tr><td>{escape(key)}</td>{_cell(value)}</tr>" for key, value in rows[:_MAX_ROWS]
    )
    more = f"<p>and {len(rows) - _MAX_ROWS:,} more</p>" if len(rows) > _MAX_ROWS else ""
    return f"<table><tr>{head}</tr>{body}</table>{more}"


def _cell(value: Any) -> str:
    if isinstance(value, int):
        return f'<td class="number">{value:,}</td>'
    return f"<td>{escape(str(value))}</td>"


def _plot(caption: str, path: Path) -> str:
    source = base64.b64encode(path.read_bytes()).decode()
    image = f'<img class="plot" alt="{escape(caption)}" src="data:image/png;base64,{source}">'
    return f'<h2>{escape(caption)}</h2><div class="scroll" tabindex="0">{image}</div>'


def _pair(manifest: Manifest, duplicate: Any) -> str:
    flags = [
        *(["stands among the queries and elsewhere"] if duplicate.leaks else []),
        *(["two labels"] if duplicate.labels_differ else []),
    ]
    words = (
        f'<span class="flag">{escape("; ".join(flags))}</span>' if flags else "one role, one label"
    )
    figures = "".join(_thumbnail(manifest, row) for row in (duplicate.first, duplicate.second))
    return f'<div class="pair">{duplicate.kind}: {words}<div>{figures}</div></div>'


def _thumbnail(manifest: Manifest, row: int) -> str:
    path = manifest.paths[row]
    caption = f"{manifest.roles[row]} {manifest.landmark_ids[row] or '(no landmark)'}"
    caption += f" · {manifest.image_ids[row]}"
    buffer = io.BytesIO()
    try:
        image = decode(path, min_side=_THUMB_SIDE)
    except UnreadableImage as error:  # gone since it was looked at
        return f"<figure><figcaption>{escape(f'{caption}: {error.reason}')}</figcaption></figure>"
    image.thumbnail((_THUMB_SIDE * 2, _THUMB_SIDE * 2))
    image.save(buffer, "JPEG", quality=80)
    source = base64.b64encode(buffer.getvalue()).decode()
    label = escape(caption)
    return (
        f'<figure><img alt="{label}" src="data:image/jpeg;base64,{source}">'
        f"<figcaption>{label}</figcaption></figure>"
    )
