"""``cairn data clean`` and ``cairn data apply``: labels that look wrong, and mending them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cairn.cli.embed import Device
from cairn.cli.manifests import free
from cairn.cli.output import Json, emit


def clean(
    embeddings: Annotated[
        Path, typer.Argument(help="Embeddings of the training images: what `cairn embed` wrote.")
    ],
    manifest: Annotated[Path, typer.Argument(help="Their labels: .parquet or .csv.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A new folder for suggestions.")],
    bank: Annotated[
        Path | None, typer.Option(help="Embeddings of the images of role nonlandmark.")
    ] = None,
    least: Annotated[
        float | None,
        typer.Option(help="Confidence from which something is suggested; 0.5 by default."),
    ] = None,
    num_neighbors: Annotated[
        int | None, typer.Option(help="Nearest photographs looked at; 16 by default.")
    ] = None,
    shown: Annotated[
        int | None, typer.Option(help="Suggestions of a kind on the page; 24 by default.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Suggest labels to change, with evidence; nothing is changed."""
    from cairn.cleaning import CleanRule
    from cairn.cleaning import clean as clean_manifest
    from cairn.manifest import Manifest
    from cairn.tables import EmbeddingTable

    given: dict[str, Any] = {"least": least, "num_neighbors": num_neighbors, "shown": shown}
    rule = CleanRule(**{name: value for name, value in given.items() if value is not None})
    images = Manifest.read(manifest)
    tables = [EmbeddingTable.read(folder) for folder in (embeddings, bank) if folder is not None]
    found = clean_manifest(images, tables, output, rule=rule, device=device)
    counts, page = found.report["counts"], output / "index.html"
    missing = found.report["num_missing"]
    lines = [
        ", ".join(f"{kind} {count:,}" for kind, count in counts.items()),
        *([f"{missing:,} images of the manifest have no embedding here"] if missing else []),
        f"open {page}; nothing is suggested",
    ]
    if any(counts.values()):
        lines[-1:] = [
            f"open {page}; then edit {output / 'suggestions.csv'} and",
            f"next: cairn data apply {output} {manifest} -o cleaned.parquet",
        ]
    emit({**found.report, "page": page}, "\n".join(lines), as_json=as_json)


def apply(
    suggestions: Annotated[Path, typer.Argument(help="The folder that `cairn data clean` wrote.")],
    manifest: Annotated[Path, typer.Argument(help="The manifest that was cleaned.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The new manifest: .parquet or .csv.", callback=free),
    ],
    kinds: Annotated[
        str, typer.Option(help="Also apply, without a yes: relabel, drop, 'leave bank'.")
    ] = "",
    min_confidence: Annotated[float | None, typer.Option(help="Least confidence of those.")] = None,
    as_json: Json = False,
) -> None:
    """Write a new manifest with the suggestions that are told: by yes in apply, or by --kinds."""
    from cairn.cleaning import apply_suggestions

    chosen = [kind.strip() for kind in kinds.split(",") if kind.strip()]
    done = apply_suggestions(
        suggestions, manifest, output, kinds=chosen, min_confidence=min_confidence
    )
    text = ", ".join(f"{kind} {count:,}" for kind, count in done.counts.items())
    value = {
        "manifest": done.manifest,
        "ledger": done.ledger,
        "counts": dict(done.counts),
        "num_images": done.num_images,
    }
    emit(
        value,
        f"applied: {text}\n{done.num_images:,} images written to {done.manifest}; "
        f"what changed: {done.ledger}",
        as_json=as_json,
    )
