"""What a run writes for people: its log, its metrics and its best model; by the first process."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from cairn import processes
from cairn.checkpoint import save_model
from cairn.config import ModelConfig
from cairn.model import Embedder
from cairn.progress import say
from cairn.runs import atomic_folder, atomic_write, recover_folder
from cairn.validation import tail_warning


class Record:
    """The files of a run folder, beside the state; does nothing in processes but the first.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._warned: str | None = None

    def say(self, message: str) -> None:
        """Tell the person watching, and write it to train.log."""
        if processes.is_main():
            say(message)
            with (self.folder / "train.log").open("a", encoding="utf-8") as handle:
                handle.write(message + "\n")

    def write(self, line: Mapping[str, Any]) -> None:
        """Append a line to metrics.jsonl; it is on disk before the state that follows it."""
        if processes.is_main():
            with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(line) + "\n")
                handle.flush()
                os.fsync(handle.fileno())

    def warn(self) -> None:
        """Say where the epochs so far show crowded landmarks buying the gain, each case once."""
        if processes.is_main():
            warning = tail_warning(self._lines())
            if warning and warning != self._warned:
                self.say(warning)
            self._warned = warning

    def go_on(self, *, epoch: int) -> None:
        """Make the folder as it was after that many finished epochs; -1 for a fresh run."""
        if not processes.is_main():
            return
        recover_folder(self.best)
        kept = [line for line in self._lines() if line["epoch"] <= epoch]
        with atomic_write(self.folder / "metrics.jsonl") as temporary:
            temporary.write_text("".join(f"{json.dumps(line)}\n" for line in kept), "utf-8")

    def _lines(self) -> list[dict[str, Any]]:
        path = self.folder / "metrics.jsonl"
        text = path.read_text("utf-8", errors="replace") if path.is_file() else ""
        whole = text[: text.rfind("\n") + 1]  # a loss of power may leave the last line cut off
        return [json.loads(line) for line in whole.splitlines()]

    @property
    def best(self) -> Path:
        """Where the best model of the run so far lies."""
        return self.folder / "checkpoints" / "best"

    def save_best(
        self,
        model: Embedder,
        config: ModelConfig,
        *,
        head: Mapping[str, Tensor],
        landmarks: Sequence[str],
        facts: Mapping[str, Any],
    ) -> None:
        """Write the best model in place of the one before."""
        if processes.is_main():
            save_model(
                self.best,
                model,
                config,
                head=head,
                landmarks=landmarks,
                facts=facts,
                replace=True,
            )

    def publish(self) -> None:
        """Put the best model in place: from now on the run counts as finished."""
        if processes.is_main():
            with atomic_folder(self.folder / "model") as temporary:
                shutil.copytree(self.best, temporary, dirs_exist_ok=True)
        processes.barrier()
