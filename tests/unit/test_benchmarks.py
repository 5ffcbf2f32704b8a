"""Every benchmark runs at a small size and prints its ratio; no time is asserted."""

import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("name", SMALL)
def test_a_benchmark_prints_its_ratio(name: str) -> None:
    command = [sys.executable, "-W", "ignore", str(ROOT / "benchmarks" / name), *SMALL[name]]
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
def test_real_photographs_are_missed_politely(name: str, option: str, tmp_path: Path) -> None:
    script = ROOT / "benchmarks" / "real" / name
    command = [sys.executable, "-W", "ignore", str(script), option, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "nothing to do" in done.stdout
