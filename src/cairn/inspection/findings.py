"""What the figures of an inspection mean: sentences, and what to do first.

A step is ``act`` where scores or training are wrong until it is taken, ``look`` where a person has
to decide, ``note`` where it is good to know.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Figures = Mapping[str, Any]


def sentences(report: Figures) -> tuple[str, ...]:
    """Return the findings in words, what matters first."""
    said = []
    number = report["num_gallery_landmarks"]
    if number:
        bins = report["landmarks_by_images"]
        few = sum(bins.get(name, 0) for name in ("1", "2", "3-5"))
        half = report["landmarks_with_half_of_the_images"]
        said.append(
            f"{number:,} landmarks to recognize; {few / number:.0%} have at most five images, the "
            f"middle one has {report['median_images_per_landmark']:,}, and half of all images show "
            f"{half:,} of them."
        )
    if report["num_unreadable"]:
        reasons = ", ".join(f"{why} {n:,}" for why, n in report["unreadable_reasons"].items())
        said.append(f"Files that cannot be read: {report['num_unreadable']:,} ({reasons}).")
    else:
        said.append(f"All {report['num_images']:,} files can be read.")
    exact, near = report["num_exact_duplicates"], report["num_near_duplicates"]
    said.append(
        f"Pictures that stand more than once: {report['num_duplicate_pictures']:,}. Of their later "
        f"images {exact:,} repeat an earlier file, {near:,} its picture in other bytes."
        if exact or near
        else "No picture stands twice."
    )
    if report["num_leaking_queries"]:
        said.append(
            "Queries whose picture also stands among the training, gallery or non-landmark images: "
            f"{report['num_leaking_queries']:,}. Scores will flatter."
        )
    if report["num_pictures_with_two_labels"]:
        number = report["num_pictures_with_two_labels"]
        said.append(f"Pictures that bear two labels, of which one is wrong: {number:,}.")
    if report["num_altered"]:
        said.append(f"Files that differ from the manifest's sha256: {report['num_altered']:,}.")
    if report["num_other_sizes"]:
        said.append(
            f"Photographs of another size than the manifest states: {report['num_other_sizes']:,}."
        )
    return tuple(said)


def steps(report: Figures, out: Path) -> list[dict[str, Any]]:
    """Return what to do, in order: ``name``, ``severity``, ``text`` and a ``command`` or "".

    Args:
        report: The figures.
        out: The folder that the inspection is in.
    """
    clean = f"cairn train RECIPE.toml --data {shlex.quote(str(out / 'clean.parquet'))}"
    found: list[tuple[str, str, str, str]] = []
    if count := report["num_unreadable"]:
        first = next(iter(report["unreadable_reasons"]))
        found.append(
            (
                "unreadable",
                "act",
                f"{count:,} {_files(count)} cannot be read, most often: {first}. Fetch them again, "
                "or go on without them: clean.parquet leaves them out.",
                clean,
            )
        )
    if count := report["num_leaking_queries"]:
        found.append(
            (
                "leaks",
                "act",
                f"{count:,} of {report['roles'].get('query', 0):,} queries show a picture that "
                "other roles have too, so that scores flatter. clean.parquet leaves the other "
                "roles’ images out and keeps the queries.",
                clean,
            )
        )
    if count := report["num_altered"]:
        found.append(
            (
                "unreadable",
                "act",
                f"{count:,} {_files(count)} differ from the manifest’s sha256: fetch them again, "
                "or make the manifest anew.",
                "",
            )
        )
    if count := report["num_pictures_with_two_labels"]:
        found.append(
            (
                "labels",
                "look",
                f"Pictures that bear two labels: {count:,}. One is wrong, or two landmarks are "
                "one: mend landmark_id in the manifest. duplicates.csv has them all, with "
                "labels_differ = 1.",
                "",
            )
        )
    again = report["num_exact_duplicates"] + report["num_near_duplicates"]
    if again:
        found.append(
            (
                "again",
                "note",
                f"Images that repeat an earlier one’s picture: {again:,}. Within one landmark and "
                "role the first is enough: clean.parquet leaves the others out.",
                clean,
            )
        )
    if count := report["landmarks_by_images"].get("1", 0):
        found.append(
            (
                "landmarks",
                "note",
                f"Landmarks with a single image: {count:,} of {report['num_gallery_landmarks']:,}: "
                "nothing can confirm it, and validation has nothing to set aside. In training, "
                "--set sampling.min_images=2 leaves them out; the gallery keeps them.",
                "",
            )
        )
    if absent := report["absent_columns"]:
        names = " and ".join(absent)
        found.append(
            (
                "values",
                "note",
                f"The manifest has no {names}: whoever publishes these photographs, or a model of "
                "them, has to know.",
                "",
            )
        )
    said: set[str] = set()
    result = []
    for name, severity, text, command in found:
        once = "" if command in said else command
        said.add(command)
        result.append({"name": name, "severity": severity, "text": text, "command": once})
    return result


def _files(count: int) -> str:
    return "file" if count == 1 else "files"
