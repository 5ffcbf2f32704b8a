"""What is in a manifest's photographs: imbalance, unreadable files, duplicates and leaks."""

from cairn.inspection.inspect import Inspection, inspect_manifest

__all__ = ["Inspection", "inspect_manifest"]
