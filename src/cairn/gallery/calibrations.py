"""The calibrations of a gallery: kept beside its vectors, found by what they hold for.

A chance is fitted to one model, one set of images and labels, one penalty and one way to search.
Whatever changes any of these leaves none that may be used, and says what to do: a stale chance
looks just like a good one. Several may lie side by side, with and without the penalty, say.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from cairn.calibration import Basis, Calibration
from cairn.errors import CairnError
from cairn.gallery.gallery import Gallery
from cairn.gallery.kept_validation import Way, kept_ways, name_of
from cairn.gallery.place import Item, Place
from cairn.gallery.versions import Version
from cairn.progress import say

FOLDER = "calibrations"


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


def way_of(basis: Basis, *, use_penalty: bool = True) -> Way:
    """Return the way of answering that a calibration is of, whatever the gallery holds."""
    if not basis.stages:
        return Way(use_penalty, basis.search)
    recipe = {name: value for name, value in basis.stages.items() if name != "bank"}
    return Way(search=basis.search, recipe=recipe)


def has_fresh(gallery: Gallery, basis: Basis) -> bool:
    """Say whether the gallery keeps a calibration for exactly this, and it can be read."""
    place, name = gallery.place, _name(basis)
    if not place.has(name):
        return False
    try:
        return not _read(place, name).basis.differences(basis)
    except CairnError:  # damaged
        return False


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
    kept = _kept(place)
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
        f"no chance and no verdict; make it anew: {_mend(place, version.facts.fingerprint)}"
    )
    return True


def keep_calibration(gallery: Gallery, calibration: Calibration) -> str:
    """Keep a calibration with its gallery, in place of an older one; return its address.

    Raises:
        CairnError: It is of another state of the gallery.
    """
    if calibration.basis.content != gallery.content_key:
        raise _stale(
            gallery, ["the gallery's images"], mend=_mend(gallery.place, calibration.basis.model)
        )
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
    way = way_of(basis, use_penalty=use_penalty)
    if place.has(name):
        found = _read(place, name)
        require_fresh(found, gallery, basis=basis)
        return found
    mend = _mend(place, basis.model, way)
    kept = _kept(place)
    if not kept:
        raise CairnError(
            "this gallery has no calibration",
            where=gallery.location,
            todo=f"make one with `{mend}`",
        )
    newest = max(kept, key=lambda file: file.modified)
    differences = _read(place, newest.name).basis.differences(basis)
    raise _stale(gallery, differences, mend=mend)


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
        mend = _mend(gallery.place, basis.model, way_of(basis, use_penalty=bool(made.penalty)))
        raise _stale(gallery, differences, mend=mend)


def _stale(gallery: Gallery, differences: Sequence[str], *, mend: str) -> CairnError:
    todo = f"make it anew: {mend}"
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


def _kept(place: Place) -> list[Item]:
    files = [file for folder in place.items(FOLDER) for file in place.items(folder.name)]
    return [file for file in files if file.name.endswith(".json")]  # none that is being written


def _name(basis: Basis) -> str:
    text = json.dumps(asdict(basis), sort_keys=True)
    return f"{FOLDER}/{basis.content}/{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"


def _mend(place: Place, model: str, way: Way | None = None) -> str:
    """Return the command that makes a calibration anew: the cheap one where a validation is kept.

    Args:
        place: The gallery.
        model: The fingerprint of its model.
        way: How it answers; None for any way.
    """
    is_kept = place.has(name_of(model, way)) if way else bool(kept_ways(place, model))
    if is_kept:
        return f"cairn gallery recalibrate {place}"
    staged = way is not None and way.recipe is not None
    return f"cairn calibrate {place} MANIFEST{' --stages RECIPE' if staged else ''}"
