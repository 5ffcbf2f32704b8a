"""Recipes from files and by name, on one another and with overrides."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from cairn.config.recipe import Recipe, merged
from cairn.config.value import parse_value
from cairn.errors import CairnError, nearest


def builtin_recipes() -> list[str]:
    """Return the names of the recipes that come with the package."""
    folder = resources.files("cairn") / "recipes"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir())


def read_recipe(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Return the recipe in a TOML file, or the built-in one of that name, with overrides applied.

    Args:
        source: Path of a TOML file, or a name from ``builtin_recipes()``. A recipe may name
            another as its ``base`` (a name, or a path from its own folder) and say what differs.
        overrides: ``section.key=value`` texts; values are TOML, bare words are strings.

    Raises:
        CairnError: No such recipe, not TOML, an unknown key or a value out of range.
    """
    values = _read(source)
    for override in overrides:
        _apply(values, override)
    return parse_value(Recipe, values, where=source)


def _read(source: str | Path, *, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the values of a recipe laid over those of its ``base``, where it names one."""
    path = Path(source)
    if path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            todo = "the recipe comes first, the manifest after --data"
            raise CairnError(f"not TOML: {error}", where=source, todo=todo) from None
    elif str(source) in builtin_recipes():
        text = (resources.files("cairn") / "recipes" / f"{source}.toml").read_text("utf-8")
    else:
        raise CairnError(
            f"no recipe {str(source)!r}",
            where=path.absolute(),
            todo=f"give a TOML file or a built-in name; {nearest(str(source), builtin_recipes())}",
        )
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CairnError(f"not TOML: {error}", where=source) from None
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise CairnError("base must be the name or path of a recipe", where=source)
    if base not in builtin_recipes():
        base = str(path.parent / base)
    if base in seen:
        raise CairnError(f"a recipe is its own base: {' -> '.join((*seen, base))}", where=source)
    return merged(_read(base, seen=(*seen, base)), values)


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
