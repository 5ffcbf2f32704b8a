"""What every ``cairn data`` command shares: where the manifest goes, and what is said of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cairn.cli.output import emit

if TYPE_CHECKING:
    from cairn.manifest import Manifest


def free(output: Path | None) -> Path | None:
    """Refuse a manifest's name before the work is done.

    Raises:
        CairnError: Its ending is none of a table, it is taken, or its folder cannot be written to.
    """
    from cairn.columns import TABLE_SUFFIXES
    from cairn.errors import CairnError
    from cairn.runs import require_absent

    if output is None:
        return None
    if output.suffix.lower() not in TABLE_SUFFIXES:
        raise CairnError(
            f"a manifest's name ends in .parquet or .csv, not {output.suffix!r}",
            where=output,
            todo=f"name it {output.with_suffix('.parquet').name}",
        )
    require_absent(output)  # another holdout over the same name would leak queries into a gallery
    folder = next(one for one in output.absolute().parents if one.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        what = "this folder cannot be written to" if folder.is_dir() else "this is no folder"
        raise CairnError(what, where=folder, todo="name another place: -o")
    return output


Output = Annotated[
    Path,
    typer.Option("--output", "-o", help="The manifest to write: .parquet or .csv.", callback=free),
]
LabelSpace = Annotated[
    str | None,
    typer.Option(
        "--label-space", help="What the landmark ids belong to; ids compare only within one."
    ),
]

Exif = Annotated[
    bool, typer.Option("--exif", help="Read position, size and time from the photographs' files.")
]


def finish(
    manifest: Manifest,
    output: Path,
    notes: Sequence[str],
    extra: Mapping[str, object],
    *,
    as_json: bool,
    next_step: str = "cairn inspect {} -o inspection",
    truth_known: bool = True,
) -> None:
    """Write the manifest, say the notes on stderr, and print what it holds.

    ``next_step`` is the command to try next, with ``{}`` where the manifest's name belongs; without
    ``truth_known`` a query that names no landmark may show one.
    """
    from cairn.progress import say

    for note in notes:
        say(f"note: {note}")
    manifest.write(output)
    summary = manifest.summary()
    roles = ", ".join(f"{role} {count:,}" for role, count in summary["roles"].items())
    nothing = summary["num_queries_without_landmark"]
    says = "show" if truth_known else "name"
    lines = [
        f"{summary['num_images']:,} images of {summary['num_landmarks']:,} landmarks: {roles}",
        *([f"{nothing:,} of the queries {says} no landmark"] if nothing else []),
        f"written to {output}; next: {next_step.format(output)}",
    ]
    value = {
        **summary,
        **extra,
        "fingerprint": manifest.fingerprint,
        "notes": list(notes),
        "manifest": output,
    }
    emit(value, "\n".join(lines), as_json=as_json)
