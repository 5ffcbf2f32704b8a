"""``cairn data split``, ``queries`` and ``verify``: benchmarks that do not flatter."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cairn.cli.manifests import free
from cairn.cli.output import Json, emit, resumable

if TYPE_CHECKING:
    from cairn.inspection.look import Looks
    from cairn.manifest import Manifest
    from cairn.splitting import Verification

Groups = Annotated[
    list[str] | None,
    typer.Option(
        "--group",
        help="Keep together what agrees in a column: author, or author+taken:day, or "
        "latitude:0.001+longitude:0.001.",
    ),
]


Earlier = Annotated[
    Path | None,
    typer.Option(help="An inspection: photographs unchanged since are not looked at again."),
]


def split(
    manifest: Annotated[Path, typer.Argument(help="Labelled images, and images of no landmark.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="The manifest to write; its card goes beside it.", callback=free
        ),
    ],
    unseen: Annotated[
        float | None, typer.Option(help="Landmarks nobody knows: a share, or a number; 0.1.")
    ] = None,
    distractor_rate: Annotated[
        float | None,
        typer.Option(help="Share of queries that show no known landmark, such as 0.98; else all."),
    ] = None,
    tail: Annotated[
        str | None, typer.Option(help="keep, gldv2, zipf:EXPONENT, or a file of sizes.")
    ] = None,
    group: Groups = None,
    look: Annotated[
        bool, typer.Option(help="Look at every photograph, to find copies in other bytes.")
    ] = True,
    earlier: Earlier = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="NAME=VALUE: query_share, bank_share, min_gallery, min_images, gallery_share, "
            "new_landmarks.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of every choice.")] = 0,
    as_json: Json = False,
) -> None:
    """Split a labelled set into a benchmark: disjoint parts, copies on one side, unknowns told."""
    from cairn.manifest import Manifest
    from cairn.runs import require_absent
    from cairn.splitting import (
        SplitSettings,
        leak_groups,
        split_manifest,
        verify_split,
        write_split,
    )
    from cairn.splitting.tail import tail_of
    from cairn.splitting.write import companions

    wishes: dict[str, Any] = {
        "unseen": unseen,
        "distractor_rate": distractor_rate,
        "tail": tail,
    }
    given = {name: value for name, value in wishes.items() if value is not None}
    wanted = SplitSettings(**given, seed=seed).changed(settings or ())
    tail_of(wanted.tail)  # a wrong one is told before the photographs are looked at
    for path in companions(output).values():
        require_absent(path)
    images = Manifest.read(manifest)
    partial = output.with_name(f"{output.name}.partial")
    with resumable():
        looks = _looks(images, earlier, partial) if look else None
    groups = leak_groups(images, columns=group or (), looks=looks)
    made = split_manifest(images, wanted, groups=groups)
    checked = verify_split(made.manifest, looks=_some(looks, made.parts >= 0))
    facts = write_split(made, output, verification=checked, name=str(manifest))
    shutil.rmtree(partial, ignore_errors=True)
    files = {"manifest": output, **companions(output)}
    emit({**facts, "files": files}, _told(facts, files), as_json=as_json)


def queries(
    manifest: Annotated[Path, typer.Argument(help="A manifest with queries.")],
    validation: Annotated[
        Path, typer.Option(help="The manifest to write of those that choose.", callback=free)
    ],
    test: Annotated[
        Path, typer.Option(help="The manifest to write of those that judge.", callback=free)
    ],
    share: Annotated[
        float, typer.Option(help="Of each landmark's queries, for the validation.")
    ] = 0.5,
    look: Annotated[
        bool, typer.Option(help="Look at every query, to keep copies in other bytes together.")
    ] = True,
    earlier: Earlier = None,
    group: Groups = None,
    seed: Annotated[int, typer.Option(help="Of the choice.")] = 0,
    as_json: Json = False,
) -> None:
    """Part the queries in two: some to choose stages and thresholds on, others to judge them."""
    from cairn.errors import CairnError
    from cairn.manifest import Manifest
    from cairn.splitting import part_queries

    if validation.absolute() == test.absolute():
        raise CairnError("both parts would be one file", where=test, todo="name two files")
    asked = Manifest.read(manifest).select("query")
    looks = _looks(asked, earlier) if look and len(asked) else None
    parts = part_queries(asked, share=share, columns=group or (), looks=looks, seed=seed)
    files = {"validation": validation, "test": test}
    facts: dict[str, Any] = {}
    lines = []
    for (name, file), part in zip(files.items(), parts, strict=True):
        part.write(file)
        told = part.summary()
        facts[name] = {
            "manifest": file,
            "num_queries": len(part),
            "num_landmarks": told["num_landmarks"],
            "num_queries_without_landmark": told["num_queries_without_landmark"],
            "fingerprint": part.fingerprint,
        }
        lines.append(
            f"{name}: {len(part):,} queries of {told['num_landmarks']:,} landmarks, "
            f"{told['num_queries_without_landmark']:,} of none: {file}"
        )
    lines.append(f"next: cairn tune GALLERY {validation} {test} -o tuned")
    emit(facts, "\n".join(lines), as_json=as_json)


def verify(
    manifest: Annotated[Path, typer.Argument(help="A manifest with queries.")],
    look: Annotated[
        bool, typer.Option(help="Also look at every photograph, for copies in other bytes.")
    ] = False,
    earlier: Earlier = None,
    group: Groups = None,
    gallery: Annotated[
        Path | None, typer.Option(help="Also a gallery from elsewhere, its bank included.")
    ] = None,
    bank: Annotated[
        Path | None, typer.Option(help="Also a bank from elsewhere: embeddings or a manifest.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check that queries do not stand among what is known; exit code 2 where they do."""
    from cairn.errors import CairnError
    from cairn.manifest import Manifest
    from cairn.splitting import verify_split
    from cairn.splitting.evaluation import verify_evaluation
    from cairn.splitting.findings import SHOWN

    images = Manifest.read(manifest)
    if "query" not in images.roles:
        raise CairnError(
            "this manifest has no queries, so that nothing in it can leak",
            where=manifest,
            todo="make some with `cairn data split`",
        )
    looks = _looks(images, earlier) if look or earlier else None
    here = verify_split(
        images,
        columns=group or (),
        looks=looks,
        files=True,
        shown=len(images) if as_json else SHOWN,
    )
    elsewhere, _ = verify_evaluation((), images.select("query"), gallery=gallery, bank=bank)
    result = here.joined([elsewhere])
    emit({**result.to_json(), "manifest": manifest}, _lines(result), as_json=as_json)
    if result.leaks:
        raise typer.Exit(2)


def _looks(manifest: Manifest, earlier: Path | None, partial: Path | None = None) -> Looks:
    from cairn.inspection.look import look_at
    from cairn.progress import say

    looks = look_at(manifest.paths, earlier=earlier, partial=partial)
    for row, why in list(looks.reasons.items())[:5]:
        say(f"unreadable: {manifest.paths[row]}: {why.reason}")
    if len(looks.reasons) > 5:
        say(f"unreadable: {len(looks.reasons) - 5:,} more; `cairn inspect` names all")
    return looks


def _some(looks: Looks | None, mask: Any) -> Looks | None:
    """Return what was seen in the rows of a mask."""
    return None if looks is None else looks.take(mask.nonzero()[0])


def _told(facts: Mapping[str, Any], files: Mapping[str, Path]) -> str:
    parts = ", ".join(f"{name} {count:,}" for name, count in facts["parts"].items())
    landmarks = ", ".join(f"{count:,} {name}" for name, count in facts["num_landmarks"].items())
    groups, left = facts["groups"], sum(facts["left_out"].values())
    return "\n".join(
        (
            f"{sum(facts['parts'].values()):,} images: {parts}",
            f"landmarks: {landmarks}",
            f"{facts['distractor_rate']:.2%} of the queries show no known landmark",
            f"{groups['number']:,} groups of {groups['images']:,} images were kept together; "
            f"{left:,} images were left out",
            f"{_checked(facts['verification'])}",
            f"written to {files['manifest']}; read {files['card']}",
        )
    )


def _checked(verification: Mapping[str, Any]) -> str:
    if verification["leaks"]:
        return "it LEAKS: " + " ".join(one["text"] for one in verification["findings"])
    return f"no leak found by {', '.join(verification['checked'])}"


def _lines(result: Verification) -> str:
    lines = []
    for finding in result.findings:
        lines.append(f"{finding.severity}: {finding.text}")
        lines.append(f"      {finding.shown()}")
    lines += [f"not checked: {text}" for text in result.not_checked]
    lines.append(f"checked: {', '.join(result.checked)}")
    lines.append("It leaks: scores will flatter." if result.leaks else "No leak found.")
    return "\n".join(lines)
