"""Faults as clients get them: one JSON shape (problem+json of RFC 9457), no path, no traceback.

``what``, ``where`` and ``todo`` are those of ``CairnError``. A message may name files of the
server; they are taken out before it leaves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse, Response

from cairn.errors import CairnError

PROBLEM_TYPE = "application/problem+json"

_PATH = re.compile(r"(?<![\w:/.])(?:s3:/|~|\.{1,2})?(?:/[^\s'\"`,;:()/]+){2,}/?")
_COMMAND = re.compile(r"`?cairn [a-z]+ [^`,;]*`?")
_MISSING = re.compile(r"the gallery has no (image|landmark|version|tag)\b")
_BUSY = ("another process is changing", "another writer changed")


class Problem(Exception):  # noqa: N818 (the word of RFC 9457)
    """A fault that ends a request.

    Args:
        status: The HTTP status.
        what: What is wrong, in one sentence.
        where: The part of the request at fault; may be empty.
        todo: What to do next; may be empty.
        headers: Further headers of the answer.
        further: Further members of the JSON object.
    """

    def __init__(
        self,
        status: int,
        what: str,
        *,
        where: str = "",
        todo: str = "",
        headers: Mapping[str, str] | None = None,
        further: Mapping[str, Any] | None = None,
    ) -> None:
        self.status, self.what, self.where, self.todo = status, what, where, todo
        self.headers, self.further = dict(headers or {}), dict(further or {})
        super().__init__(what)

    @classmethod
    def of(cls, error: CairnError) -> Problem:
        """Return a user's fault, met within the library, with the status that fits it."""
        what = without_paths(error.what)
        if _MISSING.match(what):
            return cls(404, what, todo=without_paths(error.todo))
        if what.startswith(_BUSY):
            return cls(503, what, todo="send the request again", headers={"Retry-After": "1"})
        return cls(409, what, todo=without_paths(error.todo))

    def to_json(self, request_id: str = "") -> dict[str, Any]:
        """Return the members of the JSON object."""
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "what": self.what,
            "where": self.where,
            "todo": self.todo,
            "request_id": request_id,
            **self.further,
        }

    def response(self, request_id: str = "") -> Response:
        """Return the answer."""
        return JSONResponse(
            self.to_json(request_id),
            status_code=self.status,
            headers=self.headers,
            media_type=PROBLEM_TYPE,
        )


def without_paths(text: str) -> str:
    """Return a message without the names of files on the server, and without commands for them."""
    return _PATH.sub("(a file of the server)", _COMMAND.sub("a command of cairn", text))
