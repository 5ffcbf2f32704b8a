"""Every benchmark runs at a small size and prints its ratio; no time is asserted."""

from __future__ import annotations

import runpy
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
SMALL = {
    "search.py": ["--rows", "4x2000", "--data", "strong", "--k", "5", "--repeats", "1"],
    "growth.py": ["--sizes", "1000", "--queries", "8", "--k", "5", "--repeats", "1"],
    "gldv2.py": ["--scale", "0.001", "--slice", "8", "--sample", "2"],
    "approximate.py": [
        *("--gallery", "2000", "--dimension", "32", "--queries", "40", "--data", "strong"),
        *("--repeats", "1"),
    ],
    "gallery.py": ["--images", "300", "--dimension", "16"],
    "export.py": ["--backbone", "resnext_small", "--side", "32", "--rounds", "1"],
    "embed.py": ["--side", "32", "--images", "8", "--rounds", "1"],
    "inspection.py": ["--images", "2", "--rounds", "1", "--hashes", "2000"],
    "input.py": ["--side", "32", "--images", "2", "--rounds", "1"],
    "sampling.py": ["--photographs", "500", "--landmarks", "20", "--rounds", "1"],
    "head.py": [
        *("--landmarks", "2000", "--dimension", "16"),
        *("--batch", "4", "--processes", "2", "--steps", "1"),
    ],
    "cleaning.py": ["--landmarks", "8", "--epochs", "0", "--seeds", "1", "--resamples", "0"],
    "doctor.py": ["--images", "400", "--dimension", "16", "--peer-rows", "100"],
    "scoring.py": ["--queries", "600", "--rounds", "1", "--peer-resamples", "2"],
    "split.py": ["--images", "2000", "--queries", "200"],
    "manifest.py": [
        *("--rows", "2000", "--landmarks", "50", "--repeats", "1"),
        *("--only", "Parquet", "fingerprint"),
    ],
    "fetch.py": ["--tars", "2", "--megabytes", "1", "--rows", "2000"],
    "rerank.py": [
        *("--gallery", "500", "--queries", "1", "5", "--k", "30", "--dimension", "16"),
        *("--repeats", "1"),
    ],
    "tune.py": [
        *("--gallery", "500", "--queries", "60", "--dimension", "16", "--k", "20"),
        *("--folds", "2", "--sample", "3"),
    ],
    "renewal.py": ["--images", "400", "--queries", "120", "--dimension", "16", "--requests", "3"],
    "train.py": ["--side", "32", "--batch", "4", "--steps", "1", "--rounds", "1"],
}


APART = {"search.py", "growth.py", "head.py", "doctor.py", "split.py", "manifest.py", "fetch.py"}
"""These start processes of their own script, or read what the whole process holds."""


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., str]]:
    """Run a script in this process, which has loaded what most of a script's time goes into."""
    threads = torch.get_num_threads()

    def go(script: Path, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [str(script), *arguments])
        monkeypatch.setattr(sys, "path", [str(script.parent), *sys.path])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code: int | str | None = 0
            try:
                runpy.run_path(str(script), run_name="__main__")
            except SystemExit as end:
                code = end.code
            assert not code, code
        return capsys.readouterr().out

    yield go
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", SMALL)
def test_a_benchmark_prints_its_ratio(name: str, run: Callable[..., str]) -> None:
    script = ROOT / "benchmarks" / name
    if name not in APART:
        assert "x" in run(script, *SMALL[name])
        return
    command = [sys.executable, "-W", "ignore", str(script), *SMALL[name]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "x" in done.stdout


def test_no_benchmark_is_forgotten() -> None:
    scripts = {path.name for path in (ROOT / "benchmarks").glob("*.py")}
    # These have no small size and take minutes; `make bench` runs them.
    assert scripts == {*SMALL, "report.py", "serve.py", "world.py"}


@pytest.mark.parametrize(
    ("name", "option"),
    [
        *((name, "--photos") for name in ("photos.py", "leaks.py", "calibration.py")),
        ("stages.py", "--embeddings"),
    ],
)
def test_real_photographs_are_missed_politely(
    name: str, option: str, tmp_path: Path, run: Callable[..., str]
) -> None:
    script = ROOT / "benchmarks" / "real" / name
    assert "nothing to do" in run(script, option, str(tmp_path))
