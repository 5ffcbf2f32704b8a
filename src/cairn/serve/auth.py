"""Who may ask: bearer tokens from a file or the environment, compared in constant time.

A file has a line for each token: its name, the token, and ``read`` where it may change nothing;
what follows ``#`` is a remark. Only digests are kept in memory, and only names are ever said.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cairn.errors import CairnError
from cairn.progress import say

VARIABLE = "CAIRN_TOKEN"
"""The environment variable that may hold one token."""

_LEAST = 16  # characters


@dataclass(frozen=True)
class Token:
    """Somebody who may ask.

    Args:
        name: For the gallery's log and for messages.
        digest: SHA-256 of the token.
        may_change: Whether the gallery may be changed with it.
    """

    name: str
    digest: bytes
    may_change: bool = True


def read_tokens(path: Path | None, environment: Mapping[str, str] = os.environ) -> list[Token]:
    """Return the tokens of a file, and the one in the environment.

    Raises:
        CairnError: The file cannot be read, a line is none, or a token is shorter than 16
            characters or there twice.
    """
    tokens = []
    if path is not None:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            mode = path.stat().st_mode
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
            raise CairnError(f"not a readable file of tokens: {reason}", where=path) from None
        if mode & (stat.S_IRGRP | stat.S_IROTH):
            say(f"warning: others on this machine can read {path}; do: chmod 600 {path}")
        for number, line in enumerate(lines, start=1):
            words = line.partition("#")[0].split()
            if words:
                tokens.append(_token(words, f"{path}, line {number}"))
        if not tokens:
            raise CairnError("the file has no tokens", where=path, todo=_FORM)
    if secret := environment.get(VARIABLE, ""):
        tokens.append(_token([VARIABLE, secret], f"the environment variable {VARIABLE}"))
    for values in ([one.name for one in tokens], [one.digest for one in tokens]):
        if len(set(values)) < len(values):
            raise CairnError("a name or a token is there twice", where=path or VARIABLE)
    return tokens


def find_token(tokens: Sequence[Token], secret: str) -> Token | None:
    """Return whose token it is; the time it takes does not tell how much of one was right."""
    digest = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
    found = None
    for one in tokens:
        if hmac.compare_digest(one.digest, digest):
            found = one
    return found


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def require_tokens(host: str, tokens: Sequence[Token], *, is_open: bool) -> None:
    """Refuse to serve others than this machine without tokens, unless told to.

    Raises:
        CairnError: It would.
    """
    if not tokens and not is_open and not is_loopback(host):
        raise CairnError(
            "anyone who reaches this address could use and change the gallery",
            where=f"--host {host}",
            todo=f"give tokens (--tokens FILE, or {VARIABLE} in the environment), or say --open",
        )


_FORM = "a line is: NAME TOKEN, or NAME TOKEN read; make one with: openssl rand -hex 24"


def _token(words: Sequence[str], where: str) -> Token:
    if len(words) not in (2, 3) or (len(words) == 3 and words[2] != "read"):
        raise CairnError("not a token", where=where, todo=_FORM)
    name, secret = words[:2]
    if len(secret) < _LEAST:
        raise CairnError(f"a token needs at least {_LEAST} characters", where=where, todo=_FORM)
    return Token(name, hashlib.sha256(secret.encode()).digest(), may_change=len(words) == 2)
