"""Where a gallery lies: a local folder, or a prefix in an S3-compatible object store.

The vectors are Lance's to read and write; everything beside them (models, penalties, banks,
indexes) goes through here, whole or not at all. The module does not know what the files mean.

An object store is reached with the usual environment: ``AWS_ACCESS_KEY_ID``,
``AWS_SECRET_ACCESS_KEY``, ``AWS_SESSION_TOKEN``, ``AWS_REGION`` and, for any store but Amazon's,
``AWS_ENDPOINT_URL``, plain http too.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cairn.errors import CairnError
from cairn.runs import atomic_folder, atomic_write

LOCK_NAME = "writer.lock"
WORK_NAME = "work"

_REMOTE = re.compile(r"s3:/{1,2}([^/].*?)/*")  # a Path makes s3:/ of s3://
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Item:
    """A file or folder beside the vectors.

    Args:
        name: Its name within the gallery.
        num_bytes: Its size, with everything in it.
        modified: When it was last written.
    """

    name: str
    num_bytes: int
    modified: dt.datetime


class Place:
    """A gallery's location.

    Args:
        location: A folder, or ``s3://bucket/prefix``.
    """

    def __init__(self, location: Path | str) -> None:
        found = _REMOTE.fullmatch(str(location))
        self.remote = found is not None
        self._root = found[1] if found else os.path.abspath(location)  # noqa: PTH100 (not links)
        self.location: Path | str = f"s3://{found[1]}" if found else Path(location)

    def __str__(self) -> str:
        return str(self.location)

    def uri(self, name: str) -> str:
        """Return the address of ``name`` as Lance takes it."""
        return f"s3://{self._root}/{name}" if self.remote else f"{self._root}/{name}"

    @property
    def options(self) -> dict[str, str] | None:
        """What Lance must be told of the object store; None for a local folder."""
        if not self.remote:
            return None
        names = {
            "AWS_ACCESS_KEY_ID": "aws_access_key_id",
            "AWS_SECRET_ACCESS_KEY": "aws_secret_access_key",
            "AWS_SESSION_TOKEN": "aws_session_token",
        }
        found = {ours: os.environ[theirs] for theirs, ours in names.items() if theirs in os.environ}
        if region := _region():
            found["aws_region"] = region
        if endpoint := _endpoint():
            plain = str(endpoint.startswith("http://")).lower()
            found |= {"aws_endpoint": endpoint, "allow_http": plain}
        return found

    def has(self, name: str) -> bool:
        """Say whether the file ``name`` is there."""
        if not self.remote:
            return (self._local / name).is_file()
        with self._reached():
            return bool(self._store.get_file_info(self._key(name)).is_file)

    def has_folder(self, name: str) -> bool:
        """Say whether the folder ``name``, as ``write_folder`` writes it, is there and complete."""
        return self.has(f"{name}/{_LAST}")

    def write_file(self, name: str, source: Path) -> None:
        """Copy a file to ``name``, in place of an older one."""
        if self.remote:
            self._upload(source, name)
            return
        with atomic_write(self._local / name) as temporary:
            shutil.copyfile(source, temporary)

    def write_folder(self, name: str, source: Path) -> None:
        """Copy a folder to ``name``, unless it is there already; ``config.json`` must be in it.

        In an object store that file comes last: with it the folder is complete.
        """
        if self.has_folder(name):
            return
        files = sorted(path for path in source.rglob("*") if path.is_file())
        if self.remote:
            for path in sorted(files, key=lambda one: one == source / _LAST):
                self._upload(path, f"{name}/{path.relative_to(source).as_posix()}")
            return
        with atomic_folder(self._local / name) as temporary:
            for path in files:
                copy = temporary / path.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)

    @contextmanager
    def local_file(self, name: str) -> Iterator[Path]:
        """Yield a local file with the contents of ``name``, which must be there."""
        if not self.remote:
            yield self._local / name
            return
        with tempfile.TemporaryDirectory(prefix="cairn-") as folder:
            copy = Path(folder) / Path(name).name
            self._download(name, copy)
            yield copy

    def local_folder(self, name: str) -> Path:
        """Return a local folder with the contents of ``name``, a content-addressed one.

        One in an object store is kept in the user's cache, by its name.

        Raises:
            CairnError: It is not there.
        """
        if not self.has_folder(name):
            raise CairnError(
                f"{name} is missing", where=self, todo="restore it; it belongs to the gallery"
            )
        if not self.remote:
            return self._local / name
        cached = _cache() / name
        if not cached.is_dir():
            with atomic_folder(cached, replace=True) as temporary:  # another process may be quicker
                for one in self._tree(name):
                    if one.is_file:
                        inner = one.path[len(self._root) + len(name) + 2 :]
                        self._download(f"{name}/{inner}", temporary / inner)
        return cached

    def work(self, name: str) -> Path:
        """Return a local folder for work in progress that an interrupted call may go on with."""
        if not self.remote:
            return self._local / WORK_NAME / name
        own = hashlib.sha256(self._root.encode()).hexdigest()[:16]
        return _cache() / WORK_NAME / own / name

    def items(self, folder: str) -> list[Item]:
        """Return what lies directly in ``folder``, by name; nothing where there is no folder."""
        if self.remote:
            return self._remote_items(folder)
        root = self._local / folder
        if not root.is_dir():
            return []
        found = []
        for path in sorted(root.iterdir()):
            inside = [one.stat() for one in path.rglob("*")] if path.is_dir() else []
            parts = [path.stat(), *inside]
            newest = max(part.st_mtime for part in parts)
            modified = dt.datetime.fromtimestamp(newest, dt.UTC)
            num_bytes = sum(part.st_size for part in inside or parts)
            found.append(Item(f"{folder}/{path.name}", num_bytes, modified))
        return found

    def delete(self, name: str) -> None:
        """Delete the file or folder ``name``, where it is there."""
        if not self.remote:
            path = self._local / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            return
        # The mark of a complete folder goes first: what an interruption leaves is not taken for it.
        inside = [info.path for info in self._tree(name) if info.is_file]
        inside.sort(key=lambda path: path != f"{self._root}/{name}/{_LAST}")
        with self._reached():
            for path in inside or [self._key(name)]:
                self._store.delete_file(path)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep other writers of a local gallery out for the length of the block.

        The lock goes with the process, however it ends. In an object store there is none: there a
        commit fails where another came before it.

        Raises:
            CairnError: Another process is writing.
        """
        if self.remote:
            yield
            return
        import fcntl

        with (self._local / LOCK_NAME).open("a+b") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CairnError(
                    "another process is changing this gallery",
                    where=self,
                    todo="wait until it is done, then give the command again",
                ) from None
            yield

    def prepare(self) -> None:
        """Make the folder, where the gallery is a local one."""
        if not self.remote:
            self._local.mkdir(parents=True, exist_ok=True)

    def top(self) -> set[str]:
        """Return the names of what lies at the top."""
        if not self.remote:
            return {path.name for path in self._local.iterdir()} if self._local.is_dir() else set()
        from pyarrow import fs

        selector = fs.FileSelector(self._root, allow_not_found=True)
        with self._reached():
            return {info.base_name for info in self._store.get_file_info(selector)}

    @property
    def _local(self) -> Path:
        return Path(self._root)

    @cached_property
    def _store(self) -> Any:
        from pyarrow import fs

        wishes: dict[str, Any] = {"allow_delayed_open": True}  # a small file is one request then
        if endpoint := _endpoint():
            scheme, _, host = endpoint.rpartition("://")
            wishes |= {"endpoint_override": host.rstrip("/"), "scheme": scheme or "https"}
        if region := _region():
            wishes["region"] = region
        return fs.S3FileSystem(**wishes)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Say in words that the object store cannot be used."""
        try:
            yield
        except OSError as error:
            raise CairnError(
                f"the object store cannot be used: {error}",
                where=self,
                todo="check that the bucket exists, and AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, "
                "AWS_SECRET_ACCESS_KEY and AWS_REGION",
            ) from None

    def _tree(self, name: str) -> list[Any]:
        from pyarrow import fs

        selector = fs.FileSelector(self._key(name), allow_not_found=True, recursive=True)
        with self._reached():
            infos: list[Any] = self._store.get_file_info(selector)
        return infos

    def _remote_items(self, folder: str) -> list[Item]:
        start = len(self._root) + len(folder) + 2
        sizes: dict[str, tuple[int, dt.datetime]] = {}
        for info in self._tree(folder):
            if info.is_file:
                name = info.path[start:].partition("/")[0]
                size, newest = sizes.get(name, (0, info.mtime))
                sizes[name] = (size + info.size, max(newest, info.mtime))
        return [Item(f"{folder}/{name}", *sizes[name]) for name in sorted(sizes)]

    def _upload(self, source: Path, name: str) -> None:
        with (
            self._reached(),
            source.open("rb") as file,
            self._store.open_output_stream(self._key(name)) as out,
        ):
            shutil.copyfileobj(file, out, _BLOCK)

    def _download(self, name: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            self._reached(),
            self._store.open_input_stream(self._key(name)) as stream,
            target.open("wb") as file,
        ):
            shutil.copyfileobj(stream, file, _BLOCK)

    def _key(self, name: str) -> str:
        return f"{self._root}/{name}"


_LAST = "config.json"


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def _region() -> str | None:
    named = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return named or ("us-east-1" if _endpoint() else None)


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "cairn"
