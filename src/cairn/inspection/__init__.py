"""What is in a manifest's photographs: imbalance, unreadable files, duplicates and leaks."""

from cairn.inspection.duplicates import Duplicates, find_duplicates, near_duplicate_groups
from cairn.inspection.inspect import Inspection, inspect_manifest
from cairn.inspection.look import Looks, look_at

__all__ = [
    "Duplicates",
    "Inspection",
    "Looks",
    "find_duplicates",
    "inspect_manifest",
    "look_at",
    "near_duplicate_groups",
]
