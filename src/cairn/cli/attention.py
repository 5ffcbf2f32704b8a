"""``cairn attention``: where the model looks, and what speaks for the match, over a photograph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cairn.cli.output import Json, emit

if TYPE_CHECKING:
    from cairn.gallery import Gallery


def attention(
    source: Annotated[Path, typer.Argument(help="A gallery (folder or s3://...), or a model.")],
    photograph: Annotated[Path, typer.Argument(help="The photograph.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write.")],
    match: Annotated[
        Path | None,
        typer.Option(
            help="The photograph to compare with; by default the gallery's most similar one."
        ),
    ] = None,
    method: Annotated[
        Literal["auto", "exact", "occlusion"],
        typer.Option(help="exact: the similarity as a sum over places; occlusion: hide parts."),
    ] = "auto",
    stretch: Annotated[
        bool,
        typer.Option("--stretch", help="Colour each context mask over its own range."),
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Draw context masks by stage, and which places speak for the matched photograph."""
    from dataclasses import asdict

    from cairn.attention import look
    from cairn.gallery import Gallery
    from cairn.runs import require_absent

    model, title = source, "match"
    require_absent(output)
    if not (source / "config.json").is_file():  # a model folder has one, a gallery has none
        gallery = Gallery.load(source)
        model = gallery.model_dir
        if match is None:
            match, title = _best(gallery, photograph)
    looked = look(
        model,
        photograph,
        output,
        match=match,
        match_title=title,
        method=method,
        stretch=stretch,
        device=device,
    )
    lines = [
        f"{name}: attention {least:.2f} to {most:.2f} times the even share"
        for name, (most, least) in looked.stages.items()
    ]
    if looked.similarity is not None:
        lines.append(f"similarity to {match}: {looked.similarity:.4f}")
    lines.append(f"drawn: {output / looked.files[0]}, and {len(looked.files) - 1} pictures")
    emit({**asdict(looked), "match": match}, "\n".join(lines), as_json=as_json)


def _best(gallery: Gallery, photograph: Path) -> tuple[Path, str]:
    """Return the gallery photograph that speaks for the answer, and its landmark."""
    from cairn.errors import CairnError
    from cairn.recognize import Recognizer
    from cairn.runtime import load_runtime

    runtime = load_runtime(gallery.model_dir, backend="torch", device="cpu")
    answer = Recognizer(gallery, runtime, top=1)(photograph)
    path = Path(answer.evidence[0].path)
    if not path.is_file():
        raise CairnError(
            "the matched photograph is not where the gallery says",
            where=path,
            todo="give it, or another, with --match",
        )
    name = answer.landmark and answer.landmark.name
    return path, f"match: {name or answer.landmark_id}"
