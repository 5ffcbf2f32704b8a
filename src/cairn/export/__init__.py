"""Models as files that run without PyTorch: ONNX or OpenVINO, float32 or int8.

``export_model`` is what ``cairn export`` calls. What an export is, and when a gallery takes it:
docs/export.md.
"""

from cairn.export.export import export_model
from cairn.export.loss import MAX_LOSS, Loss, measure_loss
from cairn.export.parity import LEAST_COSINE, Parity

__all__ = ["LEAST_COSINE", "MAX_LOSS", "Loss", "Parity", "export_model", "measure_loss"]
