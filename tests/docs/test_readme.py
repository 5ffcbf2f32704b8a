"""The README and the tutorials, run as a reader would.

Convention: a fenced block right below a line ``<!-- tested -->`` is run, in the order of the page,
in one new folder per page. In ``console`` blocks the lines that start with ``$ `` are commands, a
trailing backslash continues one, and the other lines are output, which is shown but not compared;
every command is ``cairn`` without the shell's own signs (pipes, redirections, wildcards), so that
it runs on any system. ``python`` blocks are run in the same folder and share their names. Any other
marked block is an error, and so is a README without one.

The folder holds what the README's tour asks the reader for: ``photos/`` with one folder per
landmark, ``others/`` with pictures that show none, and ``query.jpg``, another photograph of one of
the landmarks. ``cairn data gldv2`` finds a small data set at a server on this machine. Commands in
blocks without the mark are not run (some take minutes); each must still be one that ``cairn``
understands, with options and recipes that exist.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cairn.cli import main
from cairn.config import builtin_recipes, read_recipe
from measuring.serving import FileServer
from measuring.small_gldv2 import make_gldv2

ROOT = Path(__file__).resolve().parents[2]
MARK = "<!-- tested -->"
PAGES = [
    ROOT / "README.md",
    *(page for page in sorted((ROOT / "docs").glob("*.md")) if MARK in page.read_text("utf-8")),
]
_SHELL_SIGNS = set("|<>&;*?$`(){}~")


@dataclass(frozen=True)
class Block:
    """A marked block: where it starts, its language and its lines."""

    line: int
    language: str
    text: tuple[str, ...]

    def commands(self) -> Iterator[list[str]]:
        """Yield the words of each command."""
        waiting = ""
        for line in self.text:
            if waiting:
                waiting += line.strip().removeprefix("> ")
            elif line.startswith("$ "):
                waiting = line.removeprefix("$ ")
            else:
                continue
            if waiting.endswith("\\"):
                waiting = waiting.removesuffix("\\")
                continue
            yield shlex.split(waiting, comments=True)
            waiting = ""
        assert not waiting, f"line {self.line}: a command that is continued nowhere"


def marked_blocks(text: str) -> list[Block]:
    """Return the blocks of a page that stand right below the mark."""
    lines = text.splitlines()
    blocks = []
    for number, line in enumerate(lines):
        if line.strip() != MARK:
            continue
        fence = re.fullmatch(
            r"(`{3,})(\w*)\s*", lines[number + 1] if number + 1 < len(lines) else ""
        )
        assert fence, f"line {number + 1}: no block below the mark"
        end = lines.index(fence[1], number + 2)
        blocks.append(Block(number + 2, fence[2], tuple(lines[number + 2 : end])))
    return blocks


def photograph(path: Path, pattern: np.ndarray[Any, Any], rng: np.random.Generator) -> None:
    """Write a view of a coarse pattern under its own light."""
    pixels = np.kron(pattern, np.ones((24, 32, 1))) * rng.uniform(0.8, 1.2)
    pixels += rng.normal(0, 10, pixels.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path, quality=92)


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder that has what the tour asks for."""
    rng = np.random.default_rng(11)
    for landmark in range(6):
        pattern = rng.uniform(30, 220, (4, 4, 3))
        for number in range(6):
            photograph(tmp_path / f"photos/landmark {landmark}/{number}.jpg", pattern, rng)
        if landmark == 2:
            photograph(tmp_path / "query.jpg", pattern, rng)
    for number in range(20):
        photograph(tmp_path / f"others/{number}.jpg", rng.uniform(30, 220, (4, 4, 3)), rng)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def gldv2(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Serve a small Google Landmarks v2 in the place of the real one."""
    made = make_gldv2(num_tars=1, side=96)
    monkeypatch.setattr(os, "sync", lambda: None)
    with FileServer(made.files).running() as server:
        monkeypatch.setenv("CAIRN_GLDV2_BASE", server.url)
        yield


def run(words: list[str], where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = shlex.join(words)
    assert words[:1] == ["cairn"], f"{where}: only cairn's commands are tested: {shown}"
    assert not _SHELL_SIGNS & set("".join(words)), f"{where}: no shell runs this: {shown}"
    monkeypatch.setattr(sys, "argv", words)
    status: object = None
    try:
        main()
    except SystemExit as end:
        status = end.code
    assert status in (0, None), f"{where}: exit {status}: {shown}"


@pytest.mark.usefixtures("gldv2")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_s_commands_and_code_run(
    page: Path, reader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = marked_blocks(page.read_text(encoding="utf-8"))
    if page.name == "README.md":
        assert blocks, f"the README has no block marked {MARK}"
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks:
        where = f"{page.name}, line {block.line}"
        if block.language == "python":
            exec(compile("\n".join(block.text), where, "exec"), names)
            continue
        assert block.language == "console", f"{where}: marked, but neither console nor python"
        commands = list(block.commands())
        assert commands, f"{where}: marked, but no line starts with '$ '"
        for words in commands:
            run(words, where, monkeypatch)


def every_page() -> list[Path]:
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", every_page(), ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http://", "https://", "mailto:", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), f"{page.name}: {target}"


def every_command() -> list[tuple[str, list[str]]]:
    """Return page and words of every ``$ cairn`` command that the pages show, marked or not."""
    found = []
    for page in every_page():
        text = page.read_text(encoding="utf-8").replace(MARK, "")
        shown = re.sub(r"^(?=```console)", f"{MARK}\n", text, flags=re.MULTILINE)
        for block in marked_blocks(shown):
            found += [(page.name, words) for words in block.commands() if words[:1] == ["cairn"]]
    return found


@pytest.mark.parametrize(("page", "words"), every_command())
def test_every_command_shown_is_one_that_cairn_understands(page: str, words: list[str]) -> None:
    from typer.main import get_command

    from cairn.cli.app import app

    command: Any = get_command(app)
    rest = words[1:]
    while subcommands := getattr(command, "commands", None):
        assert rest, "a command of the group is missing"
        assert rest[0] in subcommands, f"{page}: no command {rest[0]!r}"
        command = subcommands[rest.pop(0)]
    context = command.make_context("cairn", rest)
    recipe = context.params.get("recipe") or "own.toml"
    assert recipe in builtin_recipes() or recipe.endswith(".toml"), f"{page}: recipe {recipe}"
    for setting in context.params.get("overrides") or ():
        read_recipe("demo", [setting])


def test_the_readme_names_every_command() -> None:
    from typer.main import get_command

    from cairn.cli.app import app

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in getattr(get_command(app), "commands", {}):
        assert f"cairn {name}" in text, f"the README does not show `cairn {name}`"


def test_the_file_tree_names_every_module() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = re.findall(r"^  (\S+)", text[text.index("\nsrc/cairn/") :], flags=re.MULTILINE)
    there = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in (ROOT / "src" / "cairn").iterdir()
        if path.name != "__pycache__"
    }
    assert set(tree) >= there, f"not in the README's tree: {sorted(there - set(tree))}"
    gone = [name for name in tree if not list((ROOT / "src" / "cairn").glob(name.rstrip("/")))]
    assert gone == []


def test_the_convention_itself() -> None:
    text = f"""
{MARK}
```console
$ cairn a \\
>   --b "c d"   # why
output
$ cairn e
```
```console
$ rm not-run
```
{MARK}
```python
x = 1
```
"""
    first, second = marked_blocks(text)
    assert list(first.commands()) == [["cairn", "a", "--b", "c d"], ["cairn", "e"]]
    assert (second.language, second.text) == ("python", ("x = 1",))
    with pytest.raises(AssertionError, match="no block below"):
        marked_blocks(f"{MARK}\n\ntext")
