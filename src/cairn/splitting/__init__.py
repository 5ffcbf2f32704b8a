"""Benchmarks that do not flatter: a labelled set split without leaks, and a check that it is."""

from cairn.splitting.findings import Finding, Verification
from cairn.splitting.groups import LeakGroups, leak_groups
from cairn.splitting.halves import part_queries
from cairn.splitting.settings import SplitSettings
from cairn.splitting.split import SplitResult, split_manifest
from cairn.splitting.verify import verify_split
from cairn.splitting.write import write_split

__all__ = [
    "Finding",
    "LeakGroups",
    "SplitResult",
    "SplitSettings",
    "Verification",
    "leak_groups",
    "part_queries",
    "split_manifest",
    "verify_split",
    "write_split",
]
