"""What the server is told: its file, its tokens, its address; and what it counts by."""

from __future__ import annotations

from pathlib import Path

import pytest

from cairn.errors import CairnError
from cairn.serve.auth import VARIABLE, find_token, is_loopback, read_tokens, require_tokens
from cairn.serve.problems import Problem, without_paths
from cairn.serve.rate import RateLimit
from cairn.serve.settings import ServeSettings, read_settings


def test_settings_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "serve.toml"
    path.write_text('search = "approximate"\n[limits]\nimages = 3\n[batch]\nqueue = 7\n', "utf-8")
    found = read_settings(path)
    assert (found.search, found.limits.images, found.batch.queue) == ("approximate", 3, 7)
    assert found.gallery == ServeSettings().gallery


@pytest.mark.parametrize(
    ("text", "what", "todo"),
    [
        ("[limits]\nimage = 3", "unknown setting 'limits.image'", "did you mean 'images'?"),
        ("images = 3", "unknown setting 'images'", "did you mean 'limits.images'?"),
        ("[limits]\npixels = 0", "setting 'limits.pixels'", ""),
        ("[limits", "not TOML", ""),
    ],
)
def test_wrong_settings_are_said(tmp_path: Path, text: str, what: str, todo: str) -> None:
    path = tmp_path / "serve.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CairnError) as error:
        read_settings(path)
    assert what in error.value.what
    assert error.value.todo == todo
    with pytest.raises(CairnError, match="file not found"):
        read_settings(tmp_path / "none.toml")


def test_tokens_of_a_file_and_of_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tokens"
    path.write_text("# who\nann 0123456789abcdef\nbob abcdef0123456789 read # may look\n")
    path.chmod(0o644)
    tokens = read_tokens(path, {VARIABLE: "fedcba9876543210"})
    assert "chmod 600" in capsys.readouterr().err
    assert [(one.name, one.may_change) for one in tokens] == [
        ("ann", True),
        ("bob", False),
        (VARIABLE, True),
    ]
    found = find_token(tokens, "abcdef0123456789")
    assert found is not None
    assert found.name == "bob"
    for wrong in ("", "abcdef012345678", "abcdef0123456789 ", "\ud800", "é"):
        assert find_token(tokens, wrong) is None
    assert "abcdef0123456789" not in repr(tokens)
    assert read_tokens(None, {}) == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("ann short", "at least 16"),
        ("0123456789abcdef", "not a token"),
        ("ann 0123456789abcdef write", "not a token"),
        ("# nobody", "no tokens"),
        ("ann 0123456789abcdef\nbob 0123456789abcdef", "twice"),
    ],
)
def test_wrong_tokens_are_said_and_never_shown(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(CairnError) as error:
        read_tokens(path, {})
    assert what in str(error.value)
    assert "0123456789abcdef" not in str(error.value)


def test_a_public_address_needs_tokens_or_a_word(tmp_path: Path) -> None:
    for host in ("127.0.0.1", "::1", "localhost", "127.8.9.1"):
        assert is_loopback(host)
        require_tokens(host, [], is_open=False)
    for host in ("0.0.0.0", "::", "example.org", "192.168.1.5", "127.0.0.1.example.org"):
        assert not is_loopback(host)
        with pytest.raises(CairnError, match="anyone"):
            require_tokens(host, [], is_open=False)
        require_tokens(host, [], is_open=True)
        require_tokens(host, read_tokens(None, {VARIABLE: "x" * 16}), is_open=False)


def test_a_bucket_is_refilled_evenly_and_for_each_name() -> None:
    now = [0.0]
    rate = RateLimit(60, 3, clock=lambda: now[0])
    assert [rate.wait_s("a") for _ in range(4)] == [0, 0, 0, 1.0]
    assert rate.wait_s("b") == 0
    now[0] = 0.25
    assert rate.wait_s("a") == 0.75
    now[0] = 1.0
    assert [rate.wait_s("a"), rate.wait_s("a")] == [0, 1.0]
    now[0] = 1e9
    assert [rate.wait_s("a") for _ in range(4)] == [0, 0, 0, 1.0]
    assert all(RateLimit(0, 1).wait_s("a") == 0 for _ in range(9))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("no such file: /data/photos/a.jpg", "no such file: (a file of the server)"),
        ("see /v1", "see /v1"),
        ("at https://example.org/a/b/c it is", "at https://example.org/a/b/c it is"),
        ("'/home/x y/z'", "'(a file of the server) y/z'"),
        ("lies in s3://bucket/prefix/x", "lies in (a file of the server)"),
        ("make it anew: `cairn penalize /g/h BANK`", "make it anew: a command of cairn"),
        ("1/2 of 3/4", "1/2 of 3/4"),
        ("../../etc/passwd", "(a file of the server)"),
    ],
)
def test_paths_are_taken_out_of_messages(text: str, left: str) -> None:
    assert without_paths(text) == left


def test_faults_of_the_library_get_a_status() -> None:
    for what, status in (
        ("the gallery has no landmark 'x'", 404),
        ("another process is changing this gallery", 503),
        ("'x' is one landmark already", 409),
    ):
        assert Problem.of(CairnError(what, where="/secret/place")).status == status
    shown = Problem.of(CairnError("it is so", where="/secret/place", todo="do")).to_json()
    assert (shown["where"], shown["todo"]) == ("", "do")
