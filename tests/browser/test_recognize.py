"""The first view: photographs by every way, answers, corrections, and what can go wrong."""

from __future__ import annotations

import base64
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from cairn.gallery import Gallery
from cairn.gallery.kept_validation import Validation, Way, keep_validation
from cairn.gallery.place import Place
from cairn.manifest import Manifest
from cairn.renewal import renew
from cairn.submission import solution_of
from cairn.tables import EmbeddingTable

Start = Callable[..., Any]

CHOOSE = ".zone input >> nth=0"
ADD_FILES = """([files, kind]) => {
  const transfer = new DataTransfer();
  for (const [name, type, text] of files) {
    const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type }));
  }
  const options = { bubbles: true, cancelable: true };
  const event = kind === "paste"
    ? new ClipboardEvent("paste", { ...options, clipboardData: transfer })
    : new DragEvent(kind, { ...options, dataTransfer: transfer });
  document.querySelector("main").dispatchEvent(event);
}"""


def give(page: Page, kind: str, *paths: Path) -> None:
    """Paste or drop files, as a browser does when people do."""
    files = [(one.name, "image/jpeg", base64.b64encode(one.read_bytes()).decode()) for one in paths]
    page.evaluate(ADD_FILES, [files, kind])


def test_a_chosen_photograph_is_answered_with_words_evidence_and_credits(
    serve: Start, visit: Start, photo: Path
) -> None:
    page = visit(serve()).page
    page.set_input_files(CHOOSE, photo)
    card = page.get_by_role("article", name=photo.name)
    expect(card.locator(".verdict")).to_have_text(re.compile("^(Very likely|Likely|Perhaps)$"))
    expect(card.get_by_role("heading", level=3)).to_have_text("Old Tower")
    expect(card).to_contain_text(re.compile(r"\d+ % chance of being right"))
    expect(card).to_contain_text("48.8584° N, 2.2945° W")
    place = card.get_by_role("link", name=re.compile("48.8584"))
    expect(place).to_have_attribute("rel", "noopener noreferrer external")
    expect(card.locator(".evidence li")).to_have_count(3)
    expect(card.locator(".evidence")).to_contain_text("© Ada Example, CC BY 4.0")
    card.get_by_role("button", name="3 more").click()
    expect(card.locator(".evidence li")).to_have_count(6)
    expect(page.locator("#said")).to_contain_text("Old Tower")  # what screen readers say
    loaded = "images => images.every((one) => one.complete && one.naturalWidth > 0)"
    card.locator(".evidence li").last.scroll_into_view_if_needed()
    page.wait_for_function(f"() => ({loaded})([...document.querySelectorAll('.answer img')])")


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_photographs_are_pasted_and_dropped(
    kind: str, serve: Start, visit: Start, photo: Path, stranger: Path
) -> None:
    page = visit(serve(), "#/history").page
    expect(page.get_by_role("heading", name="History")).to_be_visible()
    give(page, kind, photo, stranger)  # from any view
    expect(page.get_by_role("heading", name="Which landmark is this?")).to_be_visible()
    known = page.get_by_role("article", name=photo.name, exact=True)
    expect(known.get_by_role("heading", level=3)).to_have_text("Old Tower")
    unknown = page.get_by_role("article", name=stranger.name, exact=True)
    expect(unknown.locator(".verdict")).to_have_text("Not a landmark we know")
    expect(unknown.get_by_role("heading", level=3)).to_contain_text("Closest: ")
    expect(unknown.get_by_role("button", name=re.compile("^Yes"))).to_have_count(0)


def test_a_correction_is_added_and_taken_back(serve: Start, visit: Start, stranger: Path) -> None:
    served = serve()
    page = visit(served).page
    page.set_input_files(CHOOSE, stranger)
    page.get_by_role("button", name="This is …").click()
    page.keyboard.type("new br")
    expect(page.get_by_role("option")).to_have_count(2)
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option", selected=True)).to_contain_text("New Bridge")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")  # and the form
    expect(page.locator(".done")).to_have_text("Added to New Bridge.")
    assert len(Gallery.load(served.gallery).table) == 31
    expect(page.locator("#gallery")).to_contain_text("31 photographs")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".done")).to_have_text("Taken back: not in New Bridge any more.")
    assert len(Gallery.load(served.gallery).table) == 30


def test_a_new_landmark_by_its_name(serve: Start, visit: Start, stranger: Path) -> None:
    served = serve()
    page = visit(served).page
    page.set_input_files(CHOOSE, stranger)
    page.get_by_role("button", name="This is …").click()
    page.get_by_role("button", name="Add the photograph").click()
    expect(page.locator(".message")).to_contain_text("Choose a landmark of the list")
    expect(page.get_by_role("combobox")).to_be_focused()
    page.keyboard.type("Ørsted’s “Gate” <b>1</b>/2")
    page.get_by_role("option", name=re.compile("New landmark")).click()
    page.get_by_role("button", name="Add the photograph").click()
    expect(page.locator(".done")).to_contain_text("Added to Ørsted’s “Gate” <b>1</b>/2.")
    page.goto(f"{served.url}/#/landmarks?search=%C3%98rsted")
    page.get_by_role("link", name=re.compile("Ørsted")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Ørsted’s “Gate” <b>1</b>/2")


def test_where_the_model_looks(serve: Start, visit: Start, photo: Path) -> None:
    page = visit(serve()).page
    page.set_input_files(CHOOSE, photo)
    page.get_by_role("button", name="Where it looks").click()
    overlay = page.locator(".seen .overlay")
    expect(overlay).to_be_visible()
    expect(page.get_by_role("radio", name="Stage 4")).to_be_checked()
    page.get_by_text("Stage 1", exact=True).click()
    expect(page.get_by_role("radio", name="Stage 1")).to_be_checked()
    expect(page.locator(".maps")).to_contain_text("times the even share")
    page.get_by_text("Photo", exact=True).click()
    expect(overlay).to_have_count(0)
    page.get_by_role("button", name=re.compile("^Compare with Old Tower")).first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("checkbox").check()
    expect(dialog.locator(".overlay")).to_have_count(2)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_files_that_are_no_photographs_or_broken_are_told_what_to_do(
    serve: Start, visit: Start, photo: Path, tmp_path: Path
) -> None:
    opened = visit(serve())
    opened.watch.expected = ("422",)
    page = opened.page
    broken, words, empty = tmp_path / "broken.jpg", tmp_path / "words.txt", tmp_path / "empty.png"
    broken.write_bytes(b"\xff\xd8\xff\xe0 no more of it")
    words.write_text("not a picture")
    empty.write_bytes(b"")
    page.set_input_files(CHOOSE, [broken, words, empty, photo])
    expect(page.get_by_role("article", name="broken.jpg")).to_contain_text(
        "The photograph cannot be read"
    )
    expect(page.get_by_role("article", name="broken.jpg")).to_contain_text("Send JPEG, PNG or WebP")
    expect(page.get_by_role("article", name="words.txt")).to_contain_text("This is no photograph")
    expect(page.get_by_role("article", name="empty.png")).to_contain_text("The file is empty")
    expect(page.get_by_role("article", name=photo.name)).to_contain_text("Old Tower")
    page.get_by_role("button", name="Put away broken.jpg").click()
    expect(page.get_by_role("article", name="broken.jpg")).to_have_count(0)


def test_large_files_are_made_smaller_or_refused_before_they_are_sent(
    serve: Start, visit: Start, photo: Path, tmp_path: Path
) -> None:
    opened = visit(serve(limits={"body_mib": 0.02}))
    page = opened.page
    huge = tmp_path / "huge.jpg"
    with huge.open("wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(60 << 20)
    large = tmp_path / "large.jpg"
    large.write_bytes(photo.read_bytes() + bytes(40_000))  # browsers draw it all the same
    page.set_input_files(CHOOSE, [huge, large])
    refused = page.get_by_role("article", name="huge.jpg")
    expect(refused).to_contain_text("The file is 60 MB, more than the 17 kB that the server takes")
    expect(refused).to_contain_text("save this one smaller")
    shrunk = page.get_by_role("article", name="large.jpg")
    expect(shrunk).to_contain_text("Old Tower")
    expect(shrunk).to_contain_text(re.compile("Sent as a JPEG of .* more than the server takes"))
    sent = [one for one in opened.watch.asked if "/v1/recognize" in one]
    assert len(sent) == 1


def test_a_server_that_goes_away_loses_nothing(serve: Start, visit: Start, photo: Path) -> None:
    served = serve()
    opened = visit(served)
    opened.watch.expected = ("ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET")
    page = opened.page
    expect(page.locator("#gallery")).to_contain_text("30 photographs")
    served.stop()
    page.set_input_files(CHOOSE, photo)
    card = page.get_by_role("article", name=photo.name)
    expect(card).to_contain_text("The server cannot be reached")
    expect(page.locator("#trouble")).to_contain_text("This page goes on as soon as it is back")
    serve(location=served.gallery, port=int(served.url.rpartition(":")[2]))
    expect(page.locator("#trouble")).to_be_empty()
    card.get_by_role("button", name="Try again").click()
    expect(card.get_by_role("heading", level=3)).to_have_text("Old Tower")


def test_a_slow_network_shows_how_far_it_is(
    serve: Start, visit: Start, photo: Path, tmp_path: Path
) -> None:
    page = visit(serve()).page
    large = tmp_path / "large.jpg"
    large.write_bytes(photo.read_bytes() + bytes(300_000))
    session = page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 50, "downloadThroughput": 1e6, "uploadThroughput": 2e5}
    session.send("Network.emulateNetworkConditions", slow)
    page.set_input_files(CHOOSE, large)
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.locator(".progress p")).to_have_text(re.compile(r"Sending, [1-9]\d? %"))
    expect(page.get_by_role("heading", level=3)).to_have_text("Old Tower")


def test_an_answer_that_is_put_away_meanwhile_is_not_waited_for(
    serve: Start, visit: Start, photo: Path, stranger: Path
) -> None:
    opened = visit(serve())
    opened.watch.expected = ("ERR_FAILED",)
    page = opened.page
    held: list[Route] = []
    page.route("**/v1/recognize*", lambda route: held.append(route))
    page.set_input_files(CHOOSE, photo)
    expect(page.get_by_role("progressbar")).to_be_visible()
    page.get_by_role("button", name=f"Put away {photo.name}").click()
    page.unroute("**/v1/recognize*")
    page.set_input_files(CHOOSE, stranger)
    expect(page.locator(".verdict")).to_have_text("Not a landmark we know")
    expect(page.get_by_role("article")).to_have_count(1)


def test_a_gallery_without_a_calibration_says_so(
    serve: Start, visit: Start, photo: Path, made: Path, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(made, plain, ignore=shutil.ignore_patterns("calibrations"))
    page = visit(serve(location=plain)).page
    page.set_input_files(CHOOSE, photo)
    card = page.get_by_role("article", name=photo.name)
    expect(card.locator(".verdict")).to_have_text("Closest match")
    expect(card).to_contain_text("the gallery has no fresh calibration")


def test_chances_come_back_after_a_correction(
    serve: Start,
    visit: Start,
    made: Path,
    photo: Path,
    stranger: Path,
    pictures: Manifest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    location = tmp_path / "validated"
    shutil.copytree(made, location)
    truth = solution_of(pictures.select("query")).truth
    sets = {name: frozenset(one) for name, one in truth.items()}
    queries = EmbeddingTable.read(made.parent / "query")
    keep_validation(Place(location), Validation(queries, sets, Way(), 0.2))
    go_on = threading.Event()

    def held(*values: Any, **wishes: Any) -> Any:
        assert go_on.wait(60)
        return renew(*values, **wishes)

    monkeypatch.setattr("cairn.serve.renewing.renew", held)
    page = visit(serve(location=location, gallery={"watch_s": 0.05})).page
    page.set_input_files(CHOOSE, stranger)
    card = page.get_by_role("article", name=stranger.name)
    card.get_by_role("button", name="This is …").click()
    card.get_by_role("combobox").fill("Old Tower")
    card.get_by_role("option", name="Old Tower").first.click()
    card.get_by_role("button", name="Add the photograph").click()
    expect(card).to_contain_text("Added to Old Tower.")
    expect(page.locator("#gallery")).to_contain_text("renewing chances")
    page.set_input_files(CHOOSE, photo)
    card = page.get_by_role("article", name=photo.name)
    expect(card.locator(".verdict")).to_have_text("Closest match")
    expect(card).to_contain_text("the chance of being right is being worked out again")
    go_on.set()
    expect(card.locator(".verdict")).to_have_text(re.compile("^(Very likely|Likely|Perhaps)$"))
    expect(card).to_contain_text(re.compile(r"\d+ % chance of being right"))
    expect(page.locator("#gallery")).not_to_contain_text("renewing")
