"""The evaluation folder: report.json, report.html, predictions.parquet, submission.csv."""

from cairn.report.cases import PickedImage
from cairn.report.write import write_report

__all__ = ["PickedImage", "write_report"]
