"""Work on galleries in processes that can be killed: the tests' hook, not the product's.

Reads one JSON object a line: ``work`` and ``arguments``, and where to be killed: ``after`` so many
seconds, or at the boundary of number ``step`` (before everything that writes, and after a commit).
Answers with the id of the process, waits for a line ``"go"``, and answers with how it ended. Cairn
is loaded once; every work is done by a fork, made before any library has started threads.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lance  # noqa: F401 (loaded before the forks, so that these are quick)
import pyarrow.fs  # noqa: F401

import cairn.gallery as galleries
from cairn.errors import CairnError
from cairn.gallery import Gallery, add, compaction, penalize, reembedding, versions
from cairn.gallery import gallery as building
from cairn.gallery.place import Place
from cairn.labels import read_labels
from cairn.tables import EmbeddingTable


def build(location: str, table: str, model: str) -> None:
    Gallery.build(Path(table), Path(model), location, landmark_names={"b": "The B"})


def keep_penalty(location: str, bank: str) -> None:
    galleries.keep_penalty(location, EmbeddingTable.read(Path(bank)), top=2, min_n=1)


def state(location: str, version: int | str | None = None) -> dict[str, Any]:
    """Return all that a reader sees of a gallery."""
    loaded = Gallery.load(location, version=version)
    table = loaded.table
    return {
        "rows": sorted(
            map(list, zip(table.image_ids, table.landmark_ids, table.paths, strict=True))
        ),
        "content": loaded.content_key,
        "computed": Gallery(location, table).content_key,
        "names": dict(loaded.landmark_names),
        "landmarks": {name: asdict(one) for name, one in sorted(loaded.landmarks.items())},
        "about": {image: loaded.about(row) for row, image in enumerate(table.image_ids)},
        "model": table.fingerprint,
        "has_model": (loaded.model_dir / "model.safetensors").is_file(),
        "penalty": None
        if loaded.penalty is None
        else dict(zip(table.image_ids, loaded.penalty.penalty.tolist(), strict=True)),
    }


def read_until(location: str, last: int) -> dict[str, Any]:
    """Load the newest version until it is ``last``; return what was read, by version."""
    seen: dict[str, Any] = {}
    number = 0
    while number < last:
        loaded = Gallery.load(location)
        number, table = loaded.version, loaded.table
        assert loaded.penalty is not None
        parts = (table.image_ids, table.landmark_ids, loaded.penalty.penalty.tolist())
        found = [loaded.content_key, *map(list, parts)]
        assert seen.setdefault(str(number), found) == found, "one version, two contents"
    return seen


WORK: dict[str, Any] = {
    "build": build,
    "penalize": keep_penalty,
    "add": lambda location, table: galleries.add_embeddings(location, Path(table)),
    "remove": lambda location, ids: galleries.remove_images(location, image_ids=ids),
    "merge": lambda location, one, into: galleries.merge_landmarks(location, one, into=into),
    "rename": galleries.rename_landmark,
    "describe": lambda location, table: galleries.describe(location, read_labels(Path(table))),
    "reembed": lambda location, model: galleries.reembed(location, Path(model), backend="torch"),
    "rollback": galleries.rollback,
    "tag": galleries.tag,
    "compact": lambda location: galleries.compact(location, keep_days=0),
    "state": state,
    "read": read_until,
}
WRITING = (
    *((module, "write_fragments") for module in (add, building, compaction, reembedding)),
    *((Place, name) for name in ("write_file", "write_folder", "delete")),
    *((module, "write_bank") for module in (penalize, reembedding)),
    (versions, "_commit"),
)


def die_at(step: int) -> None:
    """Kill this process at a boundary of something that writes."""
    passed = 0
    committing = versions._commit

    def boundary() -> None:
        nonlocal passed
        passed += 1
        if passed == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def stepping(function: Any) -> Any:
        def stepped(*args: Any, **kwargs: Any) -> Any:
            boundary()
            value = function(*args, **kwargs)
            if function is committing:
                boundary()
            return value

        return stepped

    for owner, name in WRITING:
        setattr(owner, name, stepping(getattr(owner, name)))


def run(request: dict[str, Any], answer: int) -> None:
    """Do the work in this process and write what came of it to ``answer``."""
    os.environ.update(request["environment"])
    if request.get("step"):
        die_at(request["step"])
    told: dict[str, Any] = {}
    try:
        value = WORK[request["work"]](*request["arguments"])
        told["value"] = value if isinstance(value, dict) else None
    except CairnError as error:
        told["error"] = str(error)
    except Exception as error:
        told["fault"] = repr(error)
    data = json.dumps(told).encode()
    while data:
        data = data[os.write(answer, data) :]


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        go_out, go_in = os.pipe()
        told_out, told_in = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(told_out)
            os.read(go_out, 1)
            try:
                run(request, told_in)
            finally:
                sys.stderr.flush()
                os._exit(0)
        for end in (go_out, told_in):
            os.close(end)
        print(json.dumps({"pid": pid}), flush=True)
        sys.stdin.readline()
        start = time.perf_counter()
        os.write(go_in, b"g")
        handle = os.pidfd_open(pid)
        if request.get("after") is not None:
            select.select([handle], [], [], request["after"])
            os.kill(pid, signal.SIGKILL)  # too late where it has ended: it was not waited for yet
        with os.fdopen(told_out, "rb") as pipe:
            told = pipe.read()
        seconds = time.perf_counter() - start
        _, status = os.waitpid(pid, 0)
        for end in (go_in, handle):
            os.close(end)
        found = json.loads(told) if told.endswith(b"}") else {}
        code = os.waitstatus_to_exitcode(status)
        print(json.dumps({"code": code, "seconds": seconds, **found}), flush=True)


if __name__ == "__main__":
    main()
