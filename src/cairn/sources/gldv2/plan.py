"""What a fetch would bring, and the room it needs: stated before anything is downloaded."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cairn.errors import CairnError
from cairn.fetch.client import Client
from cairn.fetch.disk import bytes_text, free_bytes
from cairn.fetch.download import part_bytes
from cairn.fetch.retry import UnreachableError
from cairn.sources.gldv2.finished import Finished
from cairn.sources.gldv2.layout import SUBSETS, Choice, Split, tar_name
from cairn.sources.gldv2.shrinking import about_bytes, require_size

TAR_FOLDER = "tars"
OPTIONAL = ("metadata/train_label_to_hierarchical.csv", "metadata/index_label_to_hierarchical.csv")
"""Tables that can be done without: a landmark then has a name and no category."""

_ASKED_AT_ONCE = 8
_HALF_BLOCK = 2048  # what the last block of a file wastes of the disk, on average


@dataclass(frozen=True)
class File:
    """A file to fetch.

    Args:
        name: Its path at the server.
        num_bytes: Its size.
        have: The bytes of it that are on disk.
    """

    name: str
    num_bytes: int
    have: int


@dataclass(frozen=True)
class Tar(File):
    """A tar to fetch and unpack.

    Args:
        split: What it is part of.
        number: Which one.
        stays_bytes: About what its photographs will take of the disk.
    """

    split: Split
    number: int
    stays_bytes: int


@dataclass(frozen=True)
class Plan:
    """What is to be fetched, and what it takes.

    Args:
        choice: What somebody asked for.
        size: Of the photographs' shorter side; None for as published.
        keep_tars: Tars stay on disk.
        parallel: Tars fetched and unpacked at once.
        tables: Metadata that are missing here.
        tars: Tars that are not unpacked yet.
        num_done: Tars that are.
        missing: Tars that the server does not have, as it says.
        free: Bytes free on the disk.
    """

    choice: Choice
    size: int | None
    keep_tars: bool
    parallel: int
    tables: tuple[File, ...]
    tars: tuple[Tar, ...]
    num_done: int
    missing: tuple[str, ...]
    free: int

    @property
    def download_bytes(self) -> int:
        """What comes over the network."""
        return sum(max(file.num_bytes - file.have, 0) for file in (*self.tables, *self.tars))

    @property
    def stays_bytes(self) -> int:
        """About what the disk holds afterwards, more than now."""
        return self._stays(self.tars)

    @property
    def peak_bytes(self) -> int:
        """About the most that the disk holds at any time, more than now."""
        return self._peak(self.tars)

    def require_room(self, folder: Path) -> None:
        """Refuse what would fill the disk.

        Raises:
            CairnError: It would; says how many tars fit.
        """
        if self.peak_bytes <= self.free:
            return
        numbers = sorted({tar.number for tar in self.tars})
        fits = [
            n for n in numbers if self._peak([t for t in self.tars if t.number <= n]) <= self.free
        ]
        todo = "make room, or name another disk"
        if fits:
            todo += f"; --only {numbers[0]}-{fits[-1]} fits"
        if self.size is None:
            todo += "; --size 256 stores smaller photographs"
        raise CairnError(
            f"this needs {bytes_text(self.peak_bytes)}, and {bytes_text(self.free)} are free",
            where=folder,
            todo=todo,
        )

    def text(self) -> str:
        """Return the plan in words, a line each."""
        if not self.tables and not self.tars:
            return f"nothing is missing; tars unpacked: {self.num_done}"
        subset = self.choice.subset
        lines = []
        if self.tables:
            size = bytes_text(sum(table.num_bytes for table in self.tables))
            lines.append(f"{len(self.tables)} tables, {size}")
        for split in self.choice.splits:
            tars = [tar for tar in self.tars if tar.split is split]
            what = f"{split.name}: tars to fetch: {len(tars)}"
            if tars:
                what += f", {bytes_text(sum(t.num_bytes for t in tars))}"
            if tars and split.name == "train" and subset != "train":
                what += f"; of their photographs, those of {subset} are kept"
            lines.append(what)
        if self.num_done:
            lines.append(f"tars unpacked already: {self.num_done}")
        how = "as published" if self.size is None else f"at a shorter side of {self.size} pixels"
        tars_text = "tars are kept" if self.keep_tars else "tars are deleted once unpacked"
        lines += [
            f"photographs {how}; {tars_text}",
            f"to download {bytes_text(self.download_bytes)}; on disk afterwards about "
            f"{bytes_text(self.stays_bytes)} more, meanwhile at most {bytes_text(self.peak_bytes)} "
            f"more ({self.parallel} tars at a time); free {bytes_text(self.free)}",
        ]
        if self.missing:
            lines.append(
                f"tars not at the server: {len(self.missing)}, the first {self.missing[0]}"
            )
        return "\n".join(lines)

    def _stays(self, tars: Iterable[Tar]) -> int:
        tables = sum(max(table.num_bytes - table.have, 0) for table in self.tables)
        kept = [tar.num_bytes - tar.have for tar in tars] if self.keep_tars else []
        return tables + sum(tar.stays_bytes for tar in tars) + sum(kept)

    def _peak(self, tars: Iterable[Tar]) -> int:
        tars = list(tars)
        if self.keep_tars:
            return self._stays(tars)
        at_once = sorted((max(tar.num_bytes - tar.have, 0) for tar in tars), reverse=True)
        return self._stays(tars) + sum(at_once[: self.parallel])


def make_plan(
    client: Client,
    folder: Path,
    choice: Choice,
    *,
    base: str,
    size: int | None = None,
    keep_tars: bool = False,
    parallel: int = 4,
) -> Plan:
    """Return what is missing in ``folder``, having asked the server for the sizes.

    Args:
        client: Asks the server.
        folder: Where the data set is, or will be.
        choice: What is wanted.
        base: Where the data set is published.
        size: Of the photographs' shorter side; None for as published.
        keep_tars: Keep tars once they are unpacked.
        parallel: Tars fetched and unpacked at once, at least 1.

    Raises:
        CairnError: The folder has photographs of another size, a number makes no sense, or the
            server is not there or lacks a table.
    """
    require_size(size)
    if parallel < 1:
        raise CairnError("at least one tar is fetched at a time", where=f"--parallel {parallel}")
    finished = Finished.of(folder)
    finished.require_size(size, folder)
    tables = [
        name for split in choice.splits for name in split.metadata if not (folder / name).is_file()
    ]
    wanted = [(split, number) for split in choice.splits for number in choice.tars(split)]
    left = [(s, n) for s, n in wanted if not finished.has(s.name, n, choice.subset)]
    names = [tar_name(split.name, number) for split, number in left]
    sizes, missing = _sizes(client, base, [*tables, *names])
    lacking = [name for name in missing if name in tables and name not in OPTIONAL]
    if lacking:
        raise missing[lacking[0]]
    found_tables = [
        File(name, sizes[name] or 0, part_bytes(folder / name))
        for name in tables
        if name not in missing
    ]
    tars = []
    for (split, number), name in zip(left, names, strict=True):
        num_bytes = sizes[name] or split.tar_bytes
        have = part_bytes(folder / TAR_FOLDER / name)
        stays = _stays_bytes(split, num_bytes, size, choice.subset)
        tars.append(Tar(name, num_bytes, have, split, number, stays))
    return Plan(
        choice=choice,
        size=size,
        keep_tars=keep_tars,
        parallel=parallel,
        tables=tuple(found_tables),
        tars=tuple(tars),
        num_done=len(wanted) - len(left),
        missing=tuple(name for name in names if name in missing),
        free=free_bytes(folder),
    )


def _sizes(
    client: Client, base: str, names: list[str]
) -> tuple[dict[str, int | None], dict[str, CairnError]]:
    """Return the size of each file, None where the server does not say, and what is not there."""
    missing: dict[str, CairnError] = {}

    def size(name: str) -> int | None:
        try:
            return client.size(f"{base}/{name}")
        except UnreachableError:
            raise
        except CairnError as error:
            missing[name] = error
            return None

    found = [size(name) for name in names[:1]]  # a server that is away is waited for once
    pool = ThreadPoolExecutor(_ASKED_AT_ONCE)
    try:
        found += pool.map(size, names[1:])
    except BaseException:
        client.halt.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return dict(zip(names, found, strict=True)), missing


def _stays_bytes(split: Split, tar_bytes: int, size: int | None, subset: str | None) -> int:
    images = split.images_per_tar * tar_bytes / split.tar_bytes
    if split.name == "train" and subset is not None:
        images *= SUBSETS[subset] / SUBSETS["train"]
    own = split.tar_bytes / split.images_per_tar
    return round(images * ((own if size is None else min(own, about_bytes(size))) + _HALF_BLOCK))
