"""Views and ensembles on real photographs: what mirror images, scales and two models together gain.

Two models of one frozen backbone: features less their mean on a centre crop of 224 px, and a
whitened neck on two views of 256 px. Weights and curves are fitted on one half of the queries, and
the other half is scored once, each row beside a plain one in the same resamples. Everything that
takes long is kept under ``real/`` and continued. Where the photographs are not at hand it says so
and ends well.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from photos import MOBILENET, ROLES, ROOT, ROWS, photographs_parser

from cairn.checkpoint import read_config
from cairn.config import read_recipe
from cairn.embed import embed
from cairn.ensemble import WAYS, answer_tables, fit_ensemble
from cairn.evaluate import Report, evaluate
from cairn.gallery import Gallery
from cairn.manifest import Manifest
from cairn.progress import say
from cairn.recognize import recognize_table
from cairn.sources.tabular import from_table
from cairn.submission import Answers, by_image, solution_of
from cairn.tables import EmbeddingTable
from cairn.train import train
from cairn.views import SCALES, add_views

MEMBERS = {
    "centred": ("centred", ()),
    "two-views": ("two-views", ("model.preprocess.image_size=256",)),
}
VIEWS: dict[str, dict[str, Any]] = {
    "flip": {"flip": True},
    "scales": {"scales": SCALES},
    "flip-scales": {"flip": True, "scales": SCALES},
}


def main() -> None:
    parser = photographs_parser(__doc__)
    parser.add_argument("--manifest", default="manifest.csv")
    parser.add_argument("--seed", type=int, default=0, help="of the halves")
    parser.add_argument("--out", type=Path, default=ROOT / "real")
    options = parser.parse_args()
    table = options.photos / options.manifest
    if not table.is_file() or not options.weights.is_file():
        print(f"no photographs or weights at {options.photos}: nothing to do (--photos, --weights)")
        return
    manifest = from_table(table, roles=ROLES)
    out = options.out / table.stem / "ensembles"
    models = prepared(manifest, options.weights, out)
    seen = {
        name: Seen.of(manifest, embeddings(name, model, manifest, out))
        for name, model in models.items()
    }
    costs = {name: read_config(model).preprocess.cost for name, model in models.items()}
    print_views({name: seen[name] for name in ("centred", *VIEWS)}, costs)
    print_ensembles({name: seen[name] for name in MEMBERS}, halves(manifest, options.seed))


@dataclass(frozen=True)
class Seen:
    """The photographs as one model sees them."""

    gallery: Gallery
    queries: EmbeddingTable
    truth: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, manifest: Manifest, table: EmbeddingTable) -> Seen:
        """Return a table's training photographs as a gallery, and its queries."""
        role_of = dict(zip(manifest.image_ids, manifest.roles, strict=True))
        rows: dict[str, list[int]] = {"train": [], "query": []}
        for row, image in enumerate(table.image_ids):
            rows[role_of[image]].append(row)
        gallery = Gallery(Path("gallery"), table.take(rows["train"]))
        return cls(gallery, table.take(rows["query"]), solution_of(manifest).truth)

    def part(self, image_ids: Collection[str]) -> EmbeddingTable:
        """Return some of the queries."""
        wanted = [row for row, image in enumerate(self.queries.image_ids) if image in image_ids]
        return self.queries.take(wanted)

    def answers(self, image_ids: Collection[str] | None = None) -> Answers:
        """Return what the model alone answers."""
        asked = self.queries if image_ids is None else self.part(image_ids)
        return by_image(recognize_table(asked, self.gallery, top=1))


def halves(manifest: Manifest, seed: int) -> tuple[set[str], set[str]]:
    """Return ids of half of the queries of each landmark and of none, and of the others."""
    queries = manifest.select("query")
    rng, turn = np.random.default_rng(seed), dict[str, int]()
    parts: tuple[set[str], set[str]] = (set(), set())
    for row in rng.permutation(len(queries)).tolist():
        landmark = queries.landmark_ids[row]
        turn[landmark] = turn.get(landmark, int(rng.integers(2))) + 1
        parts[turn[landmark] % 2].add(queries.image_ids[row])
    return parts


def print_views(seen: Mapping[str, Seen], costs: Mapping[str, float]) -> None:
    """Print what more views of the photographs gain, on all queries."""
    plain = seen["centred"].answers()
    print("\n| views | pixels | accuracy | GAP | change (95 % interval) |\n|---|---|---|---|---|")
    for name, one in seen.items():
        report = evaluate(one.answers(), one.truth, before=plain)
        print(f"| {name} | x {costs[name]:.1f} | {_scores(report)} |")


def print_ensembles(seen: Mapping[str, Seen], parts: tuple[set[str], set[str]]) -> None:
    """Print what each way gains over the best member, on queries that nothing was fitted on."""
    validation, test = parts
    models = list(seen.values())
    galleries = [one.gallery for one in models]
    fitting, asked = ([one.part(ids) for one in models] for ids in (validation, test))
    truths = [{i: models[0].truth[i] for i in one.image_ids} for one in (fitting[0], asked[0])]
    alone = {name: one.answers(test) for name, one in seen.items()}
    best = max(alone, key=lambda name: evaluate(alone[name], truths[1], num_resamples=0).gap)
    print(
        f"\nfitted on {len(truths[0])} queries, scored on {len(truths[1])}; change against {best}"
        "\n\n| | weights | GAP, fitted on | accuracy | GAP | change (95 % interval) |"
        "\n|---|---|---|---|---|---|"
    )
    for name, answers in alone.items():
        report = evaluate(answers, truths[1], before=alone[best])
        print(f"| {name} alone | | | {_scores(report)} |")
    even = [1.0] * len(models)
    for by in WAYS:
        for weights in (even, None):
            made = fit_ensemble(galleries, fitting, truths[0], by=by, weights=weights)
            answers = by_image(answer_tables(made, galleries, asked))
            report = evaluate(answers, truths[1], before=alone[best])
            shown = " : ".join(f"{weight:.1f}" for weight in made.weights)
            assert made.validation is not None
            kind = "even" if weights else "fitted"
            print(f"| {by}, {kind} | {shown} | {made.validation.gap:.3f} | {_scores(report)} |")


def _scores(report: Report) -> str:
    change = report.change["gap"]
    interval = (
        "" if not change.value else f"{change.value:+.3f} ({change.low:+.3f} to {change.high:+.3f})"
    )
    return f"{report.top1_accuracy:.3f} | {report.gap:.3f} | {interval}"


def prepared(manifest: Manifest, weights: Path, out: Path) -> dict[str, Path]:
    """Return the model folders of members and views, made where they are not yet."""
    models = {name: trained(name, manifest, weights, out / name) for name in MEMBERS}
    for name, views in VIEWS.items():
        models[name] = out / "centred" / name
        if not models[name].is_dir():
            add_views(models["centred"], models[name], **views)
    return models


def embeddings(name: str, model: Path, manifest: Manifest, out: Path) -> EmbeddingTable:
    """Return the embeddings of gallery and queries, made or continued where they are not done."""
    folder = out / "embeddings" / (f"centred-{name}" if name in VIEWS else name)
    done = embed(model, manifest.select("train", "query"), folder)
    say(f"{name}: {done.num_embedded} photographs in {done.seconds:.0f} s")
    return EmbeddingTable.read(folder)


def trained(name: str, manifest: Manifest, weights: Path, out: Path) -> Path:
    """Return the model folder of a member; closed-form necks take seconds."""
    if not (out / "run" / "model" / "config.json").is_file():
        row, changes = MEMBERS[name]
        _, recipe, overrides = ROWS[row]
        settings = (*MOBILENET, f"model.weights={weights}", *overrides, *changes)
        resume = (out / "run" / "config.json").is_file()
        train(read_recipe(recipe, settings), manifest, out=out / "run", resume=resume)
    return out / "run" / "model"


if __name__ == "__main__":
    main()
