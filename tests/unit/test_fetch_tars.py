"""Tars are looked through before anything is taken from them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from cairn.fetch.tars import BadTarError, list_members
from cairn.sources.gldv2.layout import member_key
from measuring.small_gldv2 import tar_of

IMAGE = "0123456789abcdef"
GOOD = f"0/1/2/{IMAGE}.jpg"


def tar_with(path: Path, *infos: tarfile.TarInfo, format: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=format) as archive:
        for info in infos:
            archive.addfile(info, io.BytesIO(b"x" * info.size))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    if kind in (tarfile.LNKTYPE, tarfile.SYMTYPE):
        info.linkname = "/etc/passwd"
    return info


def listed(path: Path, max_bytes: int = 1000) -> list[str]:
    return [member.key for member in list_members(path, member_key, max_bytes=max_bytes)]


def test_offsets_lead_to_the_bytes(tmp_path: Path) -> None:
    photographs = [(f"{number:016x}", bytes([number]) * (500 + number)) for number in range(5)]
    path = tmp_path / "x.tar"
    path.write_bytes(tar_of(photographs))
    data = path.read_bytes()
    members = list_members(path, member_key, max_bytes=1000)
    assert [(m.key, data[m.offset : m.offset + m.size]) for m in members] == photographs


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_folders_and_a_leading_dot_are_usual(tmp_path: Path, format: int) -> None:
    folders = [entry(name, tarfile.DIRTYPE) for name in (".", "./0", "0/1", "./0/1/2")]
    path = tar_with(tmp_path / "x.tar", *folders, entry(f"./{GOOD}", size=7), format=format)
    assert listed(path) == [IMAGE]


@pytest.mark.parametrize(
    "name",
    [
        "../../outside.jpg",
        f"/{GOOD}",
        f"../{GOOD}",
        f"0/1/2/../../../{IMAGE}.jpg",
        f"0/1/3/{IMAGE}.jpg",
        f"{IMAGE}.jpg",
        f"0/1/2/{IMAGE.upper()}.jpg",
        f"0/1/2/{IMAGE}.jpg.sh",
        f"0/1/2/{IMAGE}\n.jpg",
        "0/1/2/.bashrc",
        "0",
        "",
        f"0\\1\\2\\{IMAGE}.jpg",
        "~/x.jpg",
    ],
)
def test_a_strange_name_refuses_the_whole_tar(tmp_path: Path, name: str) -> None:
    path = tar_with(tmp_path / "x.tar", entry(GOOD, size=3), entry(name, size=3))
    with pytest.raises(BadTarError, match="has a name that is not expected") as caught:
        listed(path)
    assert repr(name[:10])[1:-1] in caught.value.what
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a named pipe"),
        (b"Z", "of the unknown kind"),
    ],
)
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes, what: str) -> None:
    path = tar_with(tmp_path / "x.tar", entry(GOOD, kind))
    with pytest.raises(BadTarError, match=f"{IMAGE}.jpg' is {what}"):
        listed(path)


def test_a_folder_where_none_belongs(tmp_path: Path) -> None:
    path = tar_with(tmp_path / "x.tar", entry("etc", tarfile.DIRTYPE))
    with pytest.raises(BadTarError, match="'etc' has a name"):
        listed(path)


def test_a_huge_member_is_refused(tmp_path: Path) -> None:
    path = tar_with(tmp_path / "x.tar", entry(GOOD, size=1001))
    with pytest.raises(BadTarError, match="has 1,001 bytes, more than 1,000"):
        listed(path)


def test_a_lying_header_is_a_cut_tar(tmp_path: Path) -> None:
    info = entry(GOOD, size=900)
    path = tmp_path / "x.tar"
    path.write_bytes(info.tobuf() + b"x" * 100)
    with pytest.raises(BadTarError, match=f"cut off at byte 612, within '{GOOD}'"):
        listed(path)


def test_a_cut_is_found_wherever_it_is(tmp_path: Path) -> None:
    whole = tar_of((f"{number:016x}", b"y" * 700) for number in range(3))
    path = tmp_path / "x.tar"
    member = 512 + 1024
    ends = [1, 511, 513, 1000, member, member + 1, member + 511, 2 * member + 600, 3 * member]
    for end in [*ends, 3 * member + 511]:
        path.write_bytes(whole[:end])
        with pytest.raises(BadTarError) as caught:
            listed(path)
        assert "cut off" in caught.value.what or "not a tar" in caught.value.what, end
        if end > member:
            assert f"{end:,}" in caught.value.what
    path.write_bytes(whole[: 3 * member + 512])  # one of the two closing blocks: all is there
    assert len(listed(path)) == 3


@pytest.mark.parametrize("data", [b"", b"<html>not here</html>" * 50, b"\x00" * 100])
def test_what_is_no_tar(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(data)
    with pytest.raises(BadTarError, match=r"not a tar|cut off"):
        listed(path)


def test_damage_in_the_middle(tmp_path: Path) -> None:
    data = bytearray(tar_of((f"{number:016x}", b"y" * 700) for number in range(3)))
    data[1536 + 10] ^= 0xFF  # in the second header
    path = tmp_path / "x.tar"
    path.write_bytes(bytes(data))
    with pytest.raises(BadTarError, match="damaged at byte 1,536"):
        listed(path)


def test_too_many_members(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(tar_of((f"{number:016x}", b"") for number in range(9)))
    with pytest.raises(BadTarError, match="more than 8 members"):
        list_members(path, member_key, max_bytes=10, max_members=8)
