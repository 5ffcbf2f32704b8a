"""One file over HTTP, against a server that misbehaves on command; no test sleeps."""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cairn.errors import CairnError
from cairn.fetch.client import Client
from cairn.fetch.disk import DiskFullError, told_when_full
from cairn.fetch.download import ChecksumError, download, md5_in, part_bytes
from cairn.fetch.retry import Halt, Patience, Stopped, UnreachableError, retry_after_s
from measuring.serving import FileServer, Trick

NAME = "train/images_000.tar"
BODY = random.Random(1).randbytes(1_000_000)
OTHER = random.Random(2).randbytes(1_000_000)
MD5 = hashlib.md5(BODY).hexdigest()
CUT = Trick(cut_after=400_000)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer({NAME: BODY}).running() as running:
        yield running


class Asking:
    """A client that never sleeps, and remembers how long it would have."""

    def __init__(self, server: FileServer, path: Path, **settings: Any) -> None:
        self.waits: list[float] = []
        self.told: list[str] = []
        self.moves: list[int] = []
        self.path, self.url = path / "x.tar", f"{server.url}/{NAME}"
        self.client = Client(
            wait=self.waits.append, told=self.told.append, timeout_s=(5.0, 5.0), **settings
        )

    def get(self, md5: str | None = MD5) -> int:
        return download(self.client, self.url, self.path, md5=md5, moved=self.moves.append)

    def whole(self) -> bool:
        left = sorted(place.name for place in self.path.parent.iterdir())
        return self.path.read_bytes() == BODY and left == ["x.tar"]


def test_a_file_comes_whole_and_leaves_nothing_else(server: FileServer, tmp_path: Path) -> None:
    asking = Asking(server, tmp_path)
    assert asking.get() == len(BODY)
    assert asking.whole()
    assert sum(asking.moves) == len(BODY)
    assert asking.waits == []


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 408])
def test_a_busy_server_is_asked_again_after_growing_waits(
    server: FileServer, tmp_path: Path, status: int
) -> None:
    server.tricks[NAME] = [Trick(status=status)] * 4
    asking = Asking(server, tmp_path)
    asking.get()
    assert asking.whole()
    bounds = [(0.5, 1), (1, 2), (2, 4), (4, 8)]
    assert len(asking.waits) == 4
    assert all(low <= wait <= high for wait, (low, high) in zip(asking.waits, bounds, strict=True))
    assert f"the server says {status}" in asking.told[0]


def test_retry_after_is_obeyed_in_both_forms(server: FileServer, tmp_path: Path) -> None:
    now = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
    assert retry_after_s("Tue, 24 Nov 2026 12:00:30 GMT", now) == 30.0
    assert retry_after_s("Tue, 24 Nov 2026 11:00:00 GMT", now) == 0.0
    assert retry_after_s("7", now) == 7.0
    assert retry_after_s("soon", now) is None
    server.tricks[NAME] = [Trick(status=503, headers=(("Retry-After", "17"),))]
    asking = Asking(server, tmp_path)
    asking.get()
    assert asking.waits == [17.0]


def test_a_server_that_stays_away_ends_patience(server: FileServer, tmp_path: Path) -> None:
    server.always[NAME] = Trick(status=503)
    asking = Asking(server, tmp_path, patience=Patience(attempts=3))
    with pytest.raises(UnreachableError, match="given up after 3 tries: the server says 503"):
        asking.get()
    assert len(server.gets(NAME)) == 3


def test_nobody_listening(tmp_path: Path) -> None:
    with FileServer({}).running() as server:
        asking = Asking(server, tmp_path, patience=Patience(attempts=2))
    with pytest.raises(UnreachableError, match="Connection refused"):
        asking.get()


@pytest.mark.parametrize("status", [404, 403, 401, 410, 400, 501])
def test_a_refusal_is_said_at_once(server: FileServer, tmp_path: Path, status: int) -> None:
    server.tricks[NAME] = [Trick(status=status)]
    asking = Asking(server, tmp_path)
    with pytest.raises(CairnError, match=f"the server says {status}"):
        asking.get()
    assert asking.waits == []
    assert not asking.path.exists()


def test_an_address_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(CairnError, match="no address"):
        download(Client(), "nonsense", tmp_path / "x")


def test_a_server_without_ranges_that_always_cuts_ends_patience(
    server: FileServer, tmp_path: Path
) -> None:
    server.files[NAME] = random.Random(1).randbytes(3_000_000)
    server.always[NAME] = Trick(cut_after=2_000_000, ignore_range=True)
    asking = Asking(server, tmp_path, patience=Patience(attempts=3))
    tries = 0

    def count(_: float) -> None:
        nonlocal tries
        tries += 1
        assert tries < 10, "the same bytes again are no progress"

    asking.client._wait = count
    with pytest.raises(UnreachableError, match="given up after 3 tries"):
        asking.get()


def test_a_cut_connection_goes_on_where_it_was_cut(server: FileServer, tmp_path: Path) -> None:
    server.tricks[NAME] = [CUT, Trick(cut_after=100_000)]
    asking = Asking(server, tmp_path)
    asking.get()
    assert asking.whole()
    assert [asked.range_ for asked in server.gets(NAME)] == ["", "bytes=400000-", "bytes=500000-"]
    assert server.gets(NAME)[1].if_range != ""
    assert min(asking.moves) > 0
    assert sum(asking.moves) == len(BODY)


def test_a_silent_connection_is_given_up(server: FileServer, tmp_path: Path) -> None:
    server.tricks[NAME] = [Trick(stall_after=300_000)]
    asking = Asking(server, tmp_path)
    asking.client._timeout_s = (5.0, 0.2)
    asking.get()
    assert asking.whole()
    assert server.gets(NAME)[1].range_ == "bytes=300000-"


def test_a_trickle_is_waited_for(server: FileServer, tmp_path: Path) -> None:
    server.tricks[NAME] = [Trick(chunk=997)]
    asking = Asking(server, tmp_path)
    asking.get()
    assert asking.whole()
    assert len(server.gets(NAME)) == 1


def test_another_process_goes_on_from_the_part(server: FileServer, tmp_path: Path) -> None:
    server.tricks[NAME] = [CUT]
    first = Asking(server, tmp_path, patience=Patience(attempts=1))
    with pytest.raises(UnreachableError):
        first.get()
    assert part_bytes(first.path) == 400_000
    assert not first.path.exists()
    second = Asking(server, tmp_path)
    second.get()
    assert second.whole()
    assert server.gets(NAME)[1].range_ == "bytes=400000-"
    assert second.moves[0] == 400_000


def test_a_part_that_was_whole_is_not_fetched_again(server: FileServer, tmp_path: Path) -> None:
    asking = Asking(server, tmp_path)
    (tmp_path / "x.tar.part").write_bytes(BODY)
    (tmp_path / "x.tar.part.json").write_text(f'{{"url": "{asking.url}", "etag": ""}}')
    asking.get()
    assert asking.whole()
    assert [asked.range_ for asked in server.gets(NAME)] == ["bytes=1000000-"]


@pytest.mark.parametrize("extra", [b"", b"more"])
def test_a_part_longer_than_the_file_starts_anew(
    server: FileServer, tmp_path: Path, extra: bytes
) -> None:
    asking = Asking(server, tmp_path)
    (tmp_path / "x.tar.part").write_bytes((OTHER if not extra else BODY) + extra)
    (tmp_path / "x.tar.part.json").write_text(f'{{"url": "{asking.url}", "etag": ""}}')
    asking.get()
    assert asking.whole()


@pytest.mark.parametrize("note", [None, "torn {", '{"url": "elsewhere", "etag": "1"}'])
def test_a_part_of_unknown_origin_starts_anew(
    server: FileServer, tmp_path: Path, note: str | None
) -> None:
    (tmp_path / "x.tar.part").write_bytes(OTHER[:1000])
    if note is not None:
        (tmp_path / "x.tar.part.json").write_text(note)
    asking = Asking(server, tmp_path)
    asking.get(md5=None)
    assert asking.whole()
    assert server.gets(NAME)[0].range_ == ""


def test_a_server_without_ranges(server: FileServer, tmp_path: Path) -> None:
    server.tricks[NAME] = [CUT, Trick(ignore_range=True)]
    asking = Asking(server, tmp_path)
    asking.get()
    assert asking.whole()
    assert sum(asking.moves) == len(BODY)


def test_a_file_that_changes_meanwhile_is_never_mixed(server: FileServer, tmp_path: Path) -> None:
    server.tricks[NAME] = [Trick(cut_after=400_000, body=OTHER)]
    asking = Asking(server, tmp_path)
    asking.get(md5=None)  # the ETag alone tells
    assert asking.whole()


def test_a_range_of_another_version_is_refused(server: FileServer, tmp_path: Path) -> None:
    """A server that does not know If-Range answers 206 with bytes of the new file."""
    server.tricks[NAME] = [CUT, Trick(body=OTHER, ignore_if_range=True)]
    asking = Asking(server, tmp_path)
    asking.get(md5=None)
    assert asking.whole()
    assert "changed" in asking.told[1]


def test_a_wrong_checksum_is_fetched_once_more(server: FileServer, tmp_path: Path) -> None:
    server.tricks[NAME] = [Trick(body=OTHER)]
    asking = Asking(server, tmp_path)
    asking.get()
    assert asking.whole()
    assert hashlib.md5(OTHER).hexdigest() in asking.told[0]


def test_a_checksum_that_stays_wrong_leaves_nothing(server: FileServer, tmp_path: Path) -> None:
    asking = Asking(server, tmp_path)
    wrong = "0" * 32
    with pytest.raises(ChecksumError, match=f"the MD5 is {MD5}, expected {wrong}") as caught:
        asking.get(md5=wrong)
    assert "at the server does not fit" in caught.value.todo
    assert len(server.gets(NAME)) == 2
    assert list(tmp_path.iterdir()) == []
    assert sum(asking.moves) == 0
    server.tricks[NAME] = [Trick(body=OTHER)]
    with pytest.raises(ChecksumError, match=" and then ") as caught:
        asking.get(md5=wrong)
    assert "damages" in caught.value.todo


def test_a_damaged_part_is_found_by_its_checksum(server: FileServer, tmp_path: Path) -> None:
    asking = Asking(server, tmp_path)
    (tmp_path / "x.tar.part").write_bytes(OTHER[:5000])
    (tmp_path / "x.tar.part.json").write_text(f'{{"url": "{asking.url}", "etag": ""}}')
    asking.get()
    assert asking.whole()


def test_progress_renews_patience(server: FileServer, tmp_path: Path) -> None:
    body = random.Random(3).randbytes(5_000_000)
    server.files[NAME] = body
    server.tricks[NAME] = [Trick(cut_after=1_100_000)] * 4
    asking = Asking(server, tmp_path, patience=Patience(attempts=2))
    asking.get(md5=hashlib.md5(body).hexdigest())
    assert asking.path.read_bytes() == body
    assert all(wait <= 1.0 for wait in asking.waits)


def test_an_address_where_nobody_ever_answered_is_told_soon() -> None:
    with socket.socket() as taken:  # bound, and never listening
        taken.bind(("127.0.0.1", 0))
        waits: list[float] = []
        client = Client(wait=waits.append, told=lambda _: None)
        with pytest.raises(UnreachableError, match="given up after 4 tries"):
            client.size(f"http://127.0.0.1:{taken.getsockname()[1]}/x")
    assert len(waits) == 3


def test_a_wish_to_stop_leaves_a_part(server: FileServer, tmp_path: Path) -> None:
    halt = Halt()
    client = Client(halt=halt, told=lambda _: None)
    path = tmp_path / "x.tar"
    with pytest.raises(Stopped):
        download(client, f"{server.url}/{NAME}", path, md5=MD5, moved=lambda _: halt.set())
    assert 0 < part_bytes(path) < len(BODY)
    with pytest.raises(Stopped):
        halt.wait(60.0)


def test_a_wish_to_stop_wakes_a_thread_that_nothing_comes_for(
    server: FileServer, tmp_path: Path
) -> None:
    server.tricks[NAME] = [Trick(stall_after=300_000)]
    halt = Halt()
    told: list[str] = []
    client = Client(halt=halt, told=told.append, timeout_s=(5.0, 60.0))
    counts: list[int] = []
    received = threading.Event()

    def moved(count: int) -> None:
        counts.append(count)
        if sum(counts) == 300_000:
            received.set()

    def stop() -> None:
        assert received.wait(10)
        halt.set()

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(Stopped):
        download(client, f"{server.url}/{NAME}", tmp_path / "x.tar", md5=MD5, moved=moved)
    stopper.join()
    assert told == []


def test_a_full_disk_keeps_what_is_there(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.tricks[NAME] = [Trick(cut_after=400_000)]
    asking = Asking(server, tmp_path, patience=Patience(attempts=1))
    with pytest.raises(UnreachableError):
        asking.get()

    class Full:
        """A file on a disk without room."""

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def write(self, _: bytes) -> int:
            raise OSError(errno.ENOSPC, "no space", str(asking.path))

    opened = Path.open

    def open_full(path: Path, mode: str = "r", *values: Any, **named: Any) -> Any:
        return Full() if mode == "ab" else opened(path, mode, *values, **named)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", open_full)
        with (
            pytest.raises(DiskFullError, match="the disk is full, while fetching; parts stay"),
            told_when_full("fetching", "parts stay", where=tmp_path),
        ):
            asking.get()
    assert part_bytes(asking.path) == 400_000
    asking.get()
    assert asking.whole()


@pytest.mark.parametrize(
    "text",
    [MD5, f"{MD5}\n", f"{MD5}  images_000.tar\n", f"{MD5.upper()} *x.tar", f"MD5 (a) = {MD5}\n"],
)
def test_checksum_files_of_any_form(text: str) -> None:
    assert md5_in(text, "here") == MD5


@pytest.mark.parametrize("text", ["", "<html>404</html>", "a" * 33, f"{'1' * 32} {'2' * 32}"])
def test_checksum_files_without_one(text: str) -> None:
    with pytest.raises(CairnError, match="expected one MD5"):
        md5_in(text, "here")


def test_sizes_by_head(server: FileServer, tmp_path: Path) -> None:
    client = Asking(server, tmp_path).client
    assert client.size(f"{server.url}/{NAME}") == len(BODY)
    with pytest.raises(CairnError, match="404"):
        client.size(f"{server.url}/no")
    server.head_status = 405
    assert client.size(f"{server.url}/{NAME}") is None


def test_a_short_text_has_a_bound(server: FileServer, tmp_path: Path) -> None:
    client = Asking(server, tmp_path).client
    with pytest.raises(CairnError, match="for a short text"):
        client.text(f"{server.url}/{NAME}")
    server.files["sum"] = b"abc"
    server.tricks["sum"] = [Trick(cut_after=1)]
    assert client.text(f"{server.url}/sum") == "abc"
