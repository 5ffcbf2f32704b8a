"""From uploaded bytes to answers: the batcher around decoding, the network and the search."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cairn.ahead import num_processors
from cairn.domain import Float32, Prediction
from cairn.images import UnreadableImage
from cairn.serve.batching import Batcher, BatchReport, Busy, Closed
from cairn.serve.metrics import Metrics
from cairn.serve.problems import Problem
from cairn.serve.settings import ServeSettings
from cairn.serve.snapshot import Snapshot


@dataclass(frozen=True, eq=False)
class Ask:
    """A photograph that somebody asks about.

    Args:
        content: The bytes of its file.
        snapshot: What answers.
        top: Gallery images to show; 0 where only its embedding is wanted.
        use_penalty: Take the penalty off.
        explain: Answer once more as if there were no penalty.
    """

    content: bytes
    snapshot: Snapshot
    top: int = 0
    use_penalty: bool = True
    explain: bool = False


@dataclass(frozen=True, eq=False)
class Answer:
    """What came of it.

    Args:
        vector: (D,) its embedding.
        prediction: The answer, where one was wanted.
        without_penalty: The answer without a penalty, where it was to be explained.
    """

    vector: Float32
    prediction: Prediction | None = None
    without_penalty: Prediction | None = None


@dataclass(frozen=True, eq=False)
class _Prepared:
    ask: Ask
    pixels: Float32
    to_match: NDArray[np.uint8] | None = None


class Answering:
    """Answers photographs of many requests, in batches.

    Args:
        settings: Of the server.
        metrics: What is told how long things take.
    """

    def __init__(self, settings: ServeSettings, metrics: Metrics) -> None:
        batch = settings.batch
        self._settings, self._metrics = settings, metrics
        self.batcher = Batcher[Ask, _Prepared, Answer](
            self._prepare,
            self._run,
            max_batch=batch.max_images,
            max_wait_s=batch.max_wait_ms / 1000,
            queue=batch.queue,
            preparers=batch.decoders or num_processors(),
            on_batch=self._told,
        )

    async def __call__(self, asks: Sequence[Ask]) -> list[Answer | UnreadableImage]:
        """Return what came of photographs of one request, in order.

        Raises:
            Problem: There is no room (429), it took too long (504), or the server stops (503).
        """
        wait_s = self._settings.limits.request_s
        deadline = time.monotonic() + wait_s
        try:
            futures = self.batcher.submit(asks, group=asks[0].snapshot, deadline=deadline)
        except Busy as busy:
            seconds = str(round(busy.retry_after_s))
            raise Problem(
                429,
                "the server is working on as many photographs as it may hold",
                todo=f"send the request again in {seconds} s",
                headers={"Retry-After": seconds},
            ) from None
        except Closed:
            raise Problem(503, "the server is stopping", headers={"Retry-After": "5"}) from None
        waiting = [asyncio.wrap_future(future) for future in futures]
        try:
            async with asyncio.timeout(wait_s):
                found = await asyncio.gather(*waiting, return_exceptions=True)
        except TimeoutError:
            raise self._too_late() from None
        finally:
            for one in waiting:
                one.cancel()
        answers: list[Answer | UnreadableImage] = []
        for result in found:
            if isinstance(result, TimeoutError):
                raise self._too_late()
            if isinstance(result, BaseException) and not isinstance(result, UnreadableImage):
                raise result
            answers.append(result)
        return answers

    def _too_late(self) -> Problem:
        return Problem(
            504,
            f"the answer took longer than {self._settings.limits.request_s:g} s",
            todo="send the request again, with fewer photographs",
        )

    def _prepare(self, ask: Ask) -> _Prepared:
        start = time.perf_counter()
        pixels = ask.snapshot.prepare(ask.content)
        to_match = ask.snapshot.to_match(ask.content) if ask.top else None
        self._metrics.decode_seconds.observe(time.perf_counter() - start)
        return _Prepared(replace(ask, content=b""), pixels, to_match)

    def _run(self, batch: Sequence[_Prepared]) -> list[Answer]:
        """Return the answers to photographs that are asked of one snapshot."""
        snapshot = batch[0].ask.snapshot
        start = time.perf_counter()
        vectors = snapshot.recognizer.runtime(np.stack([one.pixels for one in batch]))
        middle = time.perf_counter()
        asks = [one.ask for one in batch]
        found: dict[int, Prediction] = {}
        plain: dict[int, Prediction] = {}
        with_penalty = [i for i, ask in enumerate(asks) if ask.top and ask.use_penalty]
        without = [i for i, ask in enumerate(asks) if ask.top and not ask.use_penalty]
        explained = [i for i, ask in enumerate(asks) if ask.top and ask.explain]
        for rows, recognizer, into, top in (
            (with_penalty, snapshot.recognizer, found, 0),
            (without, snapshot.without_penalty, found, 0),
            (explained, snapshot.without_penalty, plain, 1),
        ):
            if rows:
                most = top or max(asks[i].top for i in rows)
                pixels = [batch[i].to_match for i in rows]
                matched = [one for one in pixels if one is not None]
                names = [""] * len(rows)
                made = recognizer.answers(vectors[rows], names, matched or None, top=most)
                into.update(zip(rows, made, strict=True))
        self._metrics.forward_seconds.observe(middle - start)
        self._metrics.search_seconds.observe(time.perf_counter() - middle)
        return [
            Answer(vectors[i], _cut(found.get(i), ask.top), plain.get(i))
            for i, ask in enumerate(asks)
        ]

    def _told(self, report: BatchReport) -> None:
        self._metrics.batch_images.observe(report.size)
        self._metrics.waiting.set(report.waiting)


def _cut(prediction: Prediction | None, top: int) -> Prediction | None:
    """Return an answer with the evidence that was asked for."""
    if prediction is None or len(prediction.evidence) <= top:
        return prediction
    return replace(prediction, evidence=prediction.evidence[:top])
