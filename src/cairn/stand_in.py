"""Which models may embed queries for a gallery: the one that made it, and exports that stand in.

A float32 export computes what its source does, so it carries the source's fingerprint. An int8 one
computes something else: it is let through where its loss of GAP was measured when it was exported,
and was at most what was allowed then (``cairn.exported.Exported.stands_for``).
"""

from __future__ import annotations

from pathlib import Path

from cairn.checkpoint import model_fingerprint
from cairn.errors import CairnError
from cairn.exported import is_export, read_export


def require_model_of(location: object, wanted: str, fingerprint: str, stands_for: str = "") -> None:
    """Refuse a model that is neither the gallery's nor stands in for it.

    Args:
        location: The gallery.
        wanted: Fingerprint of the model that made it.
        fingerprint: That of the model at hand.
        stands_for: Whom the model at hand may stand in for; "" for no one.

    Raises:
        CairnError: It is another.
    """
    if wanted not in (fingerprint, stands_for):
        raise CairnError(
            f"the gallery was made by model {wanted}, this is {fingerprint or 'another'}",
            where=location,
            todo="give no other model than the gallery's own, or an export of it",
        )


def require_stand_in(model_dir: Path, wanted: str, location: object) -> None:
    """Refuse a model folder or export that may not embed queries for a gallery, before any work.

    Args:
        model_dir: The model at hand.
        wanted: Fingerprint of the model that made the gallery.
        location: The gallery.

    Raises:
        CairnError: It is of another model, or in int8 and not measured, or loses too much.
    """
    if not is_export(model_dir):
        require_model_of(location, wanted, model_fingerprint(model_dir))
        return
    exported = read_export(model_dir)
    if exported.source == wanted and not exported.stands_for:
        told = "was not measured"
        if exported.loss is not None:
            told = f"is {exported.loss['lost']:.4f}, above {exported.loss['allowed']}"
        raise CairnError(
            f"this export is of the gallery's model in int8, and its loss of GAP {told}",
            where=model_dir,
            todo="export again with --gallery, and a --max-loss that you accept; or embed and "
            "build a gallery by the export itself",
        )
    require_model_of(location, wanted, exported.fingerprint, exported.stands_for)
