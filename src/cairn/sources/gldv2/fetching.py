"""The fetch itself: tables first, then tars side by side, each finished before it counts.

A tar is downloaded, checked, looked through, unpacked, flushed to the disk, written into the ledger
and deleted, in this order; whatever interrupts it, the same call goes on.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from cairn.ahead import num_processors
from cairn.errors import CairnError
from cairn.fetch.client import Client
from cairn.fetch.crew import run_all
from cairn.fetch.disk import told_when_full
from cairn.fetch.download import download, md5_in, sum_of
from cairn.fetch.ledger import Ledger, only_one
from cairn.fetch.meter import Meter
from cairn.fetch.tars import Member, list_members
from cairn.sources.gldv2.finished import Finished, begin, line_of
from cairn.sources.gldv2.layout import checksum_name, member_key
from cairn.sources.gldv2.plan import TAR_FOLDER, File, Plan, Tar
from cairn.sources.gldv2.subsets import as_numbers, subset_ids
from cairn.sources.gldv2.unpacking import MAX_MEMBER_BYTES, unpack

_KEPT = "tars that are unpacked and parts that are downloaded stay"


@dataclass(frozen=True)
class Fetched:
    """What a fetch came to.

    Args:
        num_tars: Tars that are unpacked now, of those that were asked for.
        num_images: Photographs that this call unpacked.
        num_bytes: What these take of the disk.
        unreadable: Image id and reason of photographs that were left out, of all calls.
        faults: Why other tars are not there.
    """

    num_tars: int
    num_images: int
    num_bytes: int
    unreadable: dict[str, str]
    faults: tuple[CairnError, ...]

    def require_all(self) -> None:
        """Refuse to go on as if everything were there.

        Raises:
            CairnError: Tars are missing; names the first and why.
        """
        if not self.faults:
            return
        first = self.faults[0]
        missing = f"{len(self.faults)} tar{'s are' if len(self.faults) > 1 else ' is'} missing"
        raise CairnError(
            f"{missing}, {self.num_tars} are there; the first: {first.what}",
            where=first.where,
            todo=f"{first.todo + '; ' if first.todo else ''}the same command tries what is missing "
            "again; with --parallel 0 it makes do with what is there",
        )


def fetch(client: Client, folder: Path, plan: Plan, *, base: str) -> Fetched:
    """Fetch what a plan says into ``folder``.

    Args:
        client: Asks the server.
        folder: Where the data set goes; made if need be.
        plan: Of `make_plan`, for the same folder and base.
        base: Where the data set is published.

    Raises:
        DiskFullError: The disk filled up; what is finished stays.
        UnreachableError: The server stayed away; as before.
        CairnError: A table cannot be had, or another process fetches into the folder.
    """
    with only_one(folder / ".lock", "fetching GLDv2"):
        job = _Job(client, folder, plan, base)
        return job.run()


class _Job:
    """One call of `fetch`: what its threads share."""

    def __init__(self, client: Client, folder: Path, plan: Plan, base: str) -> None:
        self._client, self._folder, self._plan, self._base = client, folder, plan, base
        total = sum(file.num_bytes for file in (*plan.tables, *plan.tars))
        have = sum(file.have for file in (*plan.tables, *plan.tars))
        self._meter = Meter("fetching", total, before=have)
        self._client.told = self._meter.say
        self._lock = threading.Lock()
        self._ledger: Ledger
        self._kept: np.ndarray[tuple[int], np.dtype[np.uint64]] | None = None
        self._workers = -(-num_processors() // max(1, min(plan.parallel, len(plan.tars))))
        self._num_tars, self._num_images, self._num_bytes = plan.num_done, 0, 0

    def run(self) -> Fetched:
        plan = self._plan
        self._ledger = begin(self._folder, plan.size)
        if not plan.keep_tars:
            self._delete_finished()
        with self._meter.shown():
            faults = self._all([partial(self._table, table) for table in plan.tables])
            if faults:
                raise faults[0]
            if plan.tars and plan.choice.subset in ("clean", "2x"):
                self._kept = subset_ids(self._folder, plan.choice.subset)
            faults = self._all([partial(self._tar, tar) for tar in plan.tars])
        for place in (*(self._folder / TAR_FOLDER).glob("*/"), self._folder / TAR_FOLDER):
            if place.is_dir() and not any(place.iterdir()):
                place.rmdir()
        done = Finished.of(self._folder)
        return Fetched(
            self._num_tars, self._num_images, self._num_bytes, done.unreadable, tuple(faults)
        )

    def _all(self, jobs: Sequence[Callable[[], None]]) -> list[CairnError]:
        return run_all(jobs, parallel=self._plan.parallel, halt=self._client.halt)

    def _table(self, table: File) -> None:
        with told_when_full(f"fetching {table.name}", _KEPT, where=self._folder):
            download(
                self._client,
                f"{self._base}/{table.name}",
                self._folder / table.name,
                moved=self._meter.move,
            )

    def _tar(self, tar: Tar) -> None:
        path = self._folder / TAR_FOLDER / tar.name
        name = checksum_name(tar.split.name, tar.number)
        with told_when_full(f"fetching {tar.name}", _KEPT, where=self._folder):
            md5 = md5_in(self._client.text(f"{self._base}/{name}"), f"{self._base}/{name}")
            if path.is_file():
                if sum_of(path) == md5:
                    self._meter.move(path.stat().st_size)
                else:
                    self._meter.say(f"{path}: not the published bytes; fetched again")
                    path.unlink()
            if not path.is_file():
                url = f"{self._base}/{tar.name}"
                download(self._client, url, path, md5=md5, moved=self._meter.move)
        with told_when_full(f"unpacking {tar.name}", _KEPT, where=self._folder):
            self._unpack(tar, path, md5)

    def _unpack(self, tar: Tar, path: Path, md5: str) -> None:
        members = list_members(path, member_key, max_bytes=MAX_MEMBER_BYTES)
        kept = self._chosen(members) if tar.split.name == "train" else members
        done = unpack(
            path,
            kept,
            self._folder / tar.split.name,
            size=self._plan.size,
            workers=self._workers,
            halt=self._client.halt,
        )
        os.sync()  # once for thousands of files; the tar is deleted only when they are on the disk
        self._ledger.append(
            line_of(
                tar.split.name,
                tar.number,
                self._plan.choice.subset,
                images=done.num_images,
                bytes=done.num_bytes,
                left_out=len(members) - len(kept),
                unreadable=sorted(done.unreadable.items()),
                md5=md5,
            )
        )
        if not self._plan.keep_tars:
            path.unlink()
        with self._lock:
            self._num_tars += 1
            self._num_images += done.num_images
            self._num_bytes += done.num_bytes
            number = self._num_tars
        bad = f", {len(done.unreadable)} unreadable" if done.unreadable else ""
        of = self._plan.num_done + len(self._plan.tars)
        said = f"{tar.name}: {done.num_images:,} photographs{bad} ({number} of {of} tars)"
        self._meter.say(said)

    def _chosen(self, members: list[Member]) -> list[Member]:
        """Return the members that the training set has."""
        if self._kept is None or not members:
            return members
        numbers = as_numbers([member.key for member in members])
        found = np.searchsorted(self._kept, numbers)
        there = self._kept[np.minimum(found, len(self._kept) - 1)] == numbers
        return [member for member, kept in zip(members, there, strict=True) if kept]

    def _delete_finished(self) -> None:
        """Delete tars that a crash left after they were finished."""
        plan = self._plan
        done = Finished.of(self._folder)
        for split in plan.choice.splits:
            for number in plan.choice.tars(split):
                path = self._folder / TAR_FOLDER / split.name / f"images_{number:03d}.tar"
                if done.has(split.name, number, plan.choice.subset):
                    path.unlink(missing_ok=True)
