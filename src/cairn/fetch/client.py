"""HTTP requests: which answers are final, which pass, and how long to keep asking.

One session a thread, so that connections are kept. Proxies and certificates are taken from the
environment as Requests does (``HTTPS_PROXY``, ``NO_PROXY``, ``REQUESTS_CA_BUNDLE``).
"""

from __future__ import annotations

import datetime as dt
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import requests
import urllib3

from cairn.errors import CairnError
from cairn.fetch.retry import Halt, Patience, Transient, UnreachableError, retry_after_s
from cairn.progress import say

T = TypeVar("T")

CHUNK = 1 << 18
"""The most bytes that are read at once."""

_ENOUGH_PROGRESS = 1 << 20
_TIMEOUT_S = (15.0, 60.0)  # to connect; between two bytes
_PASSING = frozenset((408, 425, 429))
_FINAL_5XX = frozenset((501, 505))
_TODO = {
    404: "check the address; the publisher may have moved the file",
    410: "check the address; the publisher may have moved the file",
    401: "the server wants to know who asks; name another base address",
    403: "the server refuses; check the address, and the proxy if there is one",
    407: "the proxy wants a password: put it into HTTPS_PROXY",
}


class Client:
    """Asks servers for files.

    Args:
        patience: How often a failure that may pass is tried again.
        halt: Ends waits and transfers when it is set.
        wait: Replaces the wait between tries, for tests.
        told: Where a line about each failure goes.
        timeout_s: The longest time to connect, and between two bytes.
    """

    def __init__(
        self,
        *,
        patience: Patience | None = None,
        halt: Halt | None = None,
        wait: Callable[[float], None] | None = None,
        told: Callable[[str], None] = say,
        timeout_s: tuple[float, float] = _TIMEOUT_S,
    ) -> None:
        self.halt = halt or Halt()
        self.told = told
        self._patience = patience or Patience()
        self._wait = wait or self.halt.wait
        self._chance = random.Random()
        self._timeout_s = timeout_s
        self._local = threading.local()
        self._was_answered = False

    @contextmanager
    def response(
        self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> Iterator[requests.Response]:
        """Yield an answer below 400, or 416, whose body is not read yet and never decompressed.

        Raises:
            Transient: The server is busy or gone; asking again may help.
            CairnError: The server refuses; asking again does not help.
        """
        self.halt.check()
        asked = {"Accept-Encoding": "identity", **(headers or {})}
        try:
            found = self._session().request(
                method,
                url,
                headers=asked,
                stream=True,
                timeout=self._timeout_s,
                allow_redirects=True,
            )
        except requests.exceptions.SSLError as error:
            todo = "set REQUESTS_CA_BUNDLE where a proxy has a certificate of its own"
            raise CairnError(
                f"the certificate is not accepted: {error}", where=url, todo=todo
            ) from None
        except (requests.ConnectionError, requests.Timeout) as error:
            raise Transient(_words(error)) from None
        except requests.RequestException as error:
            raise CairnError(f"no address that can be asked: {error}", where=url) from None
        self._was_answered = True
        with found, self.halt.ending(found.raw.shutdown):  # wakes a read that nothing comes for
            status = found.status_code
            if status in _PASSING or (status >= 500 and status not in _FINAL_5XX):
                asks = retry_after_s(found.headers.get("Retry-After"), dt.datetime.now(dt.UTC))
                raise Transient(f"the server says {status} {found.reason}", retry_after_s=asks)
            if status >= 400 and status != 416:
                what = f"the server says {status} {found.reason}"
                raise CairnError(what, where=url, todo=_TODO.get(status, "check the address"))
            yield found

    def chunks(self, response: requests.Response) -> Iterator[bytes]:
        """Yield the body as it comes, at most `CHUNK` bytes at once.

        Raises:
            Transient: The connection broke or fell silent.
            Stopped: Somebody asked for the end.
        """
        received = 0
        while True:
            self.halt.check()
            try:
                chunk = response.raw.read1(CHUNK, decode_content=False)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                self.halt.check()
                raise Transient(
                    f"the connection broke: {_words(error)}", received=received
                ) from None
            if not chunk:
                self.halt.check()
                return
            received += len(chunk)
            yield chunk

    def persist(self, attempt: Callable[[], T], url: str) -> T:
        """Return what ``attempt`` returns, called again after failures that may pass.

        Attempts that brought a megabyte or more are progress, and start the count anew.

        Raises:
            UnreachableError: Patience ended.
        """
        failures = 0
        while True:
            try:
                return attempt()
            except Transient as fault:
                failures = 1 if fault.received >= _ENOUGH_PROGRESS else failures + 1
                most = self._patience.attempts
                if not self._was_answered:
                    most = min(most, self._patience.unheard)
                if failures >= most:
                    raise UnreachableError(
                        f"given up after {failures} tries: {fault.reason}",
                        where=url,
                        todo="check network and address; the same command goes on from here",
                    ) from None
                delay = self._patience.delay(failures, self._chance, fault.retry_after_s)
                tries = f"try {failures + 1} of {most}"
                self.told(f"{url}: {fault.reason}; {tries} in {delay:.0f} s")
                self._wait(delay)

    def text(self, url: str, *, at_most: int = 1 << 16) -> str:
        """Return a small text file.

        Raises:
            CairnError: It is not there, or longer than ``at_most`` bytes.
        """

        def attempt() -> str:
            with self.response(url) as response:
                body = b""
                for chunk in self.chunks(response):
                    body += chunk
                    if len(body) > at_most:
                        raise CairnError(f"more than {at_most} bytes for a short text", where=url)
                expected = response.headers.get("Content-Length", "")
                if expected.isdigit() and int(expected) != len(body):
                    raise Transient(f"cut off after {len(body)} of {expected} bytes")
                return body.decode("utf-8", errors="replace")

        return self.persist(attempt, url)

    def size(self, url: str) -> int | None:
        """Return how many bytes a file has; None where the server does not say.

        Raises:
            CairnError: The file is not there.
        """

        def attempt() -> int | None:
            try:
                with self.response(url, method="HEAD") as response:
                    length = response.headers.get("Content-Length", "")
                    return int(length) if length.isdigit() else None
            except CairnError as error:
                if any(f" {status} " in f"{error.what} " for status in (403, 405, 501)):
                    return None  # some servers do not answer HEAD
                raise

        return self.persist(attempt, url)

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        session: requests.Session = self._local.session
        return session


def _words(error: Any) -> str:
    """Return the innermost reason of a nest of network errors."""
    while True:
        inner = getattr(error, "reason", None) or next(
            (arg for arg in getattr(error, "args", ()) if isinstance(arg, Exception)), None
        )
        if not isinstance(inner, Exception):
            break
        error = inner
    text = str(error)
    return text.split(": ", 1)[1] if text.startswith("<urllib3") and ": " in text else text
