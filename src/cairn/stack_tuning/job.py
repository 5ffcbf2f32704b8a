"""The whole job on a gallery: refuse leaks, embed, search, measure, write a folder.

The folder fills as the work goes on (embeddings, trials), so that the same command goes on after an
interruption; ``tuning.json`` is written last.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path

from cairn.domain import Neighbors
from cairn.embed import embed
from cairn.gallery import Gallery
from cairn.gallery.indexes import searcher_of
from cairn.gallery.penalties import bank_of
from cairn.gallery.versions import Version
from cairn.manifest import Manifest
from cairn.metrics import Ranking
from cairn.progress import say, track
from cairn.rerank import NUM_HITS, Context, Pipeline
from cairn.rerank.context import Inliers
from cairn.splitting.evaluation import verify_evaluation
from cairn.splitting.sides import side_of
from cairn.splitting.verify import verify_sides
from cairn.stack_tuning import cautions
from cairn.stack_tuning.cautions import Caution
from cairn.stack_tuning.fitting import is_fitted
from cairn.stack_tuning.gains import Measured, ablation, rows_of, smallest_gain
from cairn.stack_tuning.outcome import TODAY, Outcome, Wishes
from cairn.stack_tuning.portfolio import needs_of_portfolio, portfolio
from cairn.stack_tuning.queries import Parts, Queries
from cairn.stack_tuning.space import Space, read_space
from cairn.stack_tuning.trials import TrialLog, Trials, subject_of
from cairn.stack_tuning.tune import select, tune
from cairn.stacks import Stack
from cairn.stacks.parts import Parts as GalleryParts
from cairn.submission import solution_of
from cairn.tables import EmbeddingTable, require_same_model

FOLDS = 5
"""Of the cross-validation, where there are queries enough."""

MOST_NEIGHBORS = 200_000
"""Gallery images up to which stages are tried that need each one's neighbours: a search of all."""

_OF_BANK = ("gallery.picks", "gallery.to_bank", "queries.to_bank")


def refuse_leaks(gallery: Path, validation: Manifest, test: Manifest | None) -> None:
    """Refuse queries that were seen before: in the gallery, its bank, the training or the test.

    Raises:
        CairnError: Naming the first images of every leak.
    """
    for manifest, name in ((validation, "validation"), (test, "test")):
        if manifest is None:
            continue
        asked = manifest.queries(
            todo="give the photographs that stages are tried on that role",
            where=f"the {name} manifest",
        )
        found, _ = verify_evaluation(asked.image_ids, manifest, gallery=gallery)
        found.refuse_leaks(
            f"the {name} queries",
            "stages would be chosen by photographs that the gallery, its bank or the training "
            "has: `cairn data verify` names them, `cairn data split` makes a split without any",
        )
    if test is not None:
        sides = [side_of(one, "the test", roles=("query",)) for one in (validation, test)]
        verify_sides(sides[0], sides[1:]).refuse_leaks(
            "validation and test",
            "a test that helped to choose says nothing: give other photographs, or leave the "
            "test out and read the held-out gain",
        )


def tune_gallery(
    gallery: Gallery,
    validation: Manifest,
    test: Manifest | None,
    folder: Path,
    *,
    wishes: Wishes | None = None,
    backend: str = "auto",
    device: str = "auto",
    workers: int = 0,
) -> Outcome:
    """Return the recipe that validation queries choose, and what it is worth.

    Args:
        gallery: What recognizes.
        validation: Its rows of role query choose.
        test: Its rows of role query judge; None for the held-out folds alone.
        folder: Where embeddings and trials go; called again, it goes on from these.
        wishes: How to search.
        backend: As ``cairn.embed.embed``, like the rest.
        device: See ``backend``.
        workers: See ``backend``.

    Raises:
        CairnError: Queries leak, the gallery lacks what a stage of the recipe needs, or there is
            nothing to tune on.
    """
    wishes = wishes or Wishes()
    space = None if wishes.recipe is None else read_space(wishes.recipe)
    refuse_leaks(Path(gallery.location), validation, test)
    sources, num_hits = _sources(gallery, space, wishes)
    asked = {"validation": validation.select("query")}
    if test is not None:
        asked["test"] = test.select("query")
    tables = {}
    for name, manifest in asked.items():
        place = folder / "embeddings" / name
        embed(gallery.model_dir, manifest, place, backend=backend, device=device, workers=workers)
        tables[name] = EmbeddingTable.read(place)
        require_same_model(tables[name], gallery.table, where=f"the {name} queries")
    needs, told = _needs(sources, space)
    made = {
        name: _queries(sources, needs, tables[name], manifest, num_hits)
        for name, manifest in asked.items()
    }
    told += _cautions(sources, made, tables, wishes.known_share)
    for one in told:
        say(f"warning: {one}")
    queries = made["validation"]
    parts = Parts.of(queries, folds=FOLDS, known_share=wishes.known_share, seed=wishes.seed)
    log = TrialLog(folder / "trials.jsonl", subject_of(queries, parts))
    ticks = track(count(), "recipes tried")
    trials = Trials(queries, parts, log, tick=lambda: next(ticks))
    start = time.perf_counter()
    candidates = portfolio(queries.context)
    if not trials.can_fit:
        candidates = tuple(one for one in candidates if all(map(is_fitted, one.slot.options)))
    if space is None:
        tuned = select(trials, candidates, limit=wishes.limit)
    else:
        tuned = tune(trials, space, limit=wishes.limit, seed=wishes.seed)
    seconds = time.perf_counter() - start
    num_run = trials.num_run
    slots = space.slots if space else tuple(one.slot for one in candidates)
    lines = ablation(tuned.stages, slots, trials)
    ticks.close()  # type: ignore[attr-defined]
    measured = {}
    for name, some in made.items():
        measured[name] = Measured.of(
            some,
            rows_of(lines, tuned.stages),
            fitted_by=trials,
            others=_today(gallery, tables[name], some),
            known_share=wishes.known_share,
            num_resamples=wishes.num_resamples,
            seed=wishes.seed,
        )
    smallest = smallest_gain(measured["validation"], lines, tuned.stages)
    has_today = TODAY in measured["validation"].rows
    after = cautions.of_result(
        tuned, measured["validation"], smallest, TODAY if has_today else None
    )
    for one in after:
        say(f"warning: {one}")
    return Outcome(
        tuned,
        measured["validation"],
        measured.get("test"),
        tuple(lines),
        slots,
        (*told, *after),
        smallest,
        num_hits,
        {name: (one.num_known, one.num_unknown) for name, one in made.items()},
        has_today,
        wishes,
        seconds,
        num_run / seconds if num_run and seconds > 0 else None,
    )


def _sources(gallery: Gallery, space: Space | None, wishes: Wishes) -> tuple[GalleryParts, int]:
    """Return where contexts come from, and hits a query; a recipe's needs are seen to."""
    num_rows = len(gallery.table)
    if space is None:
        return GalleryParts(gallery), min(wishes.num_hits or NUM_HITS, num_rows)
    num_hits = wishes.num_hits or space.num_hits
    pipeline = Pipeline(space.full([0] * len(space.slots)), num_hits)
    sources = GalleryParts(
        gallery,
        depths=space.depths,
        wanted_by={need: stage.name for stage in pipeline.stages for need in stage.needs},
    )
    Stack(sources, pipeline).require()
    return sources, min(num_hits, num_rows)


def _needs(sources: GalleryParts, space: Space | None) -> tuple[tuple[str, ...], list[Caution]]:
    """Return what contexts must hold, and what is missing that the portfolio could use."""
    if space is not None:
        stages = space.full([0] * len(space.slots))
        return tuple(dict.fromkeys(need for one in stages for need in one.needs)), []
    needs, told = list(needs_of_portfolio()), []
    if len(sources.gallery.table) > MOST_NEIGHBORS:
        needs.remove("gallery.neighbors")
    if _bank(sources.gallery) is None:
        needs = [need for need in needs if need not in _OF_BANK]
        told.append(
            Caution(
                "no-bank",
                "The gallery keeps no bank of non-landmarks, so no stage that knows of them is "
                "tried.",
                f"cairn penalize {sources.gallery.location} BANK keeps one.",
            )
        )
    return tuple(needs), told


def _queries(
    sources: GalleryParts,
    needs: Collection[str],
    table: EmbeddingTable,
    manifest: Manifest,
    num_hits: int,
) -> Queries:
    photographs = table.paths if "queries.inliers" in needs else None
    side = sources.query_side(needs, table.vectors, photographs)
    if side.inliers is not None:
        side = replace(side, inliers=_remembered(side.inliers))
    return Queries.of(
        sources.search(table.vectors, num_hits),
        Context(sources.gallery_side({*needs, "gallery.landmarks"}), side),
        table.image_ids,
        solution_of(manifest).truth,
        sources.coded[1],
    )


def _bank(gallery: Gallery) -> EmbeddingTable | None:
    version = gallery.version
    return bank_of(Version.open(gallery.place, version)) if version else None


def _remembered(inliers: Inliers) -> Inliers:
    """Return a count of local features that matches each pair once."""
    return cache(inliers)


def _today(gallery: Gallery, table: EmbeddingTable, queries: Queries) -> dict[str, Ranking]:
    """Return what the gallery's own penalty answers, where it has one."""
    if gallery.penalty is None:
        return {}
    found = searcher_of(gallery, "exact", use_penalty=True).search(table.vectors, 1)
    order = sorted(range(len(table)), key=table.image_ids.__getitem__)
    ordered = Neighbors(found.indices[order], found.similarities[order])
    return {TODAY: queries.ranking(ordered)}


def _cautions(
    sources: GalleryParts,
    made: Mapping[str, Queries],
    tables: Mapping[str, EmbeddingTable],
    known_share: float | None,
) -> list[Caution]:
    """Return what the queries say before anything is tried."""
    mine = tables["validation"]
    found = cautions.of_queries(made["validation"], made.get("test"), known_share=known_share)
    for name, queries in made.items():
        found += cautions.of_lost(queries, name)
    gallery = sources.gallery
    others = {"gallery": gallery.table}
    bank = _bank(gallery)
    if bank is not None:
        others["bank"] = bank
    if "test" in tables:
        others["test"] = tables["test"]
    for name, table in others.items():
        found += cautions.of_copies(
            mine.vectors, mine.image_ids, table.vectors, table.image_ids, name
        )
    return found
