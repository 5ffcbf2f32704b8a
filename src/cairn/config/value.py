"""Values that check themselves, and their faults put into words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from cairn.errors import CairnError, nearest

T = TypeVar("T", bound="Value")


class Value(BaseModel):
    """A frozen value that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def parse_value(kind: type[T], values: dict[str, Any], *, where: object) -> T:
    """Return ``values`` as a ``kind``, its faults put into words.

    Raises:
        CairnError: An unknown key (with the nearest known one) or a value out of range.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            key = str(first["loc"][-1])
            homes = [] if "." in place else _homes(kind, key)
            known = _fields_at(kind, first["loc"][:-1])
            todo = f"did you mean {homes[0]!r}?" if homes else nearest(key, known)
            raise CairnError(f"unknown setting {place!r}", where=where, todo=todo) from None
        raise CairnError(f"setting {place!r}: {first['msg']}", where=where) from None


def _homes(kind: type[BaseModel], key: str, place: str = "") -> list[str]:
    """Return the settings of that very name in the sections below ``kind``, as section.key."""
    found = []
    for name, field in kind.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            inner = f"{place}{name}."
            found += [inner + key] * (key in field.annotation.model_fields)
            found += _homes(field.annotation, key, inner)
    return found


def _fields_at(kind: type[BaseModel], place: Iterable[int | str]) -> list[str]:
    for part in place:
        if part not in kind.model_fields:
            continue  # of a tuple or a table of values: its annotation was followed to the value
        inner = kind.model_fields[str(part)].annotation
        for candidate in (inner, *get_args(inner)):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                kind = candidate
                break
    return list(kind.model_fields)
