"""The names of the package that stay fixed, as a person reaches them after ``import cairn``."""

from __future__ import annotations

import subprocess
import sys

import pytest

import cairn

FIXED = (
    "cairn.Recognizer.load",
    "cairn.metrics.global_average_precision",
    "cairn.metrics.mean_average_precision",
    "cairn.metrics.top1_accuracy",
    "cairn.search.search",
    "cairn.penalty.penalty_table",
    "cairn.model.build",
    "cairn.heads.ArcFace",
    "cairn.heads.CosFace",
    "cairn.heads.NormalizedSoftmax",
    "cairn.heads.Softmax",
    "cairn.heads.SubCenterArcFace",
)


def test_the_fixed_names_need_no_further_import() -> None:
    """In a fresh interpreter: here other tests have imported everything."""
    lines = [
        "import sys, warnings",
        "warnings.simplefilter('ignore')",
        "import cairn",
        "assert 'torch' not in sys.modules",
        "cairn.metrics.top1_accuracy",
        "assert 'torch' not in sys.modules",
        *(f"assert callable({name})" for name in FIXED),
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, timeout=120)


def test_other_names_are_absent() -> None:
    with pytest.raises(AttributeError, match="no attribute 'recognise'"):
        cairn.recognise  # noqa: B018
