"""One way to search measured in a fresh process: seconds, and peak memory above the gallery.

The gallery is a memory map of a ``.npy`` file, read whole beforehand, so that its pages count
neither before nor after. A search of a few queries in a few rows loads libraries and compiled code
first. Then counts, in bytes:

- ``held``: what preparing leaves behind, such as an index's copy of the gallery;
- ``above``: the most that the process holds while it searches, ``held``, the results and all
  buffers included, beyond the interpreter, the libraries, the gallery and the queries.

``measured`` starts such a process; it runs ``python -m measuring.once``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.penalty import penalty_table
from measuring.machine import enough, timed
from measuring.memory import PeakMemory, touch
from measuring.peers import WAYS, Searcher

PENALTY = "Cairn's penalty table"
"""The way that gives the gallery a penalty table, the queries being the bank."""

_FEW_QUERIES, _FEW_ROWS = 64, 20_000


@dataclass(frozen=True)
class Task:
    """What to measure.

    Args:
        way: A name in ``WAYS``, or ``PENALTY``.
        gallery: The ``.npy`` file of (N, D) float32 rows.
        num_rows: How many of its first rows are the gallery.
        queries: The ``.npy`` file of queries, or of the bank.
        num_queries: How many of its first rows are the queries.
        k: Neighbours of a query, or picks of a bank row.
        threads: Of the way.
        repeats: Runs, of which the quickest counts (see ``measuring.machine.enough``).
    """

    way: str
    gallery: str
    num_rows: int
    queries: str
    num_queries: int
    k: int
    threads: int
    repeats: int


@dataclass(frozen=True)
class Cost:
    """What it took: seconds of the quickest run, and bytes of memory (see the module)."""

    seconds: float
    above: float
    held: float


def measured(task: Task) -> Cost:
    """Return what the task costs in a process of its own.

    Raises:
        CairnError: The process failed.
    """
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    environment["OMP_NUM_THREADS"] = str(task.threads)
    command = [sys.executable, "-W", "ignore", "-m", "measuring.once", json.dumps(asdict(task))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=False)
    if done.returncode:
        raise CairnError(f"measuring {task.way} failed", where=f"exit status {done.returncode}")
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def measure(task: Task) -> Cost:
    """Return what the task costs in this process, which should have done nothing before."""
    torch.set_num_threads(task.threads)
    gallery_GD = np.load(task.gallery, mmap_mode="c")[: task.num_rows]
    queries_QD = np.array(np.load(task.queries, mmap_mode="r")[: task.num_queries])
    prepare = penalties if task.way == PENALTY else WAYS[task.way].prepare
    few_GD = np.array(gallery_GD[:_FEW_ROWS])
    prepare(few_GD, task.threads)(queries_QD[:_FEW_QUERIES], min(task.k, len(few_GD)))
    del few_GD
    touch(gallery_GD)
    with PeakMemory() as preparing:
        answer = prepare(gallery_GD, task.threads)
    held = preparing.left
    with PeakMemory() as searching:
        times = [timed(partial(answer, queries_QD, task.k))]
    while not enough(times, task.repeats):
        times.append(timed(partial(answer, queries_QD, task.k)))
    return Cost(min(times), held + searching.above, held)


def penalties(gallery_GD: Float32, threads: int) -> Searcher:
    """Return what gives the gallery a penalty table from a bank, as a way does."""
    torch.set_num_threads(threads)
    return lambda bank_BD, top: penalty_table(gallery_GD, bank_BD, top=top).n_picked


if __name__ == "__main__":
    print(json.dumps(asdict(measure(Task(**json.loads(sys.argv[1]))))))
