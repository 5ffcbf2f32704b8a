"""GLDv2 fetched from a server on this machine: what is unpacked, what is refused, what goes on."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cairn.errors import CairnError
from cairn.fetch.client import Client
from cairn.fetch.disk import DiskFullError
from cairn.fetch.retry import Patience, UnreachableError
from cairn.sources.gldv2 import Fetched, Plan, choose, fetch, make_plan
from cairn.sources.gldv2 import fetching as fetching_module
from cairn.sources.gldv2 import plan as plan_module
from cairn.sources.gldv2 import unpacking as unpacking_module
from cairn.sources.gldv2.finished import Finished
from cairn.sources.gldv2.layout import image_name
from cairn.sources.gldv2.shrinking import about_bytes, shrink
from measuring.serving import FileServer, Trick
from measuring.small_gldv2 import SmallGldv2, make_gldv2, tar_of

TAR = "train/images_000.tar"
_TABLES = ("metadata", "ground_truth")


@pytest.fixture(scope="module")
def original() -> SmallGldv2:
    return make_gldv2()


@pytest.fixture(autouse=True)
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushing the whole machine's disks is slow beside other tests."""
    monkeypatch.setattr(os, "sync", lambda: None)


@pytest.fixture
def server(original: SmallGldv2) -> Iterator[FileServer]:
    with FileServer(dict(original.files)).running() as running:
        yield running


class Job:
    """A fetch into a folder, with a client that never sleeps."""

    def __init__(self, server: FileServer, folder: Path, sets: str = "clean", only: str = "0-1"):
        self.server, self.folder, self.choice = server, folder, choose(sets, only)

    def client(self) -> Client:
        return Client(patience=Patience(attempts=3), wait=lambda _: None, told=lambda _: None)

    def plan(self, **settings: Any) -> Plan:
        return make_plan(self.client(), self.folder, self.choice, base=self.server.url, **settings)

    def run(self, **settings: Any) -> Fetched:
        plan = self.plan(**settings)
        return fetch(self.client(), self.folder, plan, base=self.server.url)

    def tree(self) -> dict[str, bytes]:
        """Return everything but tables, ledger and lock."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file() and path.parent != self.folder and path.parts[-2] not in _TABLES
        }


@pytest.fixture
def job(server: FileServer, tmp_path: Path) -> Job:
    return Job(server, tmp_path / "d")


def expected(original: SmallGldv2, ids: Any, split: str = "train") -> dict[str, bytes]:
    return {f"{split}/{image_name(image)}": original.photographs[image] for image in ids}


def test_a_set_is_unpacked_byte_by_byte_and_tars_are_gone(job: Job, original: SmallGldv2) -> None:
    done = job.run()
    assert job.tree() == expected(original, original.clean)
    assert (done.num_tars, done.num_images, done.faults) == (2, len(original.clean), ())
    assert (job.folder / "metadata" / "train_clean.csv").is_file()


def test_the_larger_set_is_added_later(job: Job, original: SmallGldv2, tmp_path: Path) -> None:
    job.run()
    first = len(job.server.asked)
    job.run()
    assert len(job.server.asked) == first, "nothing is asked once all is there"
    larger = Job(job.server, job.folder, "2x,index,test")
    plan = larger.plan()
    assert [tar.name for tar in plan.tars][:2] == [TAR, "train/images_001.tar"]
    larger.run()
    twice = [image for image, mark in original.train.items() if mark != "135"]
    assert job.tree() == (
        expected(original, twice)
        | expected(original, original.index, "index")
        | expected(original, original.test, "test")
    )
    assert job.plan().tars == (), "a set that has all of clean"
    assert len(Job(job.server, job.folder, "train").plan().tars) == 2


def test_a_part_of_the_tars(server: FileServer, tmp_path: Path, original: SmallGldv2) -> None:
    job = Job(server, tmp_path / "d", "train", "1")
    done = job.run()
    assert done.num_tars == 1
    assert job.tree() == expected(original, sorted(original.train)[1::2])


def test_tars_may_stay_and_are_checked_when_met_again(job: Job, original: SmallGldv2) -> None:
    job.run(keep_tars=True)
    tar = job.folder / "tars" / TAR
    assert tar.read_bytes() == original.files[TAR]
    (job.folder / "ledger.jsonl").unlink()
    (job.folder / "tars" / "train" / "images_001.tar").write_bytes(b"not it")
    job.server.asked.clear()
    job.run()
    assert job.server.gets(TAR) == [], "a tar that is there is not fetched"
    assert len(job.server.gets("train/images_001.tar")) == 1
    assert job.tree() == expected(original, original.clean)


def test_smaller_photographs_while_unpacking(job: Job, original: SmallGldv2) -> None:
    bad = sorted(original.clean)[0]
    photographs = {i: original.photographs[i] for i in sorted(original.train)}
    photographs[bad] = photographs[bad][:300]
    data = tar_of(list(photographs.items())[::2])
    job.server.files[TAR] = data
    job.server.files["md5sum/train/md5.images_000.txt"] = hashlib.md5(data).hexdigest().encode()
    done = job.run(size=32)
    assert done.num_images == len(original.clean) - 1
    assert list(done.unreadable) == [bad]
    for name, data in job.tree().items():
        with Image.open(io.BytesIO(data)) as image:
            assert min(image.size) == 32, name
            assert image.size == (43, 32)
    assert Finished.of(job.folder).unreadable[bad].startswith("truncated")


def test_shrinking() -> None:
    out = io.BytesIO()
    Image.linear_gradient("L").resize((300, 200)).save(out, "JPEG")
    same = out.getvalue()
    assert shrink(same, 200) is same, "never enlarged, and not encoded again"
    with Image.open(io.BytesIO(shrink(same, 100))) as image:
        assert (image.size, image.mode) == ((150, 100), "RGB")
    png = io.BytesIO()
    Image.new("RGB", (40, 50), "red").save(png, "PNG")
    with Image.open(io.BytesIO(shrink(png.getvalue(), 100))) as image:
        assert (image.format, image.size) == ("JPEG", (40, 50))
    assert about_bytes(512) == pytest.approx(0.4 * 512 * 512)


def test_sizes_are_not_mixed(job: Job) -> None:
    job.run(size=32)
    with pytest.raises(CairnError, match="are at --size 32; sizes are not mixed") as caught:
        job.run()
    assert "with --size 32" in caught.value.todo
    with pytest.raises(CairnError, match="not mixed"):
        job.run(size=64)
    with pytest.raises(CairnError, match="show nothing"):
        job.run(size=8)
    (job.folder / "ledger.jsonl").unlink()
    with pytest.raises(CairnError, match="no ledger tells the size of"):
        job.run(size=32)


def test_one_missing_tar_leaves_the_others(job: Job, original: SmallGldv2) -> None:
    tar = job.server.files.pop(TAR)
    plan = job.plan()
    assert plan.missing == (TAR,)
    assert "tars not at the server: 1, the first train/images_000.tar" in plan.text()
    done = job.run()
    assert done.num_tars == 1
    with pytest.raises(CairnError, match=r"1 tar is missing, 1 are there.*404") as caught:
        done.require_all()
    assert caught.value.where.endswith(TAR)
    job.server.files[TAR] = tar
    job.run().require_all()
    assert job.tree() == expected(original, original.clean)


def test_a_missing_table_is_said_at_once(job: Job) -> None:
    del job.server.files["metadata/train_clean.csv"]
    with pytest.raises(CairnError, match="404") as caught:
        job.run()
    assert caught.value.where.endswith("train_clean.csv")
    assert not job.folder.exists()


def test_the_hierarchy_can_be_done_without(job: Job) -> None:
    del job.server.files["metadata/train_label_to_hierarchical.csv"]
    job.run().require_all()


def test_a_server_that_is_away_is_waited_for_once(job: Job) -> None:
    job.server.head_status = 503
    with pytest.raises(UnreachableError, match="given up"):
        job.run()
    assert len(job.server.asked) == 3


def test_wrong_checksums_leave_nothing_of_the_tar(job: Job) -> None:
    job.server.files["md5sum/train/md5.images_000.txt"] = b"0" * 32
    done = job.run()
    assert [fault.what[:10] for fault in done.faults] == ["the MD5 is"]
    assert not (job.folder / "tars").exists()
    with pytest.raises(CairnError, match="1 tar is missing"):
        done.require_all()


@pytest.mark.parametrize("trick", [Trick(status=503), Trick(cut_after=9000), Trick(body=b"x")])
def test_trouble_that_passes(job: Job, original: SmallGldv2, trick: Trick) -> None:
    job.server.tricks[TAR] = [trick]
    job.server.tricks["metadata/train.csv"] = [Trick(cut_after=100)]
    job.run().require_all()
    assert job.tree() == expected(original, original.clean)


def hostile(name: str = "../../out.jpg", kind: bytes = tarfile.REGTYPE, size: int = 3) -> bytes:
    good = tar_of([("0123456789abcdef", b"jpeg")])[:1024]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.type, info.size, info.linkname = kind, size, "/etc/passwd"
        archive.addfile(info, io.BytesIO(b"x" * size))
    return good + out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        hostile(),
        hostile("/tmp/out.jpg"),
        hostile("0/1/2/0123456789abcdee.jpg", tarfile.SYMTYPE, 0),
        hostile("0/1/2/0123456789abcdee.jpg", tarfile.LNKTYPE, 0),
        hostile("0/1/2/0123456789abcdee.jpg", tarfile.CHRTYPE, 0),
        hostile("0/1/2/readme.txt"),
        hostile("0/1/2/0123456789abcdee.jpg", size=2_000),
        hostile()[:1500],
    ],
    ids=["up", "absolute", "link", "hard-link", "device", "name", "huge", "cut"],
)
def test_a_hostile_tar_leaves_no_trace(
    job: Job, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setattr(fetching_module, "MAX_MEMBER_BYTES", 1_000)
    job.choice = choose("train", "0")
    job.server.files[TAR] = data
    job.server.files["md5sum/train/md5.images_000.txt"] = hashlib.md5(data).hexdigest().encode()
    done = job.run()
    assert len(done.faults) == 1
    assert job.tree() == {f"tars/{TAR}": data}
    assert Finished.of(job.folder).num_images == {}


def test_a_full_disk_while_unpacking_loses_nothing(
    job: Job, original: SmallGldv2, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    write_bytes = Path.write_bytes

    def fills_up(path: Path, data: bytes) -> int:
        if len(written) == 5:
            raise OSError(errno.ENOSPC, "no space left", str(path))
        written.append(path)
        return write_bytes(path, data)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", fills_up)
        with pytest.raises(DiskFullError, match="unpacking train/images_00") as caught:
            job.run()
    assert "it goes on from here" in caught.value.todo
    assert not list(job.folder.rglob("*.tmp"))
    fetched = len(job.server.gets(TAR)) + len(job.server.gets("train/images_001.tar"))
    job.run().require_all()
    assert job.tree() == expected(original, original.clean)
    again = len(job.server.gets(TAR)) + len(job.server.gets("train/images_001.tar"))
    assert again <= max(fetched, 2), "what was downloaded was not downloaded again"


def test_room_is_asked_for_before(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = job.plan()
    tars = [len(job.server.files[f"train/images_00{n}.tar"]) for n in (0, 1)]
    tables = [len(job.server.files[name]) for name in job.choice.splits[0].metadata]
    assert plan.download_bytes == sum(tars) + sum(tables)
    assert plan.peak_bytes == plan.stays_bytes + sum(tars)
    assert job.plan(parallel=1).peak_bytes == plan.stays_bytes + max(tars)
    assert job.plan(keep_tars=True).peak_bytes == plan.stays_bytes + sum(tars)
    assert "of their photographs, those of clean are kept" in plan.text()
    plan.require_room(job.folder)
    fits_one = job.plan(parallel=1).peak_bytes - 10_000
    monkeypatch.setattr(plan_module, "free_bytes", lambda _: fits_one)
    with pytest.raises(CairnError, match=r"needs .* are free") as caught:
        job.plan(parallel=1).require_room(job.folder)
    assert "--only 0-0 fits" in caught.value.todo
    assert not job.folder.exists()


def test_parts_count_as_there(job: Job) -> None:
    job.server.always[TAR] = Trick(cut_after=5000)
    with pytest.raises(UnreachableError):
        job.run(parallel=1)
    job.server.always.clear()
    tars = {tar.name: tar for tar in job.plan().tars}
    assert tars[TAR].have >= 5000
    assert job.plan().download_bytes < sum(tar.num_bytes for tar in tars.values())


def test_head_is_not_answered_everywhere(job: Job) -> None:
    job.server.head_status = 403
    assert [tar.num_bytes for tar in job.plan().tars] == [1_000_000_000] * 2
    job.run().require_all()


def test_two_at_once_are_kept_apart(job: Job) -> None:
    from cairn.fetch.ledger import only_one

    plan = job.plan()
    with (
        only_one(job.folder / ".lock", "testing"),
        pytest.raises(CairnError, match="another process is fetching GLDv2"),
    ):
        fetch(job.client(), job.folder, plan, base=job.server.url)


def test_a_tar_left_after_its_ledger_line_is_deleted(job: Job, original: SmallGldv2) -> None:
    job.run()
    tar = job.folder / "tars" / TAR
    tar.parent.mkdir(parents=True)
    tar.write_bytes(original.files[TAR])
    job.run()
    assert not tar.exists()


KILLS = [
    "Path write_bytes after 9",
    "Path replace before 8",
    "Path replace after 20",
    "Ledger append before 2",
    "Ledger append after 2",
    "Path unlink before 6",
    "os fsync before 3",
]
KILLER = """
import os, signal, sys
from pathlib import Path
from cairn.fetch.client import Client
from cairn.fetch.ledger import Ledger
from cairn.sources.gldv2 import choose, fetch, fetching, make_plan

base, root = sys.argv[1], Path(sys.argv[2])

def dying(owner, name, after, count):
    real, seen = getattr(owner, name), []
    def call(*values, **named):
        seen.append(1)
        mine = len(seen)  # another thread may call before this one is back
        if mine == count and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        found = real(*values, **named)
        if mine == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return found
    setattr(owner, name, call)

for number, kill in enumerate(sys.argv[3:]):
    child = os.fork()  # no thread runs here yet, and what is imported need not be again
    if child:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, kill
        continue
    owner, name, when, count = kill.split()
    fetching.os.sync = lambda: None
    dying({"Path": Path, "Ledger": Ledger, "os": os}[owner], name, when == "after", int(count))
    client = Client(told=lambda _: None)
    folder = root / str(number) / "d"
    plan = make_plan(client, folder, choose("clean", "0-1"), base=base, size=32, parallel=2)
    fetch(client, folder, plan, base=base)
    os._exit(1)
"""


@pytest.fixture(scope="module")
def killed(original: SmallGldv2, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what each of the kills left behind."""
    root = tmp_path_factory.mktemp("killed")
    with FileServer(original.files).running() as server:
        command = [sys.executable, "-W", "error", "-c", KILLER, server.url, str(root), *KILLS]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr[-2000:]
    return root


@pytest.mark.parametrize("kill", KILLS)
def test_killed_anywhere_it_ends_the_same(
    job: Job, killed: Path, tmp_path: Path, kill: str
) -> None:
    calm = Job(job.server, tmp_path / "calm" / "d")
    calm.run(size=32)
    ours = tmp_path / "killed" / "d"
    ours.parent.mkdir()
    (killed / str(KILLS.index(kill)) / "d").rename(ours)
    lines = (ours / "ledger.jsonl").read_text().splitlines()
    moved = Job(job.server, ours)
    assert moved.tree().keys() != calm.tree().keys() or len(lines) < 3
    moved.run(size=32).require_all()
    assert moved.tree() == calm.tree()
    assert Finished.of(ours).num_images == Finished.of(calm.folder).num_images


def test_the_ledger_says_what_it_should(job: Job) -> None:
    job.run()
    lines = [json.loads(line) for line in (job.folder / "ledger.jsonl").read_text().splitlines()]
    assert lines[0] == {"format": 1, "size": None}
    assert {line["tar"] for line in lines[1:]} == {TAR, "train/images_001.tar"}
    wanted = {"tar", "subset", "images", "bytes", "left_out", "unreadable", "md5", "time"}
    assert set(lines[1]) == wanted
    (job.folder / "ledger.jsonl").write_text('{"format": 1, "size": null}\n{"tar": 3}\n')
    with pytest.raises(CairnError, match="line of the ledger is damaged"):
        job.plan()
    (job.folder / "ledger.jsonl").write_text('{"format": 2}\n')
    with pytest.raises(CairnError, match="another version"):
        job.plan()


def test_a_tar_that_shrinks_under_way(tmp_path: Path, original: SmallGldv2) -> None:
    from cairn.fetch.retry import Halt
    from cairn.fetch.tars import BadTarError, Member

    path = tmp_path / "x.tar"
    path.write_bytes(b"short")
    members = [Member("0123456789abcdef", 0, 100)]
    with pytest.raises(BadTarError, match="ends within image 0123456789abcdef"):
        unpacking_module.unpack(
            path, members, tmp_path / "train", size=None, workers=1, halt=Halt()
        )
