"""The approximate index of a gallery: kept beside its vectors, found by what it was built for.

It lies under the content key, so that a version that is gone back to finds its own again. A gallery
that has changed since, or has another penalty, has none that may be used, and is told how to get
one: nothing ever searches through a stale index.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cairn.errors import CairnError, nearest
from cairn.gallery.gallery import Gallery
from cairn.index_kinds import CARD_NAME, INDEX_NAME, StaleIndex
from cairn.searchers import ExactSearcher, Searcher
from cairn.tables import EmbeddingTable, require_same_model

if TYPE_CHECKING:  # exact search does without FAISS
    from cairn.trials import Tuning

SEARCHES = ("exact", "approximate")
"""How a gallery can be searched."""


def searcher_of(gallery: Gallery, search: str = "exact", *, use_penalty: bool = True) -> Searcher:
    """Return what searches a gallery, its penalty in the similarities.

    Args:
        gallery: What to search.
        search: ``"exact"``, or ``"approximate"`` for the index that ``cairn gallery tune`` keeps.
        use_penalty: Take the gallery's penalty off, where it has one.

    Raises:
        StaleIndex: An index is wanted, and the one there is was made before the gallery changed.
        CairnError: ``search`` is unknown; or an index is wanted and is missing or damaged.
    """
    if search not in SEARCHES:
        raise CairnError(f"unknown search {search!r}", todo=nearest(search, SEARCHES))
    penalty = gallery.penalty if use_penalty else None
    offsets = None if penalty is None else penalty.offsets
    vectors = gallery.table.vectors
    if search == "exact":
        return ExactSearcher(vectors, offsets=offsets, is_checked=True)  # as a table's are
    from cairn.index_folder import load_index

    with _stored(gallery) as folder:
        return load_index(folder, vectors, offsets=offsets, mend=_mend(gallery))


def tune_gallery(gallery: Gallery, queries: EmbeddingTable | None = None, **wishes: Any) -> Tuning:
    """Return the quickest search of a gallery that keeps a recall; nothing is written.

    Args:
        gallery: With the penalty that it will be searched with.
        queries: Embeddings by the gallery's model, like those to come; by default photographs of
            the gallery, each without itself.
        wishes: Further settings of :func:`cairn.tuning.tune`.

    Raises:
        CairnError: The queries are of another model, or a setting is out of range.
    """
    from cairn.tuning import tune

    if queries is not None:
        require_same_model(queries, gallery.table, where=f"the queries and {gallery.location}")
    offsets = None if gallery.penalty is None else gallery.penalty.offsets
    vectors = None if queries is None else queries.vectors
    return tune(gallery.table.vectors, vectors, offsets=offsets, **wishes)


def keep_index(gallery: Gallery, tuning: Tuning) -> str:
    """Keep the winner of a tuning with its gallery, in place of an older one; return its address.

    Args:
        gallery: The gallery that was tuned.
        tuning: With a winner.

    Raises:
        CairnError: There is no winner.
    """
    from cairn.index_folder import save_index

    if tuning.searcher is None or tuning.winner is None:
        raise CairnError("there is no index to keep", where=tuning.verdict)
    name = _name(gallery)
    facts: dict[str, Any] = {
        "fingerprint": gallery.table.fingerprint,
        "content_key": gallery.content_key,
        "recall": tuning.winner.held_out,
    }
    if not gallery.place.remote:
        save_index(tuning.searcher, gallery.folder / name, replace=True, **facts)
        return str(gallery.folder / name)
    with tempfile.TemporaryDirectory(prefix="cairn-") as temporary:
        folder = Path(temporary) / "index"
        save_index(tuning.searcher, folder, **facts)
        for part in (INDEX_NAME, CARD_NAME):  # the card last: it has the sum of the other
            gallery.place.write_file(f"{name}/{part}", folder / part)
    return gallery.place.uri(name)


@contextmanager
def _stored(gallery: Gallery) -> Iterator[Path]:
    """Yield a local folder with the gallery's index.

    Raises:
        StaleIndex: It has one for other contents only.
        CairnError: It has none.
    """
    place, name = gallery.place, _name(gallery)
    if not place.has(f"{name}/{CARD_NAME}"):
        todo = (
            f"make one with `{_mend(gallery)}`; where that finds exact search quicker, "
            "search exactly"
        )
        if place.items("indexes"):
            told = "the index of this gallery is STALE: images have come, gone or changed since"
            raise StaleIndex(told, where=gallery.location, todo=todo)
        told = "this gallery has no index for approximate search"
        raise CairnError(told, where=gallery.location, todo=todo)
    if not place.remote:
        yield gallery.folder / name
        return
    with tempfile.TemporaryDirectory(prefix="cairn-") as temporary:
        for part in (INDEX_NAME, CARD_NAME):
            with place.local_file(f"{name}/{part}") as copy:
                shutil.move(copy, Path(temporary) / part)
        yield Path(temporary)


def _name(gallery: Gallery) -> str:
    return f"indexes/{gallery.content_key}"


def _mend(gallery: Gallery) -> str:
    return f"cairn gallery tune {gallery.location}"
