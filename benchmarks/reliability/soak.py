"""A server at saturation whose gallery changes, killed in the middle: no accepted change is lost.

``python benchmarks/reliability/soak.py [--minutes 10]``. Clients ask without a pause while others
add and remove photographs with idempotency keys; every acknowledged change is written down before
the next is sent. The server is killed with SIGKILL ``--kills`` times and started again; changes
that were under way are sent again with their keys. At the end the gallery must hold exactly what
was acknowledged, and its log each key once. Ends with 1 where it does not.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cairn.gallery import Gallery, log
from measuring.served import FORM_TYPE, Client, Served, form, start
from measuring.small_gallery import jpeg, make_gallery, noise

OPTIONS = ["--backend", "torch", "--device", "cpu"]
AGAIN_S = 0.2


@dataclass
class Shared:
    """What the clients share.

    Args:
        server: The server that runs now.
        until: When to end.
        answers: Requests by kind and status; 0 for none.
        seconds: Durations of recognition that was answered.
        added: Acknowledged images that were not removed again, by id.
        removed: Acknowledged removals.
        keys: Of acknowledged changes.
        replayed: Changes that were answered by an earlier, unanswered request.
    """

    server: Served
    until: float
    answers: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    added: dict[str, str] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    replayed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, kind: str, status: int) -> None:
        """Count an answer."""
        with self.lock:
            self.answers[f"{kind} {status}"] += 1


def ask(shared: Shared, number: int) -> None:
    """Recognize photographs without a pause."""
    photos = [jpeg(number * 1000 + i, side=64) for i in range(8)]
    bodies = [form([("image", "a.jpg", photo)]) for photo in photos]
    connection, server, turn = Client(shared.server), shared.server, 0
    while time.monotonic() < shared.until:
        if server is not shared.server:
            connection, server = Client(shared.server), shared.server
        begin, turn = time.monotonic(), turn + 1
        try:
            status, _ = connection.send("POST", "/v1/recognize", bodies[turn % 8], FORM_TYPE)
        except OSError:
            status = 0
        shared.count("recognize", status)
        if status == 200:
            with shared.lock:
                shared.seconds.append(time.monotonic() - begin)
        else:
            time.sleep(AGAIN_S)


def change(shared: Shared, number: int) -> None:
    """Add and remove photographs; a change without an answer is sent again with its key."""
    seed = 1_000_000 * (number + 1)
    mine: list[str] = []
    while time.monotonic() < shared.until:
        seed += 1
        key = {"Idempotency-Key": uuid.uuid4().hex}
        if len(mine) > 3 and seed % 3 == 0:
            image_id = mine.pop(0)
            answer = persist(shared, "DELETE", f"/v1/images/{image_id}", None, key)
            with shared.lock:
                shared.added.pop(image_id, None)
                shared.removed.add(image_id)
        else:
            body = form([("image", "new.jpg", jpeg(seed, side=64))])
            path = f"/v1/landmarks/soak{number}/images?create=true"
            answer = persist(shared, "POST", path, body, {**key, **FORM_TYPE})
            with shared.lock:
                (image_id,) = answer["image_ids"]
                shared.added[image_id] = f"soak{number}"
            mine.append(image_id)
        with shared.lock:
            shared.keys.add(key["Idempotency-Key"])
            shared.replayed += answer["replayed"]


def persist(
    shared: Shared, method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> Any:
    """Send a change until it is acknowledged."""
    while True:
        connection = Client(shared.server)
        try:
            status, content = connection.send(method, path, body, headers)
        except OSError:
            status, content = 0, b""
        finally:
            connection.close()
        shared.count("change", status)
        if status == 200:
            return json.loads(content)
        if status not in (0, 429, 503, 504):
            raise SystemExit(f"{method} {path}: {status} {content!r}")
        time.sleep(AGAIN_S)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--writers", type=int, default=2)
    wishes = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        gallery = make_gallery(root, noise(root / "photos"))
        if not run(gallery, wishes):
            sys.exit(1)


def run(gallery: Path, wishes: argparse.Namespace) -> bool:
    """Soak a server, and say whether the gallery is what was acknowledged."""
    trace = gallery.parent / "server.log"
    server = start(gallery, options=OPTIONS, log=trace)
    begin = time.monotonic()
    shared = Shared(server, begin + 60 * wishes.minutes)
    crew = [
        threading.Thread(target=work, args=(shared, number))
        for work, count in ((ask, wishes.clients), (change, wishes.writers))
        for number in range(count)
    ]
    for one in crew:
        one.start()
    memory = []
    for turn in range(wishes.kills + 1):
        end = begin + (turn + 1) * 60 * wishes.minutes / (wishes.kills + 1)
        while time.monotonic() < end:
            memory.append(shared.server.rss_mib())
            time.sleep(min(5.0, max(0.0, end - time.monotonic())))
        if turn < wishes.kills:
            shared.server.kill()
            killed = time.monotonic()
            print(f"killed after {killed - begin:.0f} s", flush=True)
            shared.server = start(gallery, options=OPTIONS, log=trace)
            down = time.monotonic() - killed  # is no part of the minutes
            begin, shared.until = begin + down, shared.until + down
    for one in crew:
        one.join()
    last = shared.server.rss_mib()
    ended = shared.server.stop()
    return report(gallery, shared, memory=[*memory, last], ended=ended, minutes=wishes.minutes)


def report(
    gallery: Path, shared: Shared, *, memory: list[float], ended: int, minutes: float
) -> bool:
    """Print what came of it; return whether nothing was lost."""
    table = Gallery.load(gallery).table
    there = dict(zip(table.image_ids, table.landmark_ids, strict=True))
    lost = [one for one, mark in shared.added.items() if there.get(one) != mark]
    undead = [one for one in shared.removed if one in there]
    foreign = [one for one, mark in there.items() if mark.startswith("soak")]
    extra = set(foreign) - set(shared.added)
    logged = Counter(entry.arguments.get("key") for entry in log(gallery))
    twice = [key for key in shared.keys if logged[key] > 1]
    missing = [key for key in shared.keys if logged[key] == 0]
    milliseconds = 1000 * np.percentile(shared.seconds, [50, 95, 99])
    answered = len(shared.seconds)
    print(
        f"{answered} answers in {minutes:g} minutes ({answered / 60 / minutes:.1f}/s), p50 "
        f"{milliseconds[0]:.0f} ms, p95 {milliseconds[1]:.0f} ms, p99 {milliseconds[2]:.0f} ms\n"
        f"{len(shared.keys)} changes acknowledged, {shared.replayed} of them made by a request "
        f"that got no answer; {len(log(gallery))} versions\n"
        f"lost {len(lost)}, back from removal {len(undead)}, not asked for {len(extra)}, "
        f"made twice {len(twice)}, not in the log {len(missing)}\n"
        f"memory: {memory[0]:.0f} MiB at first, {max(memory):.0f} at most, {memory[-1]:.0f} last; "
        f"exit {ended}\nanswers: {dict(sorted(shared.answers.items()))}"
    )
    faults = [kind for kind in shared.answers if kind.endswith(" 500")]
    return not (lost or undead or extra or twice or missing or faults or ended)


if __name__ == "__main__":
    main()
