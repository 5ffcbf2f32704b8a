"""``cairn gallery recalibrate``: chances and verdicts again after a change, without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cairn.cli.output import Json, emit

if TYPE_CHECKING:
    from cairn.renewal import Renewed


def recalibrate(
    gallery: Annotated[str, typer.Argument(help="The gallery: a folder, or s3://bucket/prefix.")],
    as_json: Json = False,
) -> None:
    """Make stale calibrations anew by the queries that `cairn calibrate` kept with the gallery.

    Nothing is embedded. Queries that the gallery or its bank has by now are left out.
    """
    from cairn.calibration import report
    from cairn.renewal import recalibrate as recalibrate_gallery

    done = recalibrate_gallery(gallery)
    values = [
        {
            "way": None if one.way is None else one.way.to_json(),
            "state": one.state,
            "calibration": one.address or None,
            "num_left_out": one.num_left_out,
            "problem": None if one.problem is None else one.problem.what,
            **({} if one.calibration is None else {"report": report(one.calibration)}),
        }
        for one in done
    ]
    text = "\n".join(_line(one) for one in done)
    emit({"gallery": gallery, "calibrations": values}, text, as_json=as_json)
    for one in done:
        if one.problem is not None:
            raise one.problem


def _line(one: Renewed) -> str:
    way = one.way
    if way is None:
        name = "a calibration"
    elif way.recipe is not None:
        name = "stages " + ", ".join(str(stage["stage"]) for stage in way.recipe["stages"])
    else:
        name = f"nearest image, {'with' if way.use_penalty else 'without'} the penalty"
    if way is not None and way.search != "exact":
        name += f", {way.search} search"
    made = one.calibration
    if made is None:
        return f"{name}: {'fresh' if one.state == 'fresh' else 'not made'}"
    left_out = f", {one.num_left_out} left out" if one.num_left_out else ""
    return (
        f"{name}: made anew by {len(made.judged)} queries{left_out}, {made.judged.num_unknown} of "
        f"them unknown\nkept: {one.address}"
    )
