"""``cairn`` whose training can be killed at a chosen step: the tests' hook, not the product's.

``DIE_AT``: in the first attempt, the process of rank ``DIE_RANK`` kills itself in the step of that
number, counted from 1. ``KEEP_AT`` and ``KEEP_TO``: before the step of that number, the first
process copies the run folder, state and all, as a kill would have left it.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from cairn.cli import main
from cairn.training.learner import Learner

RANK = os.environ.get("RANK", "0")
FIRST = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
taken = 0
step = Learner.step


def dying(self: Learner, *args: Any, **kwargs: Any) -> torch.Tensor:
    global taken
    taken += 1
    if FIRST and os.environ.get("DIE_RANK", "0") == RANK:
        if str(taken) == os.environ.get("DIE_AT"):
            os.kill(os.getpid(), signal.SIGKILL)
        if str(taken) == os.environ.get("KEEP_AT"):
            folder = Path(sys.argv[sys.argv.index("-o") + 1])
            shutil.copytree(folder, os.environ["KEEP_TO"])
    return step(self, *args, **kwargs)


if __name__ == "__main__":
    torch.set_num_threads(1)
    Learner.step = dying  # type: ignore[method-assign]
    main()
