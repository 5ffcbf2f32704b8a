"""Calibration on real photographs: fitted on one half of the queries, met on the other.

Random halves, landmark queries and non-landmarks split alike; what is printed is the mean over
halves and, in brackets, the least and the highest. Takes the galleries and embeddings that
``benchmarks/real/photos.py --rows ...`` leaves; a missing row is run first.

    python benchmarks/real/calibration.py
    python benchmarks/real/calibration.py --rows centred --halves 20
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from photos import ROLES, ROOT, ROWS, photographs_parser, run_row

from cairn.calibration import (
    METHODS,
    NUM_NEIGHBORS,
    By,
    Chance,
    Features,
    Judged,
    calibrate,
    calibration_error,
    features_of,
    figures,
    reliability_bins,
)
from cairn.calibration.pictures import draw_open_set, draw_reliability
from cairn.gallery import Gallery
from cairn.gallery.calibrations import basis_of
from cairn.gallery.indexes import searcher_of
from cairn.metrics import global_average_precision
from cairn.sources.tabular import from_table
from cairn.submission import solution_of
from cairn.tables import EmbeddingTable

RATES = (0.01, 0.05, 0.1)
Bool = NDArray[np.bool_]


def main() -> None:
    parser = photographs_parser(__doc__)
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), default=["centred", "two-views"])
    parser.add_argument("--halves", type=int, default=10)
    parser.add_argument("--out", type=Path, default=ROOT / "real")
    parser.add_argument("--pictures", type=Path, help="Folder for the pictures of the first half.")
    options = parser.parse_args()
    table = options.photos / "manifest.csv"
    if not table.is_file():
        print(f"no photographs at {options.photos}: nothing to do (--photos names another place)")
        return
    manifest = from_table(table, roles=ROLES)
    truth = solution_of(manifest).truth
    for row in options.rows:
        out = options.out / table.stem / row
        run_row(row, manifest, options.weights, out)
        for use_penalty in (False, True):
            gallery = Gallery.load(out / "scores" / "gallery", penalty=use_penalty)
            queries = EmbeddingTable.read(out / "scores" / "embeddings" / "query")
            print(f"\n{ROWS[row][0]}, {'with' if use_penalty else 'without'} penalty")
            name = f"{row}-{'penalty' if use_penalty else 'plain'}"
            pictures = options.pictures and options.pictures / name
            measure(gallery, queries, truth, options.halves, pictures)


def measure(
    gallery: Gallery,
    queries: EmbeddingTable,
    truth: Mapping[str, frozenset[str]],
    num_halves: int,
    pictures: Path | None,
) -> None:
    """Print what calibrations on random halves of the queries do on the other halves."""
    landmark_ids = gallery.table.landmark_ids
    found = searcher_of(gallery).search(queries.vectors, min(NUM_NEIGHBORS, len(landmark_ids)))
    features = features_of(found, landmark_ids)
    shown = [truth[image_id] & set(landmark_ids) for image_id in queries.image_ids]
    known = np.asarray([bool(one) for one in shown])
    right = np.asarray([a in one for a, one in zip(features.landmark_ids, shown, strict=True)])
    values: defaultdict[str, list[float]] = defaultdict(list)
    chosen: defaultdict[str, int] = defaultdict(int)
    for half in range(num_halves):
        ours = halved(known, np.random.default_rng(half))
        part, rest = features.take(ours), features.take(~ours)
        made = calibrate(
            part, [shown[row] for row in np.flatnonzero(ours)], basis=basis_of(gallery)
        )
        chosen[made.chance.method] += 1
        told = made.probability(rest)
        judged = Judged(rest.scores, told, known[~ours], right[~ours])
        for name, value in figures(judged).items():
            if value is not None:
                values[name].append(value)
        values["ece of perfect chances"].append(luck(told, half))
        promised = figures(made.judged)
        for name in ("ece", "brier"):
            values[f"{name}, as promised"].append(promised[name] or 0.0)
        for method in METHODS:
            chances = Chance.fit(part, right[ours], method)(rest)
            other = figures(Judged(rest.scores, chances, known[~ours], right[~ours]))
            values[f"log loss, {method}"].append(other["log_loss"] or 0.0)
            values[f"ece, {method}"].append(other["ece"] or 0.0)
        for rate in RATES:
            sides: tuple[tuple[By, NDArray[np.float64]], ...]
            sides = (("score", rest.scores), ("chance", told))
            for by, ours_told in sides:
                at = made.threshold(rate, by=by)
                accepted = ours_told >= at.value
                name = f"at {rate:.0%} by {by}"
                values[f"{name}: unknown accepted"].append(float(accepted[~judged.known].mean()))
                values[f"{name}: right kept"].append(float(accepted[judged.right].mean()))
                wrong = judged.known & ~judged.right
                values[f"{name}: wrong kept"].append(float(accepted[wrong].mean()))
        values["GAP by score"].append(gap(queries, truth, ~ours, rest, rest.scores))
        values["GAP by chance"].append(gap(queries, truth, ~ours, rest, told))
        if pictures is not None and half == 0:
            pictures.mkdir(parents=True, exist_ok=True)
            draw_reliability(pictures / "reliability.png", made.judged)
            draw_open_set(pictures / "oscr.png", made)
    print(f"methods chosen: {dict(chosen)}")
    for name, one in values.items():
        print(f"{name:<34}{np.mean(one):8.4f}  [{min(one):.4f}, {max(one):.4f}]")


def halved(known: Bool, rng: np.random.Generator) -> Bool:
    """Return which queries are of the first half, known and unknown ones halved alike."""
    ours = np.zeros(len(known), dtype=bool)
    for kind in (known, ~known):
        members = rng.permutation(np.flatnonzero(kind))
        ours[members[: len(members) // 2]] = True
    return ours


def luck(chances: NDArray[np.float64], seed: int) -> float:
    """Return the mean ECE that answers would have if the chances were perfect: by luck alone."""
    rng = np.random.default_rng(seed)
    drawn = [rng.random(len(chances)) < chances for _ in range(50)]
    return float(np.mean([calibration_error(reliability_bins(chances, one)) for one in drawn]))


def gap(
    queries: EmbeddingTable,
    truth: Mapping[str, frozenset[str]],
    chosen: Bool,
    features: Features,
    confidences: NDArray[np.float64],
) -> float:
    """Return the GAP of some queries' answers, ranked by ``confidences``."""
    ids: Sequence[str] = [queries.image_ids[row] for row in np.flatnonzero(chosen).tolist()]
    answers = zip(features.landmark_ids, confidences.tolist(), strict=True)
    return global_average_precision(
        dict(zip(ids, answers, strict=True)), {image_id: truth[image_id] for image_id in ids}
    )


if __name__ == "__main__":
    main()
