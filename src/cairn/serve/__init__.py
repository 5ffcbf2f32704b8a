"""A gallery over HTTP: recognition, the living gallery, and what a page needs to show both.

Importing this loads nothing heavy; FastAPI (the extra ``serve``) loads with ``cairn.serve.app``.
"""

from __future__ import annotations
