"""The calibrations of a gallery: kept beside its vectors, found by what they hold for.

A chance is fitted to one model, one set of images and labels, one penalty and one way to search.
Whatever changes any of these leaves none that may be used, and says what to do: a stale chance
looks just like a good one. Several may lie side by side, with and without the penalty, say.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cairn.calibration import (
    FALSE_ACCEPT_RATE,
    NUM_NEIGHBORS,
    Basis,
    Calibration,
    Features,
    calibrate,
    features_of,
    require_unknown,
)
from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.gallery.gallery import Gallery
from cairn.gallery.indexes import searcher_of
from cairn.gallery.place import Place
from cairn.gallery.validation import require_apart, tell_copies
from cairn.gallery.versions import Version
from cairn.progress import say
from cairn.tables import EmbeddingTable, require_same_model

FOLDER = "calibrations"


class Answered(Protocol):
    """Stages upon a gallery, as ``cairn.stacks.Stack``: what is known of their answers."""

    @property
    def basis(self) -> Mapping[str, Any]:
        """What their calibration holds for, beside gallery and search."""
        ...

    @property
    def uses_penalty(self) -> bool:
        """Whether a stage takes the gallery's penalty off."""
        ...

    def features_of(self, vectors_QD: Float32, photographs: Sequence[str]) -> Features:
        """Return the features of the answers to Q queries.

        Raises:
            CairnError: An answer hangs on the other queries, or a query has none.
        """
        ...


def basis_of(
    gallery: Gallery,
    *,
    use_penalty: bool = True,
    search: str = "exact",
    stages: Mapping[str, Any] | None = None,
) -> Basis:
    """Return what a calibration of this gallery, so searched, holds for."""
    from cairn.index_folder import digest

    table = gallery.table
    penalty = gallery.penalty if use_penalty else None
    return Basis(
        table.fingerprint,
        gallery.content_key,
        labels_digest(table.image_ids, table.landmark_ids),
        "" if penalty is None else digest(penalty.penalty),
        search,
        stages or {},
    )


def labels_digest(image_ids: Sequence[str], landmark_ids: Sequence[str]) -> str:
    """Return what the labels of a gallery's images are, in 32 hex digits."""
    labels = hashlib.sha256()
    for part in (image_ids, landmark_ids):
        labels.update("\0".join(part).encode() + b"\1")
    return labels.hexdigest()[:32]


def tell_if_stale(version: Version) -> bool:
    """Say on stderr that a gallery keeps calibrations, but none that holds for it now.

    It is for the person who changes a gallery, and reads no vectors. Whether a calibration serves
    is checked again when it is to be used (``calibration_of``).

    Args:
        version: The gallery's newest.

    Returns:
        Whether all calibrations are stale.
    """
    from cairn.index_folder import digest

    place = version.place
    kept = [file for folder in place.items(FOLDER) for file in place.items(folder.name)]
    if not kept:
        return False
    note, ids = version.facts.penalty, version.column("image_id").to_pylist()
    labels = labels_digest(ids, version.column("landmark_id").to_pylist())
    penalties = {""}
    if note is not None and place.has(name := note.file_name(version.content_key)):
        from cairn.penalty import PenaltyTable

        with place.local_file(name) as path:
            penalties.add(digest(PenaltyTable.read_for(path, ids).penalty))
    lost: list[str] = []
    for file in sorted(kept, key=lambda one: one.modified, reverse=True):
        try:
            made = _read(place, file.name).basis
        except CairnError:  # damaged: of no use, before as after
            continue
        now = replace(made, model=version.facts.fingerprint, content=version.content_key)
        now = replace(now, landmarks=labels)
        if made.penalty not in penalties:
            now = replace(now, penalty="another")
        differences = made.differences(now)
        if not differences:
            return False
        lost = lost or differences
    if not lost:
        return False
    say(
        f"the calibration of {place} is stale now, because of {_listed(lost)}: answers will have "
        f"no chance and no verdict; make it anew: cairn calibrate {place} MANIFEST"
    )
    return True


def calibrate_gallery(
    gallery: Gallery,
    queries: EmbeddingTable,
    truth: Mapping[str, Collection[str]],
    *,
    use_penalty: bool = True,
    search: str = "exact",
    stack: Answered | None = None,
    false_accept_rate: float = FALSE_ACCEPT_RATE,
    known_share: float | None = None,
    facts: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Calibration:
    """Return the calibration of a gallery by validation queries; nothing is written.

    A query whose landmark the gallery lacks is as unknown as one that shows none.

    Args:
        gallery: What recognizes, with the penalty that it will have.
        queries: Embeddings by its model, of photographs that neither training nor gallery has.
        truth: Query id -> its landmarks; empty for a non-landmark.
        use_penalty: Take the gallery's penalty off, where it has one.
        search: ``"exact"``, or ``"approximate"`` as for ``cairn.recognize``.
        stack: Stages upon this gallery, so searched, whose answers are to be judged; the penalty
            comes off where they say so.
        false_accept_rate: Of the threshold that will apply where none is asked for.
        known_share: See ``cairn.calibration.calibrate``.
        facts: Where the queries are from, to be kept; the date is added.
        seed: Of the cross-validation.

    Raises:
        CairnError: The queries are of another model, are among the gallery or its bank, or are too
            few, known or unknown.
    """
    require_same_model(queries, gallery.table, where=f"the queries and {gallery.location}")
    require_apart(gallery, queries.image_ids, queries.paths)
    landmarks = set(gallery.table.landmark_ids)
    shown = [set(truth[image_id]) & landmarks for image_id in queries.image_ids]
    require_unknown(sum(not one for one in shown), false_accept_rate)  # before the search
    use_penalty = use_penalty if stack is None else stack.uses_penalty
    searcher = searcher_of(gallery, search, use_penalty=use_penalty and stack is None)
    num = NUM_NEIGHBORS if stack is None else 1
    found = searcher.search(queries.vectors, min(num, len(gallery.table)))
    nearest = found.similarities
    if use_penalty and stack is None and gallery.penalty is not None:
        nearest = nearest + gallery.penalty.penalty[found.indices]
    tell_copies(queries, gallery, nearest.max(axis=1), np.asarray([bool(one) for one in shown]))
    if stack is None:
        features, stages = features_of(found, gallery.table.landmark_ids), None
    else:
        features, stages = stack.features_of(queries.vectors, queries.paths), stack.basis
    return calibrate(
        features,
        shown,
        basis=basis_of(gallery, use_penalty=use_penalty, search=search, stages=stages),
        false_accept_rate=false_accept_rate,
        known_share=known_share,
        facts=facts,
        seed=seed,
    )


def keep_calibration(gallery: Gallery, calibration: Calibration) -> str:
    """Keep a calibration with its gallery, in place of an older one; return its address.

    Raises:
        CairnError: It is of another state of the gallery.
    """
    if calibration.basis.content != gallery.content_key:
        raise _stale(gallery, ["the gallery's images"])
    name = _name(calibration.basis)
    with tempfile.TemporaryDirectory(prefix="cairn-") as folder:
        path = Path(folder) / "calibration.json"
        calibration.write(path)
        gallery.place.write_file(name, path)
    return str(gallery.folder / name) if not gallery.place.remote else gallery.place.uri(name)


def has_calibrations(gallery: Gallery) -> bool:
    """Say whether the gallery keeps a calibration, for whatever state of it."""
    return bool(gallery.place.items(FOLDER))


def calibration_of(
    gallery: Gallery,
    *,
    use_penalty: bool = True,
    search: str = "exact",
    stages: Mapping[str, Any] | None = None,
) -> Calibration:
    """Return the calibration that the gallery keeps for itself as it is and is searched.

    Raises:
        CairnError: It has none, or for other states only; what differs is said.
    """
    basis = basis_of(gallery, use_penalty=use_penalty, search=search, stages=stages)
    place, name = gallery.place, _name(basis)
    if place.has(name):
        found = _read(place, name)
        require_fresh(found, gallery, basis=basis)
        return found
    kept = [file for folder in place.items(FOLDER) for file in place.items(folder.name)]
    if not kept:
        raise CairnError(
            "this gallery has no calibration",
            where=gallery.location,
            todo=f"make one with `{_mend(gallery)}`",
        )
    newest = max(kept, key=lambda file: file.modified)
    differences = _read(place, newest.name).basis.differences(basis)
    raise _stale(gallery, differences, staged=bool(basis.stages))


def require_fresh(
    calibration: Calibration, gallery: Gallery, *, basis: Basis | None = None
) -> None:
    """Refuse a calibration of another state of the gallery.

    Args:
        calibration: From wherever.
        gallery: As it is now.
        basis: How it will be used; by default with its penalty and the calibration's own search.

    Raises:
        CairnError: It is stale; says what differs and what makes it anew.
    """
    made = calibration.basis
    if basis is None:
        basis = basis_of(gallery, search=made.search, stages=made.stages)
    differences = made.differences(basis)
    if differences:
        raise _stale(gallery, differences)


def _stale(gallery: Gallery, differences: Sequence[str], *, staged: bool = False) -> CairnError:
    todo = f"make it anew: {_mend(gallery)}{' --stages RECIPE' if staged else ''}"
    if differences and {"the penalty", "the search", "the re-ranking"}.issuperset(differences):
        return CairnError(
            "this gallery has no calibration for answers of this kind: what it has was made with "
            f"another setting of {_listed(differences)}",
            where=gallery.location,
            todo=todo,
        )
    told = f"{_listed(differences)} changed since" if differences else "it cannot be read"
    return CairnError(
        f"the calibration of this gallery is STALE: {told}; its chances mean nothing now",
        where=gallery.location,
        todo=todo,
    )


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _read(place: Place, name: str) -> Calibration:
    with place.local_file(name) as path:
        return Calibration.read(path)


def _name(basis: Basis) -> str:
    text = json.dumps(asdict(basis), sort_keys=True)
    return f"{FOLDER}/{basis.content}/{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"


def _mend(gallery: Gallery) -> str:
    return f"cairn calibrate {gallery.location} MANIFEST"
