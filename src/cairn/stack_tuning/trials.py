"""Trials: rows of stages run on the same queries, each prefix once, and what they come to.

Legend of shapes: P parts of the queries.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cairn.errors import CairnError
from cairn.metrics import Ranking, accuracy
from cairn.rerank import Pipeline
from cairn.rerank.answers import Answer, Float64, Votes
from cairn.stack_tuning.fitting import LEAST_FOLDS, ChanceToFit, fit_stage, is_fitted
from cairn.stack_tuning.queries import Bool, Parts, Queries
from cairn.stack_tuning.space import Stages, key_of, table_of

CACHE_BYTES = 512 * 1024 * 1024
"""Answers of prefixes that are kept, those not used for longest dropped first."""

SLOW_S = 0.01
"""Stages that take longer are kept as the last of a row too: another row may begin with it."""


class Runs:
    """Runs stages on queries; what the first stages of a row gave is kept for the next row.

    Args:
        queries: What they run on.
        cache_bytes: How much is kept.
    """

    def __init__(self, queries: Queries, *, cache_bytes: int = CACHE_BYTES) -> None:
        self.queries = queries
        self._room, self._held = cache_bytes, 0
        self._kept: OrderedDict[Stages, Answer] = OrderedDict()

    def ranking(self, stages: Stages) -> Ranking:
        """Return what the stages answer, judged: where they end in hits the best hit speaks.

        Raises:
            CairnError: The context lacks what a stage needs.
        """
        return self.queries.ranking(self.answer(stages))

    def answer(self, stages: Stages, *, kept: bool = False) -> Answer:
        """Return what stages make of all hits.

        Args:
            stages: A row.
            kept: Keep it for rows that begin with it, as is done with what comes before its last.

        Raises:
            CairnError: The context lacks what a stage needs.
        """
        Pipeline(stages).require(self.queries.context)
        answer: Answer = self.queries.found
        done = 0
        for num in range(len(stages), 0, -1):
            earlier = self._kept.get(stages[:num])
            if earlier is not None:
                self._kept.move_to_end(stages[:num])
                answer, done = earlier, num
                break
        for num in range(done, len(stages)):
            start = time.perf_counter()
            answer = stages[num](answer, self.queries.context)
            is_slow = time.perf_counter() - start > SLOW_S
            if kept or is_slow or num + 1 < len(stages):
                self._keep(stages[: num + 1], answer)
        return answer

    def fitted(self, stages: Stages, train: Bool, known_share: float | None) -> Stages | None:
        """Return a row with all its numbers; None where the queries tell nothing apart.

        Args:
            stages: A row; a stage that is to be fitted sees what those before it, fitted, give.
            train: (Q,) which queries a fit may see.
            known_share: See ``cairn.known_share``.

        Raises:
            CairnError: As ``answer``.
        """
        done: Stages = ()
        for stage in stages:
            if isinstance(stage, ChanceToFit):
                Pipeline((*done, stage)).require(self.queries.context)
                votes = self.answer(done, kept=True)
                assert isinstance(votes, Votes), "what is fitted works on votes"
                made = fit_stage(stage, votes, self.queries, train, known_share)
                if made is None:
                    return None
                done = (*done, made)
            else:
                done = (*done, stage)
        return done

    def _keep(self, stages: Stages, answer: Answer) -> None:
        self._kept[stages] = answer
        self._held += _bytes(answer)
        while self._held > self._room and len(self._kept) > 1:
            self._held -= _bytes(self._kept.popitem(last=False)[1])


class TrialLog:
    """Finished trials in a file of JSON lines: a search that was interrupted takes them up.

    Args:
        path: The file; made where it is not there.
        subject: What trials are of, in a few facts; a log of something else is refused.

    Raises:
        CairnError: The file is of something else, or is no such log.
    """

    def __init__(self, path: Path, subject: dict[str, Any]) -> None:
        self.path = path
        self.found: dict[str, tuple[Float64, float]] = {}
        head = {"trials_of": subject}
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(head, sort_keys=True) + "\n", encoding="utf-8")
            return
        text = path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]  # a line that was being written is done again
        lines = whole.splitlines()
        try:
            told = json.loads(lines[0]) if lines else {}
            for line in lines[1:]:
                trial = json.loads(line)
                gaps = np.asarray(trial["gaps"], dtype=np.float64)
                key = json.dumps(trial["stages"], sort_keys=True)
                self.found[key] = gaps, float(trial["accuracy"])
        except (ValueError, KeyError, TypeError, IndexError):
            raise CairnError("this is no log of trials", where=path, todo=_ELSEWHERE) from None
        if told != json.loads(json.dumps(head)):
            raise CairnError("these trials are of something else", where=path, todo=_ELSEWHERE)
        if whole != text:
            path.write_text(whole, encoding="utf-8")

    def add(self, stages: Stages, gaps: Float64, right: float) -> None:
        """Write a trial down."""
        line = {
            "stages": [table_of(stage) for stage in stages],
            "gap": float(gaps[0]),
            "accuracy": right,
            "gaps": gaps.tolist(),
        }
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, sort_keys=True) + "\n")
        self.found[key_of(stages)] = gaps, right


class Trials:
    """GAP of rows of stages in each part of the queries, each row run once.

    Where a row has numbers to be fitted, no query is answered by a fit that saw its fold, nor, in a
    part that is a fold or lacks one, by a fit that saw that fold.

    Args:
        queries: What stages are tried on.
        parts: Whose GAP is wanted.
        log: Where finished trials are, and go.
        tick: Called after each trial, to show that work goes on.
    """

    def __init__(
        self,
        queries: Queries,
        parts: Parts,
        log: TrialLog | None = None,
        *,
        tick: Callable[[], object] = lambda: None,
    ) -> None:
        self.queries, self.parts, self._log, self._tick = queries, parts, log, tick
        self._runs = Runs(queries)
        self._found: dict[Stages, tuple[Float64, float]] = {}
        self.num_run = 0

    def __len__(self) -> int:
        """Return how many rows of stages were asked for, run here or found in the log."""
        return len(self._found)

    def gaps(self, stages: Stages) -> Float64:
        """Return (P,) GAP in each part.

        Raises:
            CairnError: As ``Runs.ranking``.
        """
        return self._of(stages)[0]

    def accuracy(self, stages: Stages) -> float:
        """Return top-1 accuracy over the landmark queries.

        Raises:
            CairnError: As ``Runs.ranking``.
        """
        return self._of(stages)[1]

    def ranking(self, stages: Stages) -> Ranking:
        """Return what a row answers to all queries, each by a fit that did not see its fold.

        Raises:
            CairnError: As ``Runs.ranking``; or numbers are to be fitted and the folds are few.
        """
        if is_fitted(stages):
            return self._runs.ranking(stages)
        return self._fitted_apart(stages, [0])[0]

    def fitted(self, stages: Stages) -> Stages:
        """Return a row with the numbers that all queries give: for other queries than these.

        Where they tell nothing apart the stage leaves the ranking as it is.

        Raises:
            CairnError: As ``Runs.answer``.
        """
        made = self._fitted_without(stages, ())
        return _unfitted(stages) if made is None else made

    def recipe(self, stages: Stages) -> Stages:
        """Return the same, for use.

        Raises:
            CairnError: As ``fitted``; or the queries tell nothing apart.
        """
        made = self._fitted_without(stages, ())
        if made is None:
            raise CairnError(
                "the numbers of 'chance' cannot be fitted: all answers to the validation queries "
                "are right, or none is",
                todo="leave the stage out, or give harder photographs and some of no landmark",
            )
        return made

    @property
    def can_fit(self) -> bool:
        """Whether there are folds enough to fit numbers without those that judge."""
        return self.parts.num_folds >= LEAST_FOLDS

    def _fitted_apart(self, stages: Stages, parts: Sequence[int]) -> list[Ranking]:
        """Return the ranking of each part; every query by a fit without its fold and the part's.

        A part of whose fits one has nothing to tell apart is ranked as if there were none: logits
        of one fit and scores of none do not compare.
        """
        if not self.can_fit:
            raise CairnError(
                f"numbers are fitted where there are {LEAST_FOLDS} folds, to be judged on others",
                where=f"{self.parts.num_folds} folds",
                todo="add landmark queries and others, give folds, or write the numbers down",
            )
        by_unseen: dict[frozenset[int], Ranking | None] = {}
        made = []
        for part in parts:
            right = np.zeros(len(self.queries.labelled), np.bool_)
            scores = np.full(len(right), -np.inf)
            for fold, members in enumerate(self.parts.folds):
                if not (members & self.parts.masks[part]).any():
                    continue
                unseen = self.parts.unseen(part) | {fold}
                if unseen not in by_unseen:
                    row = self._fitted_without(stages, unseen)
                    by_unseen[unseen] = None if row is None else self._runs.ranking(row)
                one = by_unseen[unseen]
                if one is None:
                    made.append(self._runs.ranking(_unfitted(stages)))
                    break
                right = np.where(members, one.correct, right)
                scores = np.where(members, one.scores, scores)
            else:
                made.append(self.queries.ranked(right, scores))
        return made

    def _fitted_without(self, stages: Stages, unseen: Collection[int]) -> Stages | None:
        train = np.ones(len(self.queries.labelled), np.bool_)
        for fold in unseen:
            train &= ~self.parts.folds[fold]
        return self._runs.fitted(stages, train, self.parts.known_share)

    def _run(self, stages: Stages) -> tuple[Float64, float]:
        if is_fitted(stages):
            ranking = self._runs.ranking(stages)
            return self.parts.gaps(ranking), accuracy(ranking)
        rankings = self._fitted_apart(stages, range(len(self.parts.masks)))
        gaps = [self.parts.gaps(one, [part]) for part, one in enumerate(rankings)]
        return np.concatenate(gaps), accuracy(rankings[0])

    def _of(self, stages: Stages) -> tuple[Float64, float]:
        if stages not in self._found:
            told = None if self._log is None else self._log.found.get(key_of(stages))
            if told is None:
                told = self._run(stages)
                self.num_run += 1
                if self._log is not None:
                    self._log.add(stages, *told)
            self._found[stages] = told
            self._tick()
        return self._found[stages]


def _unfitted(stages: Stages) -> Stages:
    return tuple(one.unfitted if isinstance(one, ChanceToFit) else one for one in stages)


def subject_of(queries: Queries, parts: Parts) -> dict[str, Any]:
    """Return facts that tell queries, their hits, their context and their parts from others."""
    context = queries.context
    digest = hashlib.sha256()
    for text in queries.image_ids:
        digest.update(text.encode() + b"\0")
    arrays: list[Any] = [queries.labelled, queries.truths, queries.found.indices]
    arrays += [queries.found.similarities, parts.masks, parts.sizes, context.gallery.landmarks]
    arrays += [context.gallery.to_bank, context.queries.to_bank, context.queries.vectors]
    if context.gallery.picks is not None:
        arrays += [context.gallery.picks.counts, context.gallery.picks.sims]
    for array in arrays:
        digest.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
    return {
        "queries": len(queries.image_ids),
        "folds": parts.num_folds,
        "given": sorted(context.given),
        "fingerprint": digest.hexdigest()[:32],
    }


def _bytes(answer: Answer) -> int:
    if isinstance(answer, Votes):
        return answer.landmarks.nbytes + answer.scores.nbytes
    return answer.indices.nbytes + answer.similarities.nbytes


_ELSEWHERE = "name another folder, or move this file away"
