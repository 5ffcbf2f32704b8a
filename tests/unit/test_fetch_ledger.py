"""Finished lines survive; room is counted; jobs fail alone; bytes are shown."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cairn.errors import CairnError
from cairn.fetch.crew import run_all
from cairn.fetch.disk import DiskFullError, bytes_text, free_bytes, told_when_full
from cairn.fetch.ledger import Ledger, only_one
from cairn.fetch.meter import Meter
from cairn.fetch.retry import Halt, Stopped, UnreachableError


def test_lines_come_back(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "deep" / "l.jsonl")
    assert ledger.read() == []
    ledger.append({"a": 1})
    ledger.append({"b": "é\n"})
    assert ledger.read() == [{"a": 1}, {"b": "é\n"}]


def test_every_torn_end_is_passed_over_and_cut_away(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.jsonl")
    ledger.append({"a": 1})
    before = ledger.path.read_bytes()
    ledger.append({"b": "x" * 9000})
    whole = ledger.path.read_bytes()
    for end in (len(before) + 1, len(before) + 4100, len(whole) - 1):
        ledger.path.write_bytes(whole[:end])
        assert ledger.read() == [{"a": 1}]
        ledger.append({"c": 2})
        assert ledger.read() == [{"a": 1}, {"c": 2}]
    ledger.path.write_bytes(b"torn from the first byte")
    ledger.append({"c": 2})
    assert ledger.read() == [{"c": 2}]


def test_damage_before_the_end_is_an_error(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.jsonl")
    ledger.path.write_bytes(b'{"a": 1}\nnonsense\n{"b": 1}\n')
    with pytest.raises(CairnError, match="damaged") as caught:
        ledger.read()
    assert caught.value.where.endswith("line 2")


def test_threads_append_whole_lines(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.jsonl")
    jobs = [lambda number=number: ledger.append({"n": number}) for number in range(20)]
    assert run_all(jobs, parallel=8, halt=Halt()) == []
    assert sorted(line["n"] for line in ledger.read()) == list(range(20))


def test_one_process_at_a_time(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, cairn.fetch.ledger as ledger\n"
        "try:\n"
        "    with ledger.only_one(pathlib.Path(sys.argv[1]), 'working'): print('in')\n"
        "except ledger.CairnError as error: print(error.what)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "lock")]
    with only_one(tmp_path / "lock", "working"):
        first = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    second = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (first, second) == ("another process is working here\n", "in\n")


def test_bytes_for_people() -> None:
    said = [bytes_text(count) for count in (0, 999, 1000, 123_456, 1.5e6, 2.34e9, 5.1e11, 2e12)]
    assert said == [
        *("0 bytes", "999 bytes", "1.0 kB", "123 kB", "1.5 MB", "2.3 GB", "510 GB", "2.0 TB"),
    ]


def test_free_room_of_a_folder_to_be(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "a" / "b") > 0


def test_only_a_full_disk_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match="while x; y"), told_when_full("x", "y", where=tmp_path):
        raise OSError(errno.EDQUOT, "quota")
    with pytest.raises(PermissionError), told_when_full("x", "y", where=tmp_path):
        raise PermissionError(errno.EACCES, "no")


def test_a_job_that_fails_leaves_the_others_alone() -> None:
    done: list[int] = []

    def job(number: int) -> None:
        if number % 3 == 0:
            raise CairnError(f"fault {number}")
        done.append(number)

    jobs = [lambda number=number: job(number) for number in range(9)]
    faults = run_all(jobs, parallel=3, halt=Halt())
    assert sorted(fault.what for fault in faults) == ["fault 0", "fault 3", "fault 6"]
    assert sorted(done) == [1, 2, 4, 5, 7, 8]


@pytest.mark.parametrize(
    "fault", [DiskFullError("full"), UnreachableError("away"), ValueError("bug")]
)
def test_what_would_meet_every_job_ends_all(fault: Exception) -> None:
    halt = Halt()
    started = threading.Event()
    ended: list[str] = []

    def fails() -> None:
        assert started.wait(10)
        raise fault

    def waits() -> None:
        started.set()
        try:
            halt.wait(30)
        except Stopped:
            ended.append("stopped")
            raise

    never: list[int] = []
    jobs: list[Any] = [waits, fails, *(lambda: never.append(1) for _ in range(50))]
    with pytest.raises(type(fault), match=str(fault)):
        run_all(jobs, parallel=2, halt=halt)
    assert ended == ["stopped"]
    assert len(never) < 50


def test_ctrl_c_ends_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    halt = Halt()
    ended: list[str] = []

    def waits() -> None:
        try:
            halt.wait(30)
        finally:
            ended.append("stopped")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cairn.fetch.crew.wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_all([waits], parallel=1, halt=halt)
    assert ended == ["stopped"]


def test_bytes_are_told_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    meter = Meter("fetching", 10_000_000, before=1_000_000)
    with meter.shown():
        meter.move(1_000_000)
        assert capsys.readouterr().err == ""
        now[0] = 110.0
        meter.move(1_000_000)
        said = capsys.readouterr().err
        assert said == "fetching: 2.0 MB of 10.0 MB (100 kB/s, 1 min left)\n"
        meter.move(-500_000)
        meter.say("a line")
    assert meter.done == 1_500_000
    assert capsys.readouterr().err == "a line\n"


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = os.openpty()
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with Meter("fetching", 1000).shown() as meter:
            meter.move(500)
            meter.say("a line")
    shown = ""
    with suppress(OSError):  # nobody writes any more
        while part := os.read(master, 65536):
            shown += part.decode()
    os.close(master)
    assert "fetching" in shown
    assert "a line" in shown
