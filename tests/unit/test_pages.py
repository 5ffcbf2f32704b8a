"""What pages share: the document around the sections, and photographs in it."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from cairn.pages import Thumbnails, document


def test_a_document_links_to_its_sections_and_leaves_empty_ones_out() -> None:
    page = document(
        title="A <title>",
        header="<p>the header</p>",
        sections=[("one", "One & only", "<p>first</p>"), ("two", "Empty", "")],
        footer="the footer",
    )
    assert page.startswith("<!doctype html>")
    assert "<h1>A &lt;title&gt;</h1><p>the header</p>" in page
    assert '<a href="#one">One &amp; only</a>' in page
    assert '<h2 id="one">One &amp; only</h2><p>first</p>' in page
    assert "Empty" not in page
    assert "<footer><p>the footer</p></footer>" in page
    assert "prefers-color-scheme: dark" in page, "the style is inside"
    assert "http" not in page


def test_a_figure_holds_its_photograph_or_says_why_not(tmp_path: Path) -> None:
    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    pictures = Thumbnails(tmp_path)
    figure = pictures.figure("a.png", alt="an a", caption="<b>a</b>", kind="query")
    assert figure.startswith('<figure class="query" style="--ratio:1.500"><img class="photo"')
    assert figure.endswith('<figcaption class="sum"><b>a</b></figcaption></figure>')
    assert "not an image" in pictures.figure("b.png", alt="a b", caption="")
    assert "no path recorded" in pictures.figure(None, alt="nothing", caption="")
