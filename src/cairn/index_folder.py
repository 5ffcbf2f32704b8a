"""Approximate indexes on disk: written whole, and refused where they are not of these vectors.

A folder holds ``index.faiss`` and ``index.json`` (docs/formats.md). A graph is written without the
vectors, which the gallery has. An index answers for exactly the vectors and offsets it was built
of: their digests are compared on loading, and another gallery, another order of its rows or another
penalty makes it stale.

**Index files are trusted input.** FAISS's reader is not made for hostile files; the sum in
``index.json`` tells a damaged file from a whole one, not a good author from a bad one. Load what
you or your own machines wrote.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cairn.approximate import ApproximateSearcher
from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.index_kinds import CARD_NAME, INDEX_NAME, KINDS, Hnsw, StaleIndex
from cairn.recall import Recall
from cairn.runs import atomic_folder, read_json, write_json

FORMAT_VERSION = 1
MEND = "cairn gallery tune GALLERY"
"""What makes an index anew, where a caller knows no better."""


def save_index(
    searcher: ApproximateSearcher,
    folder: Path,
    *,
    fingerprint: str = "",
    content_key: str = "",
    recall: Recall | None = None,
    replace: bool = False,
) -> None:
    """Write a searcher's index to ``folder``, whole or not at all.

    Args:
        searcher: What to write; its vectors are not.
        folder: Where; new, unless ``replace``.
        fingerprint: Of the model that made the vectors.
        content_key: Of the gallery.
        recall: What was measured of it.
        replace: Take the place of an older index.

    Raises:
        CairnError: The gallery is so small that there is no index, or ``folder`` is taken.
    """
    import faiss

    if searcher.index is None:
        raise CairnError(
            f"a gallery of {len(searcher)} images has no index: it is searched exactly",
            todo="search it exactly; that is quicker",
        )
    flags = faiss.IO_FLAG_SKIP_STORAGE if isinstance(searcher.parameters, Hnsw) else 0
    with atomic_folder(Path(folder), replace=replace) as temporary:
        path = str(temporary / INDEX_NAME)
        faiss.write_index(searcher.index, path, flags)  # type: ignore[call-overload]
        card = {
            "format": FORMAT_VERSION,
            "kind": searcher.parameters.kind,
            "parameters": asdict(searcher.parameters),
            "dimension": searcher.dimension,
            "num_rows": len(searcher),
            "fingerprint": fingerprint,
            "content_key": content_key,
            "vectors": digest(searcher.vectors),
            "offsets": None if searcher.offsets is None else digest(searcher.offsets),
            "sha256": _sum_of(temporary / INDEX_NAME),
            "build_s": round(searcher.build_s, 3),
            "recall": None if recall is None else recall.to_json(),
            "faiss": faiss.__version__,
        }
        write_json(temporary / CARD_NAME, card)


def load_index(
    folder: Path, vectors: Float32, *, offsets: Float32 | None = None, mend: str = MEND
) -> ApproximateSearcher:
    """Return the searcher in ``folder`` for the vectors and offsets that it was built of.

    Args:
        folder: What :func:`save_index` wrote.
        vectors: (G, D) float32, the gallery, in the order of then.
        offsets: (G,) float32, or None.
        mend: The command that makes the index anew, for the errors.

    Raises:
        StaleIndex: It was built for others.
        CairnError: There is no index, or it is damaged.
    """
    import faiss

    folder = Path(folder)
    card = read_card(folder, mend=mend)
    for name, was, values in (
        ("vectors", card["vectors"], vectors),
        ("penalties", card["offsets"], offsets),
    ):
        if was != (None if values is None else digest(values)):
            raise StaleIndex(
                f"this index is STALE: it was built for other {name} than these",
                where=folder,
                todo=f"make it anew with `{mend}`, or search exactly",
            )
    path = folder / INDEX_NAME
    try:
        if _sum_of(path) != card["sha256"]:
            raise CairnError("its sum is not the one that index.json has")
        index = faiss.read_index(str(path))
        parameters = KINDS[card["kind"]](**card["parameters"])
        searcher = ApproximateSearcher.of_index(index, vectors, parameters, offsets=offsets)
    except (OSError, RuntimeError, MemoryError, KeyError, TypeError, CairnError) as error:
        reason = error.what if isinstance(error, CairnError) else str(error)
        raise CairnError(
            f"this index is damaged: {reason}", where=path, todo=f"make it anew with `{mend}`"
        ) from None
    searcher.build_s = float(card["build_s"])
    return searcher


def read_card(folder: Path, *, mend: str = MEND) -> Mapping[str, Any]:
    """Return what ``index.json`` says of the index in ``folder``.

    Raises:
        CairnError: There is none, or it is of another format.
    """
    path = Path(folder) / CARD_NAME
    if not path.is_file():
        raise CairnError("there is no index here", where=folder, todo=f"make one with `{mend}`")
    card = read_json(path)
    known = {"format", "kind", "parameters", "vectors", "offsets", "sha256", "build_s", "recall"}
    if not isinstance(card, dict) or not known <= set(card) or card["format"] != FORMAT_VERSION:
        raise CairnError(
            f"{CARD_NAME} is not of format {FORMAT_VERSION}",
            where=folder,
            todo=f"make the index anew with `{mend}`",
        )
    return card


def digest(values: NDArray[Any]) -> str:
    """Return 32 hexadecimal digits of the SHA-256 of an array: its type, its shape, its numbers."""
    array = np.ascontiguousarray(values)
    made = hashlib.sha256(f"{array.dtype.str} {array.shape}\n".encode())
    made.update(array.data.cast("B") if array.size else b"")
    return made.hexdigest()[:32]


def _sum_of(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
