"""Scoring a whole submission: seconds to read it, to score it and to bootstrap it, and the ratios.

A made-up answer to Google Landmarks v2's test: 117,577 predictions, one query in sixty with a
landmark. Peers, in the same process, taking turns: the plain way (rows of the csv module, two sorts
with a key, a loop, as the organisers' code goes about it), scikit-learn's average_precision_score
on arrays that are there already, and a bootstrap that draws every query. All must agree.

    python benchmarks/scoring.py
    python benchmarks/scoring.py --queries 20000 --processor-time
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score

from cairn import metrics
from cairn.bootstrap import NUM_RESAMPLES, bootstrap
from cairn.evaluate import evaluate
from cairn.submission import read_solution, read_submission
from measuring.machine import describe, processor, taking_turns

QUERIES = 117_577
LABELLED = 1 / 60
LANDMARKS = 81_313


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--queries", type=int, default=QUERIES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-resamples", type=int, default=20)
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="count the processor's seconds, not the wall's",
    )
    args = parser.parse_args()
    clock = processor(1) if args.processor_time else time.perf_counter
    print(describe(1))
    with tempfile.TemporaryDirectory() as folder:
        submission, solution = Path(folder) / "submission.csv", Path(folder) / "solution.csv"
        write(submission, solution, args.queries)
        told, truth = read_submission(submission), read_solution(solution).truth
        answers = {i: answer for i, answer in told.items() if answer is not None}
        judged = metrics.rank(answers, truth)
        right, scores = judged.correct[judged.order], judged.scores[judged.order]
        factor = right.sum() / judged.num_labelled

        def ours() -> float:
            found = read_solution(solution)
            kept = {i: a for i, a in read_submission(submission).items() if a is not None}
            return evaluate(found.keep(kept), found.truth, num_resamples=0).gap

        def with_intervals() -> float:
            return evaluate(answers, truth).gap

        def theirs() -> float:
            return float(average_precision_score(right, scores) * factor)

        ways: dict[str, Callable[[], object]] = {
            "Cairn: read both files": lambda: (
                read_solution(solution),
                read_submission(submission),
            ),
            "Cairn: files to scores": ours,
            "plain: files to scores": lambda: plain(submission, solution),
            "Cairn: score": lambda: evaluate(answers, truth, num_resamples=0).gap,
            "plain: score": lambda: plain_gap(answers, truth),
            "scikit-learn: score": theirs,
            f"Cairn: score, {NUM_RESAMPLES} resamples": with_intervals,
            f"plain: {args.peer_resamples} resamples": lambda: plain_bootstrap(
                judged, args.peer_resamples
            ),
        }
        values = [ours(), plain(submission, solution), theirs()]
        assert np.allclose(values, values[0], atol=1e-12), values
        times = taking_turns(ways, args.rounds, clock)
    print(f"{args.queries:,} predictions, {judged.num_labelled:,} queries with a landmark")
    for name, one in times.items():
        print(f"{name:<34}{one:9.3f} s")
    scaled = times[f"plain: {args.peer_resamples} resamples"] * NUM_RESAMPLES / args.peer_resamples
    ours_s = times[f"Cairn: score, {NUM_RESAMPLES} resamples"] - times["Cairn: score"]
    whole = times["plain: files to scores"] / times["Cairn: files to scores"]
    print(f"files to scores: {whole:.2f}x as quick as the plain way")
    print(f"{NUM_RESAMPLES} resamples of five scores: {ours_s:.3f} s; of GAP alone, every query "
          f"drawn: {scaled:.2f} s, {scaled / ours_s:.1f}x as long")  # fmt: skip


def write(submission: Path, solution: Path, num: int) -> None:
    """Write predictions of which half of those with a landmark are right, and the truth."""
    rng = np.random.default_rng(0)
    ids = [f"{one:016x}" for one in rng.integers(0, 1 << 63, num).tolist()]
    shown = rng.integers(0, LANDMARKS, num)
    is_labelled = rng.random(num) < LABELLED
    answers = np.where(rng.random(num) < 0.5, shown, rng.integers(0, LANDMARKS, num))
    scores = rng.random(num) + 0.5 * (is_labelled & (answers == shown))
    usage = np.where(rng.random(num) < 0.34, "Public", "Private")
    with submission.open("w", encoding="utf-8") as file:
        file.write("id,landmarks\n")
        rows = zip(ids, answers.tolist(), scores.tolist(), strict=True)
        file.writelines(f"{i},{landmark} {score!r}\n" for i, landmark, score in rows)
    with solution.open("w", encoding="utf-8") as file:
        file.write("id,landmarks,Usage\n")
        truths = zip(ids, shown.tolist(), is_labelled.tolist(), usage.tolist(), strict=True)
        file.writelines(f"{i},{one if known else ''},{used}\n" for i, one, known, used in truths)


def plain(submission: Path, solution: Path) -> float:
    """Return GAP from files, row by row."""
    truth: dict[str, list[int]] = {}
    with solution.open(encoding="utf-8") as file:
        rows = csv.reader(file)
        next(rows)
        for image_id, landmarks, usage in rows:
            if usage != "Ignored":
                truth[image_id] = [int(one) for one in landmarks.split(" ") if one]
    answers: dict[str, tuple[int, float]] = {}
    with submission.open(encoding="utf-8") as file:
        rows = csv.reader(file)
        next(rows)
        for image_id, value in rows:
            if image_id in answers or image_id not in truth:
                raise ValueError(image_id)
            if value:
                landmark, score = value.split(" ")
                answers[image_id] = (int(landmark), float(score))
    return plain_gap(answers, truth)


def plain_gap(answers: Mapping[str, tuple[object, float]], truth: Mapping[str, object]) -> float:
    """Return GAP by two stable sorts and a loop."""
    ranked = sorted(answers.items(), key=lambda one: (one[0], one[1][0]))
    ranked.sort(key=lambda one: one[1][1], reverse=True)
    num_labelled = sum(1 for landmarks in truth.values() if landmarks)
    total, hits = 0.0, 0
    for place, (image_id, (landmark, _)) in enumerate(ranked, start=1):
        if landmark in truth[image_id]:  # type: ignore[operator]
            hits += 1
            total += hits / place
    return total / num_labelled


def plain_bootstrap(ranking: metrics.Ranking, num: int) -> metrics.Float64:
    """Return GAP on resamples in which every query is drawn."""
    strata = ranking.labelled.astype(np.int64)
    rng = np.random.default_rng(0)
    return bootstrap(
        lambda counts: np.array([metrics.gap(ranking, counts)]),
        strata,
        rng=rng,
        num_resamples=num,
    )


if __name__ == "__main__":
    main()
