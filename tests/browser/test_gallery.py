"""Landmarks, history, checkup and folders in the browser, and who may."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect

from cairn.gallery import Gallery
from cairn.serve.auth import Token

Start = Callable[..., Any]

CHOOSE = ".zone input >> nth=0"


def num_images(served: Any) -> int:
    return len(Gallery.load(served.gallery).table)


def write_folder(root: Path, landmarks: dict[str, int]) -> Path:
    """Write a folder of noise with one folder a landmark."""
    rng = np.random.default_rng(5)
    for landmark, count in landmarks.items():
        (root / landmark).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / landmark / f"{number}.png")
    return root


def test_landmarks_are_searched_and_shown_with_credits(serve: Start, visit: Start) -> None:
    served = serve()
    page = visit(served, "#/landmarks").page
    tiles = page.locator(".tileset li")
    expect(tiles).to_have_count(5)
    page.get_by_label("Search landmarks").fill("tower")
    expect(tiles).to_have_count(1)
    expect(page).to_have_url(re.compile(r"#/landmarks\?search=tower$"))
    page.reload()
    expect(tiles).to_have_count(1)
    page.get_by_label("Search landmarks").fill("nothing of that name")
    expect(page.locator(".empty")).to_contain_text("No landmark has “nothing of that name”")
    page.get_by_role("button", name="Show all").click()
    page.get_by_role("link", name=re.compile("Old Tower")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Old Tower")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.locator(".facts").last).to_contain_text("tower · 6 photographs")
    expect(page.locator(".photos li")).to_have_count(6)
    expect(page.locator(".photos li").first).to_contain_text("© Ada Example, CC BY 4.0")
    page.get_by_role("button", name="Enlarge photograph 1 of Old Tower").click()
    expect(page.get_by_role("dialog")).to_contain_text("Ada Example")


def test_pages_of_many_landmarks(serve: Start, visit: Start, made: Path, tmp_path: Path) -> None:
    from cairn.tables import EmbeddingTable

    loaded = Gallery.load(made)
    count = 50
    rows = np.random.default_rng(0).standard_normal((count, loaded.table.dimension))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    ids = [f"{number:02d}" for number in range(count)]
    EmbeddingTable(
        [f"image {one}" for one in ids],
        [f"place {one}" for one in ids],
        [str(tmp_path / "gone" / f"{one}.jpg") for one in ids],
        rows,
        loaded.table.fingerprint,
    ).write(tmp_path / "table")
    Gallery.build(tmp_path / "table", loaded.model_dir, tmp_path / "many")
    opened = visit(serve(location=tmp_path / "many"), "#/landmarks")
    opened.watch.expected = ("404",)  # their photographs are gone
    page = opened.page
    expect(page.get_by_text("1 to 24 of 50 landmarks")).to_be_visible()
    page.get_by_role("link", name="Later →").click()
    expect(page.get_by_text("25 to 48 of 50 landmarks")).to_be_visible()
    page.get_by_role("link", name="Later →").click()
    expect(page.locator(".tileset li")).to_have_count(2)
    page.go_back()
    expect(page.get_by_text("25 to 48 of 50 landmarks")).to_be_visible()
    expect(page.get_by_text("not at hand").first).to_be_visible()


def test_photographs_are_removed_and_landmarks_changed_each_with_undo(
    serve: Start, visit: Start
) -> None:
    served = serve()
    page = visit(served, "#/landmarks/landmark1").page
    photos = page.locator(".photos li")
    page.get_by_role("button", name="Remove photograph 2").click()
    expect(photos).to_have_count(5)
    page.get_by_role("button", name="Undo").click()
    expect(photos).to_have_count(6)
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("Name", exact=True).fill("Newest Bridge")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Newest Bridge")
    page.get_by_role("button", name="Merge into …").click()
    page.get_by_label("Give all its photographs to").fill("tower")
    page.get_by_role("option", name=re.compile("Old Tower")).click()
    page.get_by_role("button", name="Merge", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Old Tower")
    expect(photos).to_have_count(12)
    page.locator(".toast").last.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Newest Bridge")
    assert Gallery.load(served.gallery).num_landmarks == 5


def test_the_history_goes_back_when_that_is_meant(serve: Start, visit: Start) -> None:
    served = serve()
    page = visit(served, "#/landmarks/landmark1").page
    page.get_by_role("button", name="Remove", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Cancel").click()
    assert num_images(served) == 30
    page.get_by_role("button", name="Remove", exact=True).click()
    dialog.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Landmarks")
    assert num_images(served) == 24
    page.get_by_role("link", name="History").click()
    expect(page.locator(".log li")).to_have_count(3)
    page.get_by_role("button", name="Go back to version 2").click()
    dialog.get_by_role("button", name="Go back").click()
    expect(page.locator(".log li")).to_have_count(4)
    expect(page.locator(".log li").first).to_contain_text("served now")
    assert num_images(served) == 30


def test_the_checkup_shows_findings_that_can_be_acted_upon(
    serve: Start, visit: Start, photo: Path
) -> None:
    served = serve()
    page = visit(served, "#/landmarks/landmark1").page
    page.set_input_files("main input[type=file]", photo)  # a photograph of the tower
    expect(page.locator(".photos li")).to_have_count(7)
    page.get_by_role("link", name="Checkup").click()
    page.get_by_role("button", name="Check the gallery").click()
    expect(page.get_by_role("heading", name="What to do first")).to_be_visible()
    findings = page.locator(".finding")
    expect(findings.first.locator("img").first).to_be_visible()
    page.locator(".steps button").first.click()
    expect(page.locator("h2:focus")).to_have_count(1)
    act = page.get_by_role("button", name="Remove the photograph").first
    act.click()
    page.get_by_role("dialog").get_by_role("button", name="Remove the photograph").click()
    expect(page.get_by_text("Done. Check again when you are through.")).to_be_visible()
    assert num_images(served) == 30
    page.reload()
    expect(page.get_by_text("the gallery was changed since")).to_be_visible()


def test_a_folder_is_added_and_added_again_without_sending_it(
    serve: Start, visit: Start, tmp_path: Path
) -> None:
    served = serve()
    folder = write_folder(tmp_path / "more", {"landmark1": 2, "Harbour Light": 3})
    (folder / "Harbour Light" / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    (folder / "Harbour Light" / "notes.txt").write_text("no photograph")
    opened = visit(served, "#/folder")
    opened.watch.expected = ("422",)
    page = opened.page
    page.set_input_files(CHOOSE, folder)
    expect(page.get_by_text("6 photographs of 2 landmarks")).to_be_visible()
    expect(page.get_by_text("1 file is no photographs and left out")).to_be_visible()
    page.get_by_role("button", name="Add them").click()
    expect(page.locator(".done")).to_contain_text("5 photographs added")
    expect(page.locator(".fault")).to_contain_text("Harbour Light/broken.jpg: ")
    assert num_images(served) == 35
    page.get_by_role("button", name="Add another folder").click()
    before = len([one for one in opened.watch.asked if one.endswith("/images?create=true")])
    page.set_input_files(CHOOSE, folder)
    page.get_by_role("button", name="Add them").click()
    expect(page.locator(".done")).to_contain_text("5 were in the gallery already")
    after = len([one for one in opened.watch.asked if one.endswith("/images?create=true")])
    assert after - before == 1  # the broken one alone
    assert num_images(served) == 35


def test_a_folder_stops_when_the_server_goes_and_goes_on_later(
    serve: Start, visit: Start, tmp_path: Path
) -> None:
    served = serve()
    opened = visit(served, "#/folder")
    opened.watch.expected = ("ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET")
    page = opened.page
    page.set_input_files(CHOOSE, write_folder(tmp_path / "more", {"a": 2, "b": 2}))
    expect(page.get_by_role("button", name="Add them")).to_be_visible()
    served.stop()
    page.get_by_role("button", name="Add them").click()
    expect(page.locator(".done")).to_contain_text("Stopped. 0 photographs added")
    serve(location=served.gallery, port=int(served.url.rpartition(":")[2]))
    expect(page.locator("#trouble")).to_be_empty()
    page.get_by_role("button", name=re.compile("^Go on with the other")).click()
    expect(page.locator(".done")).to_contain_text("Done. 4 photographs added")
    assert num_images(served) == 34


def test_a_server_with_tokens_asks_for_one(serve: Start, visit: Start, photo: Path) -> None:
    from hashlib import sha256

    secret = "a secret of enough letters"
    tokens = (
        Token("ada", sha256(secret.encode()).digest()),
        Token("eve", sha256(b"a secret for looking only").digest(), may_change=False),
    )
    opened = visit(serve(tokens=tokens))
    opened.watch.expected = ("401", "403")
    page = opened.page
    dialog = page.get_by_role("dialog", name="Sign in")
    dialog.get_by_label("Token").fill("not the right one at all")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("That token is not known here.")
    dialog.get_by_label("Token").fill(secret)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Which landmark is this?")
    page.set_input_files(CHOOSE, photo)
    expect(page.get_by_role("heading", level=3)).to_have_text("Old Tower")
    loaded = "() => [...document.querySelectorAll('.evidence img')].every((i) => i.naturalWidth)"
    page.wait_for_function(loaded)  # pictures need the token too
    page.reload()
    expect(page.locator("#gallery")).to_contain_text("30 photographs")
    _is_refused_for_readers(page, photo)


def _is_refused_for_readers(page: Page, photo: Path) -> None:
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("dialog").get_by_label("Token").fill("a secret for looking only")
    page.keyboard.press("Enter")
    page.set_input_files(CHOOSE, photo)
    page.get_by_role("button", name=re.compile("^Yes, add it to")).click()
    expect(page.locator(".fault")).to_contain_text("This token may read only")
    expect(page.locator(".fault")).to_contain_text("Sign in with a token that may change")


def test_a_gallery_that_is_read_only_offers_no_changes(
    serve: Start, visit: Start, photo: Path
) -> None:
    page = visit(serve(gallery={"read_only": True})).page
    page.set_input_files(CHOOSE, photo)
    expect(page.get_by_role("heading", level=3)).to_have_text("Old Tower")
    expect(page.get_by_role("button", name=re.compile("this is|^Yes"))).to_have_count(0)
    expect(page.locator("#gallery")).to_contain_text("read only")
