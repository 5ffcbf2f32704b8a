"""Trials: rows of stages run on the same queries, each prefix once, and what they come to.

Legend of shapes: P parts of the queries.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cairn.errors import CairnError
from cairn.metrics import Ranking, accuracy
from cairn.rerank import Pipeline
from cairn.rerank.answers import Answer, Float64, Votes
from cairn.stack_tuning.queries import Parts, Queries
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
        Pipeline(stages).require(self.queries.context)
        answer: Answer = self.queries.found
        done = 0
        for num in range(len(stages), 0, -1):
            kept = self._kept.get(stages[:num])
            if kept is not None:
                self._kept.move_to_end(stages[:num])
                answer, done = kept, num
                break
        for num in range(done, len(stages)):
            start = time.perf_counter()
            answer = stages[num](answer, self.queries.context)
            is_slow = time.perf_counter() - start > SLOW_S
            if is_slow or num + 1 < len(stages):
                self._keep(stages[: num + 1], answer)
        return self.queries.ranking(answer)

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

    def _of(self, stages: Stages) -> tuple[Float64, float]:
        if stages not in self._found:
            told = None if self._log is None else self._log.found.get(key_of(stages))
            if told is None:
                ranking = self._runs.ranking(stages)
                told = self.parts.gaps(ranking), accuracy(ranking)
                self.num_run += 1
                if self._log is not None:
                    self._log.add(stages, *told)
            self._found[stages] = told
            self._tick()
        return self._found[stages]


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
