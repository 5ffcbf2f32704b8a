"""Answers as people and programs read them: a table, or values for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cairn.domain import Prediction
    from cairn.recognize import Answers

_UNFOLDED = 10_000  # columns: where no terminal shows the table, paths stay whole


def as_json_of(answers: Answers) -> dict[str, Any]:
    """Return answers as one value for JSON, with every score spelt out."""
    predictions = []
    for prediction in answers.predictions:
        value = asdict(prediction)
        value["landmark_name"] = (prediction.landmark and prediction.landmark.name) or None
        for row, evidence in zip(value["evidence"], prediction.evidence, strict=True):
            row["score"] = evidence.score
        predictions.append(value)
    return {"predictions": predictions, "unreadable": dict(answers.unreadable)}


def as_table(predictions: Sequence[Prediction]) -> str:
    """Return answers as a table, a line for each gallery image that spoke."""
    from rich.console import Console
    from rich.table import Table

    judged = any(prediction.is_known is not None for prediction in predictions)
    table = Table(box=None, pad_edge=False)
    for title, justify in (
        ("photograph", "left"),
        *([("verdict", "left"), ("chance", "right")] if judged else []),
        ("landmark", "left"),
        ("confidence", "right"),
        ("similarity", "right"),
        ("penalty", "right"),
        ("evidence", "left"),
    ):
        table.add_column(title, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for prediction in predictions:
        landmark = prediction.landmark_id or ""
        name = prediction.landmark and prediction.landmark.name
        shown = f"{name} ({landmark})" if name and name != landmark else landmark
        first = (
            prediction.image_id,
            *(_verdict(prediction) if judged else ()),
            shown,
            f"{prediction.confidence:.4f}",
        )
        for evidence in prediction.evidence:
            other = "" if evidence.landmark_id == landmark else f"  [{evidence.landmark_id}]"
            numbers = (f"{evidence.similarity:.4f}", f"{evidence.penalty:.4f}")
            table.add_row(*map(_plain, (*first, *numbers, f"{evidence.path}{other}")))
            first = ("",) * len(first)
    console = Console(width=None if Console().is_terminal else _UNFOLDED)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _verdict(prediction: Prediction) -> tuple[str, str]:
    if prediction.probability is None:
        return "", ""
    return "known" if prediction.is_known else "unknown", f"{prediction.probability:.0%}"


def _plain(text: str) -> str:
    """Return ``text`` so that square brackets in names are shown, not read as markup."""
    from rich.markup import escape

    return escape(text)
