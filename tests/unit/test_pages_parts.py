"""Parts of pages: every text is escaped."""

from __future__ import annotations

from cairn.pages.parts import id_html, name_html, table_html, terms_html, tiles_html


def test_tiles() -> None:
    item = (
        '<li><span class="name">a&lt;</span><span class="number">1</span>'
        '<span class="basis">&amp;</span></li>'
    )
    assert tiles_html([("a<", "1", "&")]) == f'<ul class="tiles">{item}</ul>'
    assert tiles_html([], least_px=150) == '<ul class="tiles" style="--least:150px"></ul>'


def test_names_and_ids() -> None:
    assert name_html("<1>", None) == name_html("<1>", "<1>") == "&lt;1&gt;"
    assert name_html("1", "A & B") == "A &amp; B (1)"
    assert id_html('"x') == '<span class="id" title="&quot;x"><bdi>&quot;x</bdi></span>'
    assert terms_html({"<": ">"}) == "<dl><dt>&lt;</dt><dd>&gt;</dd></dl>"


def test_a_table() -> None:
    made = table_html('"', ("<", "b"), [("1<", "2>")])
    assert 'aria-label="&quot;"' in made
    assert '<th scope="col">&lt;</th><th scope="col">b</th>' in made
    assert '<tr><th scope="row">1&lt;</th><td>2&gt;</td></tr>' in made
