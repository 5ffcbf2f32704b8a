"""Recipes from files and by name, on one another and with overrides."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from cairn.config.recipe import Recipe, merged
from cairn.config.value import parse_value
from cairn.errors import CairnError, nearest


def builtin_recipes() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return builtin_names(_recipes())


def read_recipe(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Return the recipe in a TOML file, or the built-in one of that name, with overrides applied.

    Args:
        source: Path of a TOML file, or a name from ``builtin_recipes()``. A recipe may name
            another as its ``base`` (a name, or a path from its own folder) and say what differs.
        overrides: ``section.key=value`` texts; values are TOML, bare words are strings.

    Raises:
        CairnError: No such recipe, not TOML, an unknown key or a value out of range.
    """
    values = read_values(source, _recipes(), noun="recipe")
    for override in overrides:
        _apply(values, override)
    return parse_value(Recipe, values, where=source)


def read_values(
    source: str | Path,
    folder: Traversable,
    *,
    noun: str,
    adjust: Callable[[dict[str, Any], Path], None] | None = None,
    seen: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Return the values of a TOML file laid over those of its ``base``, where it names one.

    Args:
        source: Its path, or the name of a built-in one.
        folder: Where the built-in ones are.
        noun: What it is, for errors.
        adjust: Called with the values of each file and its path, before they are put together.
        seen: Files that led here by their ``base``.

    Raises:
        CairnError: No such file or name, not TOML, or a file that is its own base.
    """
    path, known = Path(source), builtin_names(folder)
    if path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            todo = f"give a {noun} in TOML; the manifest comes after --data"
            raise CairnError(f"not TOML: {error}", where=source, todo=todo) from None
    elif str(source) in known:
        text = (folder / f"{source}.toml").read_text("utf-8")
    else:
        raise CairnError(
            f"no {noun} {str(source)!r}",
            where=path.absolute(),
            todo=f"give a TOML file or a built-in name; {nearest(str(source), known)}",
        )
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CairnError(f"not TOML: {error}", where=source) from None
    if adjust is not None:
        adjust(values, path)
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise CairnError(f"base must be the name or path of a {noun}", where=source)
    if base not in known:
        base = str(path.parent / base)
    if base in seen:
        raise CairnError(f"a {noun} is its own base: {' -> '.join((*seen, base))}", where=source)
    below = read_values(base, folder, noun=noun, adjust=adjust, seen=(*seen, base))
    return merged(below, values)


def builtin_names(folder: Traversable) -> list[str]:
    """Return the names of the TOML files in a folder of the package."""
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir())


def _recipes() -> Traversable:
    return resources.files("cairn") / "recipes"


def _apply(values: dict[str, Any], override: str) -> None:
    """Set one ``a.b=c`` in nested ``values``."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise CairnError(
            f"not an override: {override!r}", where="--set", todo="write it as section.key=value"
        )
    try:
        value = tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        value = text
    *sections, last = key.strip().split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise CairnError(f"{section!r} is not a section", where=f"--set {override}")
    values[last] = None if value == "none" else value
