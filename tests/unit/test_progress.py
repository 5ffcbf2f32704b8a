from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import pytest

from cairn.progress import say, track


def test_say_leaves_stdout_to_results(capsys: pytest.CaptureFixture[str]) -> None:
    say("北京")
    assert capsys.readouterr() == ("", "北京\n")


def test_track_yields_everything_and_is_silent_when_quick(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert list(track(range(5), "count")) == [0, 1, 2, 3, 4]
    assert list(track(iter(""), "nothing")) == []
    assert capsys.readouterr() == ("", "")


def test_track_draws_nothing_ahead() -> None:
    drawn = []

    def source() -> Iterator[int]:
        for number in range(3):
            drawn.append(number)
            yield number

    tracked = track(source(), "count")
    assert next(tracked) == 0
    assert drawn == [0]


def test_a_slow_loop_tells_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(float(second) for second in range(0, 600, 6))
    monkeypatch.setattr("cairn.progress.time.monotonic", lambda: next(now))
    assert list(track([1, 2, 3, 4], "embed")) == [1, 2, 3, 4]
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["embed: 2 of 4 (0.2/s, 12 s left)", "embed: 4 of 4 (0.2/s, 0 s left)"]
    assert list(track(iter([1, 2]), "read")) == [1, 2]
    assert capsys.readouterr().err == "read: 2 (0.2/s)\n", "without a total, no time left"


def test_items_count_for_their_size(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(float(second) for second in range(0, 600, 6))
    monkeypatch.setattr("cairn.progress.time.monotonic", lambda: next(now))
    batches = [[1, 2, 3], [4, 5, 6]]
    assert list(track(batches, "epoch 1", total=12, size=len)) == batches
    assert capsys.readouterr().err == "epoch 1: 6 of 12 (0.5/s, 12 s left)\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(track([1, 2, 3], "embed")) == [1, 2, 3]
    assert "embed" in terminal.getvalue()
    assert capsys.readouterr().out == ""
