"""``cairn retrieval``: rankings of gallery images, and their scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cairn.cli.output import Json, emit

if TYPE_CHECKING:
    from cairn.retrieval import SetupScores

app = typer.Typer(no_args_is_help=True, help="Rank gallery images, and score rankings.")

_MOST_IDS = 1_000_000_000


@app.command("rank", short_help="Rank gallery images by similarity to each query.")
def rank(
    queries: Annotated[Path, typer.Argument(help="Embeddings of the queries.")],
    gallery: Annotated[Path, typer.Argument(help="Embeddings to rank: a table, or a gallery.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The rankings to write: .csv or .parquet.")
    ],
    top: Annotated[
        int | None, typer.Option(help="Images a query gets; all of the gallery by default.", min=1)
    ] = None,
    as_json: Json = False,
) -> None:
    """Rank the gallery images by similarity to each query, exactly, best first."""
    from cairn.errors import CairnError
    from cairn.progress import track
    from cairn.rankings import rank as rank_tables
    from cairn.rankings import write_rankings
    from cairn.runs import require_absent
    from cairn.tables import EmbeddingTable

    require_absent(output)
    asked, answers = EmbeddingTable.read(queries), EmbeddingTable.read(gallery)
    k = len(answers) if top is None else min(top, len(answers))
    if len(asked) * k > _MOST_IDS:
        raise CairnError(
            f"{len(asked):,} rankings of {k:,} images are too much for a file",
            where=output,
            todo="say how many images a query gets: --top 100 for mAP@100",
        )
    ranked = track(rank_tables(asked, answers, top=k), "queries ranked", total=len(asked))
    number = write_rankings(output, ranked)
    value = {"rankings": output, "num_queries": number, "num_images": k}
    text = f"{number:,} queries, {k:,} images each: {output}"
    emit(value, f"{text}\nnext: cairn retrieval evaluate {output} TRUTH", as_json=as_json)


@app.command("evaluate", short_help="Score rankings: ROxford, RParis, or mAP@100.")
def evaluate(
    rankings: Annotated[Path, typer.Argument(help="Rankings id,images: .csv or .parquet.")],
    truth: Annotated[
        Path,
        typer.Argument(help="ROxford's or RParis's truth (.json, .pkl), or CSV id,images[,Usage]."),
    ],
    usage: Annotated[
        str, typer.Option(help="Rows of a CSV truth that count: all, public or private.")
    ] = "all",
    per_query: Annotated[
        Path | None, typer.Option(help="Also write the AP of every query here.", metavar="CSV")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score rankings: ROxford's and RParis's mAP and mP@k, or mAP@100 against a CSV truth."""
    from cairn.errors import CairnError
    from cairn.rankings import read_rankings, read_retrieval_solution
    from cairn.runs import require_absent

    if per_query is not None:
        require_absent(per_query)
    if truth.suffix.lower() == ".csv":
        if per_query is not None:
            raise CairnError("APs of single queries are of ROxford and RParis", where="--per-query")
        solution = read_retrieval_solution(truth, usage=usage)
        score = solution.score(read_rankings(rankings))
        value = {"mean_average_precision": score, "num_queries": len(solution.truth)}
        emit(value, f"{len(solution.truth)} queries\nmAP@100  {score:.6f}", as_json=as_json)
        return
    if truth.suffix.lower() not in (".json", ".pkl", ".pickle"):
        raise CairnError(
            "a truth of rankings is a .json, .pkl or .csv file",
            where=truth,
            todo="`cairn data roxford` writes NAME-truth.json beside its manifest",
        )
    if usage != "all":
        raise CairnError("this truth has no Usage to select", where="--usage")
    _evaluate_revisited(rankings, truth, per_query, as_json=as_json)


def _evaluate_revisited(
    rankings: Path, truth: Path, per_query: Path | None, *, as_json: bool
) -> None:
    from cairn.rankings import read_rankings
    from cairn.retrieval import revisited_scores
    from cairn.sources.revisited import read_ground_truth

    known = read_ground_truth(truth)
    ranked = _of_this_gallery(read_rankings(rankings), frozenset(known.gallery), rankings)
    scores = revisited_scores(ranked, known.queries)
    if per_query is not None:
        _write_per_query(per_query, scores)
    value: dict[str, Any] = {
        "num_queries": len(known.queries),
        "setups": {
            setup: {
                "mean_average_precision": score.mean_average_precision,
                "mean_precision_at": {str(k): p for k, p in score.mean_precision_at.items()},
                "num_queries": len(score.average_precisions),
                "num_missing": score.num_missing,
            }
            for setup, score in scores.items()
        },
    }
    emit(value, _table(scores), as_json=as_json)


def _of_this_gallery(
    rankings: Iterable[tuple[str, list[str]]], gallery: frozenset[str], path: Path
) -> Iterator[tuple[str, list[str]]]:
    """Pass rankings on; refuse those that know no image of the truth's gallery."""
    from cairn.errors import CairnError

    met = False
    for query, images in rankings:
        met = met or not gallery.isdisjoint(images)
        yield query, images
    if not met:
        raise CairnError(
            "no ranking holds an image of the truth's gallery",
            where=f"{path}, such as {min(gallery)!r}",
            todo="rank with the ids that `cairn data roxford` gives: names without their ending",
        )


def _write_per_query(path: Path, scores: Mapping[str, SetupScores]) -> None:
    import csv

    from cairn.runs import atomic_write

    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("id", "setup", "average_precision"))
        for setup, score in scores.items():
            for query, value in score.average_precisions.items():
                writer.writerow((query, setup, repr(value)))


def _table(scores: Mapping[str, SetupScores]) -> str:
    """Return the scores in per cent, as they are published."""
    lines: list[str] = []
    for setup, score in scores.items():
        if not lines:
            ks = "".join(f"{f'mP@{k}':>8}" for k in score.mean_precision_at)
            lines.append(f"{'%':<8}{'queries':>8}{'mAP':>8}{ks}")
        at_k = "".join(f"{100 * p:>8.2f}" for p in score.mean_precision_at.values())
        number = len(score.average_precisions)
        lines.append(f"{setup:<8}{number:>8}{100 * score.mean_average_precision:>8.2f}{at_k}")
    missing = max(score.num_missing for score in scores.values())
    if missing:
        lines.append(
            f"{missing} images to be found are in no ranking and count as never found: the ranking "
            "is cut off, or they could not be read; the scores are lower bounds"
        )
    return "\n".join(lines)
