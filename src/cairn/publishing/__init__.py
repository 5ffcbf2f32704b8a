"""Galleries for others: one folder with model, vectors, penalty, calibration and card, or the hub.

``pack`` writes the folder, ``unpack`` takes it in again after checking all of it; ``push`` and
``pull`` do the same by way of a folder or a repository of the Hugging Face hub. No photograph goes
along, and no path of the machine that packed.
"""

from __future__ import annotations

from cairn.publishing.hub import pull, push
from cairn.publishing.package import CONTENTS_NAME, Package, pack, read_package, unpack

__all__ = ["CONTENTS_NAME", "Package", "pack", "pull", "push", "read_package", "unpack"]
