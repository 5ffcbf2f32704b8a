"""Who uses a keyboard, a screen reader, a phone or a dark screen can do everything too."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, expect

Start = Callable[..., Any]

CHOOSE = ".zone input >> nth=0"
VIEWS = ["#/", "#/landmarks", "#/landmarks/landmark2", "#/folder", "#/checkup", "#/history"]
PHONE = {"width": 390, "height": 844}
AA = 4.5

UNNAMED = """() => [...document.querySelectorAll("input, button, a, select, textarea, dialog, img")]
  .filter((one) => one.checkVisibility())
  .filter((one) => {
    if (one.tagName === "IMG") return !one.hasAttribute("alt");
    const by = one.getAttribute("aria-labelledby");
    const name = one.getAttribute("aria-label") || one.textContent.trim()
      || (one.labels && [...one.labels].map((label) => label.textContent.trim()).join(""))
      || (by && document.getElementById(by)?.textContent);
    return !name;
  }).map((one) => one.outerHTML.slice(0, 200))"""

HEADINGS = """() => [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")]
  .filter((one) => one.checkVisibility()).map((one) => Number(one.tagName[1]))"""

# Colours are drawn on a canvas, which knows every way to write one; backgrounds are composed from
# the outermost element in.
FAINT = """() => {
  const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 })
    .getContext("2d", { willReadFrequently: true });
  const paint = (colours) => {
    context.clearRect(0, 0, 1, 1);
    for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => rgb.map((one) => one / 255)
    .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
    .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const one = walker.currentNode.parentElement;
    if (!text || !one.checkVisibility({ opacityProperty: true })) continue;
    if (one.closest(".unseen, .skip")) continue;
    if (one.closest("button:disabled, [aria-hidden='true']")) continue;
    const under = ["white"];
    for (let at = one; at; at = at.parentElement) {
      under.splice(1, 0, getComputedStyle(at).backgroundColor);
    }
    const back = light(paint(under));
    const front = light(paint([...under, getComputedStyle(one).color]));
    const contrast = (Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05);
    if (contrast < LEAST) found.push(`${contrast.toFixed(2)}: ${text.slice(0, 60)}`);
  }
  return found;
}""".replace("LEAST", str(AA))


def settle(page: Page, view: str) -> None:
    expect(page.locator("h1")).to_be_visible()
    expect(page.locator("main .waiting")).to_have_count(0)
    if view == "#/checkup":
        page.get_by_role("button", name="Check the gallery").click()
        expect(page.locator(".progress")).to_have_count(0)
        expect(page.get_by_role("button", name="Check again")).to_be_enabled()


def check(page: Page) -> None:
    """Names, order of headings, contrast, and that nothing scrolls sideways."""
    assert page.evaluate(UNNAMED) == []
    levels = page.evaluate(HEADINGS)
    assert levels[0] == 1, levels
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels)), levels
    assert page.evaluate(FAINT) == []
    width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1], width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_is_named_ordered_legible_and_narrow(
    scheme: Literal["light", "dark"], serve: Start, visit: Start, photo: Path, stranger: Path
) -> None:
    served = serve()
    for view in VIEWS:
        page = visit(served, view, viewport=PHONE, color_scheme=scheme).page
        settle(page, view)
        if view == "#/":
            page.set_input_files(CHOOSE, [photo, stranger])
            expect(page.locator(".evidence")).to_have_count(2)
            page.get_by_role("button", name="This is …", exact=True).click()
            expect(page.get_by_role("option").first).to_be_visible()
        check(page)
        page.set_viewport_size({"width": 1280, "height": 900})
        check(page)


def test_all_of_a_correction_by_keyboard(serve: Start, visit: Start, stranger: Path) -> None:
    page = visit(serve()).page
    # Heard from the start: a chooser that opens while its listener is being set is never told of.
    page.on("filechooser", lambda chooser: chooser.set_files(stranger))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Choose photographs")).to_be_focused()
    ring = "getComputedStyle(document.activeElement.closest('label')).outlineStyle"
    assert page.evaluate(ring) == "solid"
    page.keyboard.press("Enter")
    expect(page.locator(".evidence")).to_be_visible()
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent"))
        if reached[-1] == "This is …":
            break
    assert reached[-1] == "This is …", reached
    page.keyboard.press("Enter")
    expect(page.get_by_role("combobox")).to_be_focused()
    page.keyboard.type("old")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option", selected=True)).to_contain_text("Old Tower")
    page.keyboard.press("Escape")
    expect(page.get_by_role("listbox")).to_have_count(0)
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option", selected=True)).to_contain_text("Old Tower")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Add the photograph")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.locator(".done")).to_have_text("Added to Old Tower.")


def test_dialogs_keep_the_focus_and_give_it_back(serve: Start, visit: Start) -> None:
    page = visit(serve(), "#/landmarks/landmark0").page
    rename = page.get_by_role("button", name="Rename")
    rename.focus()
    page.keyboard.press("Enter")
    for _ in range(6):
        page.keyboard.press("Tab")
        inside = "!document.activeElement.matches('main *, header *')"
        assert page.evaluate(inside)
    page.keyboard.press("Escape")
    expect(rename).to_be_focused()


def test_a_phone_offers_its_camera(serve: Start, visit: Start) -> None:
    served = serve()
    page = visit(served, viewport=PHONE, has_touch=True, is_mobile=True).page
    expect(page.get_by_text("Take a photo")).to_be_visible()
    expect(page.get_by_label("Take a photo")).to_have_attribute("capture", "environment")
    expect(page.get_by_text("Drop photographs here")).to_be_hidden()
    desk = visit(served).page
    expect(desk.get_by_text("Drop photographs here")).to_be_visible()
    expect(desk.get_by_text("Take a photo")).to_be_hidden()


def test_those_who_want_no_motion_get_none(serve: Start, visit: Start) -> None:
    page = visit(serve(), reduced_motion="reduce").page
    page.route(re.compile("/v1/landmarks"), lambda route: None)
    page.get_by_role("link", name="Landmarks", exact=True).click()
    spinner = page.locator(".spinner")
    expect(spinner).to_be_visible()
    assert spinner.evaluate("(one) => getComputedStyle(one).animationName") == "none"


def test_nothing_runs_that_is_not_the_server_s(serve: Start, visit: Start) -> None:
    opened = visit(serve())
    opened.watch.expected = ("Content Security Policy",)
    page = opened.page
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.isBroken = true";
          const image = document.createElement("img");
          image.src = "https://example.org/picture.png";
          image.setAttribute("onerror", "window.isBroken = true");
          document.body.append(script, image);
          return new Promise((resolve) => image.addEventListener("error", resolve));
        }"""
    )
    assert page.evaluate("window.isBroken") is None
    assert page.evaluate("fetch('https://example.org/').then(() => 1, () => 0)") == 0
    assert not [one for one in opened.watch.asked if "example.org" in one]
