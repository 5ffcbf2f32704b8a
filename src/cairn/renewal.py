"""Making calibrations anew by the validations that a gallery keeps: search and fit, no network.

A change of the gallery makes chances stale, and the queries that they were fitted on stay the same.
So they are asked again, as they are embedded already. What the gallery or its bank has of them by
then is left out, and comes back when the gallery loses it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cairn.calibration import Basis, Calibration
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.gallery.calibrating import AT_ONCE, calibrate_gallery
from cairn.gallery.calibrations import basis_of, has_fresh, keep_calibration
from cairn.gallery.kept_validation import FOLDER, Validation, Way, kept_ways, read_validation
from cairn.rerank import compose
from cairn.searchers import Searcher
from cairn.stacks import Stack


@dataclass(frozen=True, eq=False)
class Renewed:
    """What came of one calibration.

    Args:
        way: How the gallery answers there; None where that cannot be read.
        state: It was made anew, was fresh, or could not be made.
        calibration: Made anew.
        address: Where that is kept.
        problem: Why it could not be made.
    """

    way: Way | None
    state: Literal["renewed", "fresh", "failed"]
    calibration: Calibration | None = None
    address: str = ""
    problem: CairnError | None = None

    @property
    def num_left_out(self) -> int:
        """Validation queries that gallery or bank have now."""
        return 0 if self.calibration is None else int(self.calibration.facts.get("left_out", 0))


def recalibrate(location: Path | str) -> list[Renewed]:
    """Make every stale calibration of a gallery anew that keeps its validation; say what came.

    Args:
        location: The gallery.

    Raises:
        CairnError: It keeps no validation for its model, or cannot be loaded.
    """
    gallery = Gallery.load(location)
    names = kept_ways(gallery.place, gallery.table.fingerprint)
    if not names:
        is_other = bool(gallery.place.items(FOLDER))
        raise CairnError(
            "the validation that this gallery keeps was embedded by another model"
            if is_other
            else "this gallery keeps no validation to make a calibration anew by",
            where=location,
            todo=f"give one: cairn calibrate {location} MANIFEST; it is kept from then on",
        )
    return [_renewed(gallery, name) for name in names]


def renew(
    gallery: Gallery,
    validation: Validation,
    *,
    stack: Stack | None = None,
    searcher: Searcher | None = None,
    at_once: int = AT_ONCE,
) -> Calibration:
    """Return the calibration that a kept validation gives for a gallery; nothing is written.

    Where the gallery has none of the queries it is, but for its date, what ``cairn calibrate``
    would make of the same photographs.

    Args:
        gallery: As it is now, with its penalty.
        validation: Embedded by the gallery's model.
        stack: The stages of a validation with a recipe, from ``stack_of``.
        searcher: Searches the gallery in that way, where one is at hand.
        at_once: Queries that are searched for together.

    Raises:
        CairnError: Too few queries are left, or photographs that a stage looks at are gone.
    """
    if stack is not None and "queries.inliers" in stack.pipeline.needs:
        _require_photographs(validation)
    return calibrate_gallery(
        gallery,
        validation.queries,
        validation.truth,
        use_penalty=validation.way.use_penalty,
        search=validation.way.search,
        stack=stack,
        false_accept_rate=validation.false_accept_rate,
        known_share=validation.known_share,
        facts=validation.facts,
        seed=validation.seed,
        leave_out=True,
        searcher=searcher,
        at_once=at_once,
    )


def stack_of(gallery: Gallery, way: Way) -> Stack | None:
    """Return the stages of a way of answering upon a gallery; None where it has none.

    Raises:
        CairnError: The recipe is of another Cairn, or the gallery lacks what a stage needs.
    """
    if way.recipe is None:
        return None
    pipeline = compose(
        way.recipe["stages"],
        num_hits=way.recipe["num_hits"],
        where="the kept validation's recipe",
        online=True,
    )
    return Stack.of(gallery, pipeline, search=way.search)


def basis_now(gallery: Gallery, way: Way, stack: Stack | None = None) -> Basis:
    """Return what a calibration of a way of answering holds for as the gallery is now."""
    return basis_of(
        gallery,
        use_penalty=way.use_penalty if stack is None else stack.uses_penalty,
        search=way.search,
        stages=None if stack is None else stack.basis,
    )


def _renewed(gallery: Gallery, name: str) -> Renewed:
    way = None
    try:
        validation = read_validation(gallery.place, name)
        way = validation.way
        stack = stack_of(gallery, way)
        if has_fresh(gallery, basis_now(gallery, way, stack)):
            return Renewed(way, "fresh")
        made = renew(gallery, validation, stack=stack)
        return Renewed(way, "renewed", made, keep_calibration(gallery, made))
    except CairnError as error:
        return Renewed(way, "failed", problem=error)


def _require_photographs(validation: Validation) -> None:
    gone = [path for path in validation.queries.paths if not Path(path).is_file()]
    if gone:
        raise CairnError(
            f"stage 'verify' looks at the validation's photographs, and {len(gone)} of "
            f"{len(validation.queries)} are not where they were",
            where=gone[0] or "no path",
            todo="put them back, or give others: cairn calibrate GALLERY MANIFEST --stages RECIPE",
        )
