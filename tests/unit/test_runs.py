"""Writes that are whole or absent, whatever interrupts them."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cairn.errors import CairnError
from cairn.runs import (
    atomic_folder,
    atomic_write,
    new_run,
    provenance,
    read_json,
    recover_folder,
    require_absent,
    write_json,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_and_makes_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "结果" / "a.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.parent == path.parent, "a rename must not cross file systems"
    assert path.read_text() == "new"
    assert names(path.parent) == ["a.txt"]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file(tmp_path: Path, fault: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(fault), atomic_write(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise fault
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_body_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a.txt"):
        pass
    assert names(tmp_path) == []


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_no_folder(tmp_path: Path, fault: type[BaseException]) -> None:
    with pytest.raises(fault), atomic_folder(tmp_path / "out") as temporary:  # noqa: PT012
        (temporary / "half").touch()
        raise fault
    assert names(tmp_path) == []


def test_results_are_never_overwritten(tmp_path: Path) -> None:
    taken = tmp_path / "out"
    taken.mkdir()
    with atomic_folder(taken) as temporary:  # an empty folder holds nothing to lose
        (temporary / "mine").touch()
    with pytest.raises(CairnError, match="never overwritten") as caught, atomic_folder(taken):
        pass
    assert caught.value.where == str(taken)
    assert names(taken) == ["mine"]
    (tmp_path / "file").touch()
    with pytest.raises(CairnError, match="never overwritten"):
        require_absent(tmp_path / "file")
    require_absent(tmp_path / "nowhere")


def test_replacing_keeps_the_old_folder_when_the_body_fails(tmp_path: Path) -> None:
    folder = tmp_path / "best"
    for text in ("first", "second"):
        with atomic_folder(folder, replace=True) as temporary:
            (temporary / text).touch()
    assert names(folder) == ["second"]
    with pytest.raises(ValueError, match="stop"), atomic_folder(folder, replace=True) as temporary:
        raise ValueError("stop")
    assert names(folder) == ["second"]


def test_a_killed_writer_leaves_the_old_results(tmp_path: Path) -> None:
    """kill -9 between writing and renaming: the old file and no new folder are there."""
    (tmp_path / "a.txt").write_text("old")
    code = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from cairn.runs import atomic_folder, atomic_write\n"
        "root = Path(sys.argv[1])\n"
        "with atomic_write(root / 'a.txt') as a, atomic_folder(root / 'out') as out:\n"
        "    a.write_text('half')\n    (out / 'half').touch()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "a.txt").read_text() == "old"
    assert not (tmp_path / "out").exists()
    with atomic_folder(tmp_path / "out") as temporary:
        (temporary / "whole").touch()
    assert names(tmp_path / "out") == ["whole"]


def test_json_goes_out_and_comes_back_readable(tmp_path: Path) -> None:
    value = {"name": "故宫", "list": [1, 2.5, None], "path": Path("a/b")}
    write_json(tmp_path / "v.json", value)
    assert read_json(tmp_path / "v.json") == {**value, "path": "a/b"}
    assert "故宫" in (tmp_path / "v.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"a": 1}}'])
def test_what_is_no_json_is_a_user_s_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "v.json"
    path.write_bytes(content)
    with pytest.raises(CairnError, match="not a JSON file") as caught:
        read_json(path)
    assert caught.value.where == str(path)
    with pytest.raises(CairnError, match="file not found"):
        read_json(tmp_path / "none.json")


def test_runs_of_a_day_are_numbered(tmp_path: Path) -> None:
    today = dt.date.today().isoformat()
    made = [new_run(tmp_path / "runs", "演示").name for _ in range(3)]
    assert made == [f"{today}-演示", f"{today}-演示-2", f"{today}-演示-3"]
    assert new_run(tmp_path / "runs", "other").name == f"{today}-other"
    assert all(not any(path.iterdir()) for path in (tmp_path / "runs").iterdir())


def test_provenance_names_command_versions_and_facts() -> None:
    value = provenance(data="abc", seed=3)
    assert (value["data"], value["seed"]) == ("abc", 3)
    assert value["command"] == sys.argv
    assert value["versions"]["python"].startswith(f"{sys.version_info[0]}.{sys.version_info[1]}")
    assert {"torch", "numpy", "cairn-landmarks"} <= value["versions"].keys()
    assert value["hardware"]["cpu_count"] == os.cpu_count()
    assert dt.datetime.fromisoformat(value["time"]).tzinfo is not None
    json.dumps(value)


def test_a_replacement_cut_in_half_is_undone(tmp_path: Path) -> None:
    folder = tmp_path / "best"
    with atomic_folder(folder) as temporary:
        (temporary / "kept").touch()
    folder.replace(tmp_path / ".best.old")  # where a kill between the two renames leaves it
    recover_folder(folder)
    assert (folder / "kept").is_file()
    with atomic_folder(folder, replace=True) as temporary:
        (temporary / "newer").touch()
    recover_folder(folder)
    assert [path.name for path in folder.iterdir()] == ["newer"]
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_a_folder_s_files_are_on_the_disk_before_it_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    whole = os.fsync
    folder = tmp_path / "model"

    def watched(number: int) -> None:
        assert not folder.exists()
        flushed.append(os.fstat(number).st_ino)
        whole(number)

    monkeypatch.setattr(os, "fsync", watched)
    with atomic_folder(folder) as temporary:
        (temporary / "deeper").mkdir()
        for name in ("a", "deeper/b"):
            (temporary / name).write_text(name)
    assert {(folder / name).stat().st_ino for name in ("a", "deeper/b")} == set(flushed)
