"""The parts of a context, each from its place in a gallery's folder, made when asked for.

Landmarks and vectors are the gallery's; picks are of its penalty table; similarities to
non-landmarks come of the bank that it keeps, head logits of its model's folder, local features of
its photographs. What a gallery lacks is told with the command that gives it.

Legend of shapes: Q queries, G gallery rows, L landmarks, C centres, M entries kept of a row, D
dimensions.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from cairn.checkpoint import read_head
from cairn.domain import Float32, Int64, Neighbors
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.gallery.indexes import searcher_of
from cairn.gallery.penalties import bank_of, bank_similarities
from cairn.gallery.versions import Version
from cairn.progress import say
from cairn.rerank import (
    Context,
    GallerySide,
    HeadVectors,
    Picks,
    QuerySide,
    code_landmarks,
)
from cairn.rerank.context import NEEDS, Inliers
from cairn.rerank.head import centres_of
from cairn.rerank.verification import Matcher
from cairn.search import search as exact_search
from cairn.searchers import Searcher
from cairn.self_join import fingerprint_of, nearest_images
from cairn.tables import EmbeddingTable

if TYPE_CHECKING:
    from cairn.rerank.local import Photograph

DEPTHS = {"gallery.to_bank": 5, "queries.to_bank": 20, "gallery.neighbors": 30}
"""Entries of each row that are kept at least; a stage that looks deeper gets as many as it asks."""

_SIDES = {need: tuple(need.split(".")) for need in NEEDS}

AnyMatcher: TypeAlias = Matcher[Any]


class Parts:
    """Where the parts of a context come from, for one gallery; each is made once, when asked for.

    Args:
        gallery: As it was loaded.
        search: How it is searched, ``exact`` or ``approximate``; by bare similarity.
        depths: Entries of a row that are wanted, by need; at least :data:`DEPTHS` are kept.
        matcher: Counts local features of two photographs; OpenCV's by default.
        wanted_by: Who needs what, for errors.
    """

    def __init__(
        self,
        gallery: Gallery,
        *,
        search: str = "exact",
        depths: Mapping[str, int] | None = None,
        matcher: AnyMatcher | None = None,
        wanted_by: Mapping[str, str] | None = None,
    ) -> None:
        self.gallery, self._search, self._matcher = gallery, search, matcher
        self._depths = {
            need: max(least, (depths or {}).get(need, 0)) for need, least in DEPTHS.items()
        }
        self._wanted_by = wanted_by or {}

    def gallery_side(self, needs: Collection[str]) -> GallerySide:
        """Return the parts ``gallery.*`` of ``needs``.

        Raises:
            CairnError: The gallery lacks what one is made of.
        """
        _require_known(needs)
        return GallerySide(**{part: getattr(self, part) for part in _of("gallery", needs)})

    def query_side(
        self,
        needs: Collection[str],
        vectors_QD: Float32,
        photographs: Sequence[Photograph | str] | None = None,
    ) -> QuerySide:
        """Return the parts ``queries.*`` of ``needs``.

        Args:
            needs: Names, as in ``cairn.rerank.context.NEEDS``.
            vectors_QD: (Q, D) unit vectors.
            photographs: Q files or arrays of pixels, for local features.

        Raises:
            CairnError: The gallery lacks what one is made of, or the photographs are missing.
        """
        _require_known(needs)
        parts: dict[str, Any] = {}
        for part in _of("queries", needs):
            if part == "vectors":
                parts[part] = vectors_QD
            elif part == "to_bank":
                bank = self.bank_for("queries.to_bank").vectors
                depth = self._depths["queries.to_bank"]
                parts[part] = exact_search(vectors_QD, bank, depth).similarities
            elif part == "head":
                parts[part] = HeadVectors(vectors_QD, self.centres)
            else:
                parts[part] = self.inliers(photographs)
        return QuerySide(**parts)

    @cached_property
    def coded(self) -> tuple[Int64, tuple[str, ...]]:
        """(G,) codes of the landmarks, and what they stand for."""
        return code_landmarks(self.gallery.table.landmark_ids)

    @property
    def landmarks(self) -> Int64:
        """(G,) codes of the landmarks."""
        return self.coded[0]

    @property
    def vectors(self) -> Float32:
        """(G, D) the gallery's."""
        return self.gallery.table.vectors

    @cached_property
    def searcher(self) -> Searcher:
        """Finds gallery rows by bare similarity."""
        try:
            return searcher_of(self.gallery, self._search, use_penalty=False)
        except CairnError as error:
            if self._search == "exact" or self.gallery.penalty is None:
                raise
            raise CairnError(
                f"stages search by bare similarity, without the penalty: {error.what}",
                where=error.where,
                todo="search exactly, or tune the gallery before it is penalized",
            ) from None

    def search(self, vectors_QD: Float32, k: int) -> Neighbors:
        """Return the ``k`` most similar gallery rows, as ``Searcher.search``."""
        return self.searcher.search(vectors_QD, k)

    @cached_property
    def picks(self) -> Picks:
        """What the bank picks, of the gallery's penalty table."""
        penalty = self.gallery.penalty
        if penalty is None:
            raise self._lacking("gallery.picks", "has no penalty")
        return Picks.of_table(penalty)

    @cached_property
    def to_bank(self) -> Float32:
        """(G, M) similarities to the nearest non-landmarks."""
        depth = self._depths["gallery.to_bank"]
        kept = None if self._version is None else bank_similarities(self._version, depth)
        if kept is not None:
            return kept
        bank = self.bank_for("gallery.to_bank").vectors
        return exact_search(self.vectors, bank, depth).similarities

    @cached_property
    def neighbors(self) -> Neighbors:
        """(G, M) each row's most similar other rows; they stay with a gallery that has a place."""
        gallery, k = self.gallery, self._depths["gallery.neighbors"]
        content = fingerprint_of(self.vectors)  # with the order of rows, which no content key has
        if not gallery.version:
            with tempfile.TemporaryDirectory(prefix="cairn-") as folder:
                return nearest_images(self.vectors, k, work=Path(folder), content=content)
        work = gallery.place.work(f"neighbors-{content[:16]}-{k}")
        return nearest_images(self.vectors, k, work=work, content=content)

    @cached_property
    def centres(self) -> Float32:
        """(L, D) or (L, C, D) what the model's head has for each code, else mean directions."""
        codes, names = self.coded
        found = read_head(self.gallery.model_dir)
        if found is None:
            reason = "the gallery's model keeps no head"
        else:
            state, rows_of = found
            place = {landmark: row for row, landmark in enumerate(rows_of)}
            missing = [name for name in names if name not in place]
            weight = state.get("weight", np.empty((0, 0), np.float32))
            if "bias" in state:
                reason = "the head of the gallery's model gives products, not cosines"
            elif weight.shape[-1] != self.gallery.table.dimension:
                reason = "the head of the gallery's model is of another dimension"
            elif missing:
                reason = (
                    f"the head of the gallery's model does not know {len(missing)} of "
                    f"{len(names)} landmarks, such as {missing[0]!r}"
                )
            else:
                chosen = weight[[place[name] for name in names]].astype(np.float32)
                lengths = np.linalg.norm(chosen, axis=-1, keepdims=True)
                units: Float32 = chosen / np.maximum(lengths, np.float32(1e-12))
                return units
        say(f"note: {reason}; the mean directions of its landmarks serve as head")
        return centres_of(self.vectors, codes)

    def inliers(self, photographs: Sequence[Photograph | str] | None) -> Inliers:
        """Return what counts local features that a query and a gallery row share.

        Raises:
            CairnError: OpenCV, the gallery's photographs or the queries' are missing.
        """
        who = self._who("queries.inliers")
        if photographs is None:
            raise CairnError(
                f"{who} needs the photographs that are asked about, not their vectors alone",
                todo="recognize photographs or a manifest, or drop the stage",
            )
        from cairn.rerank.local import LocalMatcher

        matcher, theirs = self.ready_matcher, self.gallery.table.paths
        ours = [Path(one) if isinstance(one, str) else one for one in photographs]
        if not isinstance(matcher, LocalMatcher):
            return lambda query, row: matcher(ours[query], Path(theirs[row]))
        features = cache(lambda query: matcher.features_of(ours[query]))  # of pixels too: once
        return lambda query, row: matcher.inliers(
            features(query), matcher.features_of(Path(theirs[row]))
        )

    @cached_property
    def ready_matcher(self) -> AnyMatcher:
        """The matcher, with the gallery's photographs seen to be where it says."""
        from cairn.rerank.local import LocalMatcher

        made = LocalMatcher() if self._matcher is None else self._matcher
        paths = self.gallery.table.paths
        gone = [
            path for path in (paths[0], paths[len(paths) // 2], paths[-1]) if not _is_file(path)
        ]
        if gone:
            raise CairnError(
                f"{self._who('queries.inliers')} looks at the gallery's photographs, and they are "
                "not where the gallery has them",
                where=gone[0] or "no path",
                todo="put them back, build the gallery where they are, or drop the stage",
            )
        return made

    @cached_property
    def _version(self) -> Version | None:
        gallery = self.gallery
        return Version.open(gallery.place, gallery.version) if gallery.version else None

    @cached_property
    def _bank(self) -> EmbeddingTable | None:
        return None if self._version is None else bank_of(self._version)

    @property
    def bank_key(self) -> str:
        """The content key of the bank that the gallery keeps; "" without one."""
        note = None if self._version is None else self._version.facts.penalty
        return "" if note is None else note.bank

    def bank_for(self, need: str) -> EmbeddingTable:
        """Return the bank that the gallery keeps.

        Raises:
            CairnError: It keeps none.
        """
        if self._bank is None:
            raise self._lacking(need, "keeps no bank of non-landmarks")
        return self._bank

    def _lacking(self, need: str, state: str) -> CairnError:
        return CairnError(
            f"{self._who(need)} needs {NEEDS[need][0]}, and this gallery {state}",
            where=self.gallery.location,
            todo=f"penalize it with a bank first: cairn penalize {self.gallery.location} BANK; "
            "or drop the stage",
        )

    def _who(self, need: str) -> str:
        name = self._wanted_by.get(need)
        return "the context" if name is None else f"stage {name!r}"


def context_of(
    gallery: Gallery,
    needs: Collection[str],
    vectors_QD: Float32,
    photographs: Sequence[Photograph | str] | None = None,
    *,
    search: str = "exact",
    depths: Mapping[str, int] | None = None,
    matcher: AnyMatcher | None = None,
) -> Context:
    """Return a context that holds what is named, for queries upon a gallery.

    One context serves all recipes that need no more, and look no deeper, as a tuner wants it.

    Args:
        gallery: Where it comes from.
        needs: Names, as in ``cairn.rerank.context.NEEDS``.
        vectors_QD: (Q, D) unit vectors of the queries.
        photographs: Q files or arrays of pixels, for local features.
        search: For ``gallery.search``; see ``Stack.of``.
        depths: Entries of a row by need, as ``Pipeline.depths`` has them; at least :data:`DEPTHS`.
        matcher: See ``Stack.of``.

    Raises:
        CairnError: A need is unknown, or the gallery lacks what it is made of.
    """
    parts = Parts(gallery, search=search, depths=depths, matcher=matcher)
    return Context(parts.gallery_side(needs), parts.query_side(needs, vectors_QD, photographs))


def _of(side: str, needs: Collection[str]) -> list[str]:
    return [_SIDES[need][1] for need in needs if _SIDES[need][0] == side]


def _require_known(needs: Collection[str]) -> None:
    for need in needs:
        if need not in NEEDS:
            raise CairnError(f"unknown need {need!r}", todo=f"one of {', '.join(NEEDS)}")


def _is_file(path: str) -> bool:
    return bool(path) and Path(path).is_file()
