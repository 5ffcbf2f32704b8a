"""The report at the size of Google Landmarks v2: written, then opened in a browser.

Makes predictions of 100,000 queries, 98 % of them of no landmark as in Google Landmarks v2's test
set, with five pieces of evidence each, writes the evaluation folder and, where Playwright and a
Chromium are at hand, opens the page and times it from the navigation's start to its load event.
``--photos`` shows real photographs: a folder of JPEG files, as many as there are, over and over.

    python benchmarks/report.py
    python benchmarks/report.py --queries 117577 --photos ../shared/photos
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cairn.domain import Evidence, Landmark, Prediction
from cairn.evaluate import evaluate
from cairn.report import write_report
from cairn.runs import peak_memory
from cairn.submission import by_image

NUM_LANDMARKS = 81_313
KNOWN = 1_937 / 117_577
PAGES = ((1200, 900, "desktop"), (390, 844, "phone"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--queries", type=int, default=100_000)
    parser.add_argument("--photos", type=Path, help="Folder of photographs to show.")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--out", type=Path, help="Keep the folder here.")
    options = parser.parse_args()
    photos = [] if options.photos is None else sorted(options.photos.rglob("*.jpg"))
    print(f"{os.cpu_count()} processors, {len(photos)} photographs")
    predictions, truth, counts, paths = make(options.queries, photos)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary) / "evaluation"
        before = peak_memory() or 0
        begun = time.perf_counter()
        report = evaluate(
            by_image(predictions),
            truth,
            gallery_counts=counts,
            num_resamples=options.resamples,
        )
        scored = time.perf_counter()
        page = write_report(
            folder,
            report=report,
            predictions=predictions,
            truth=truth,
            query_paths=paths,
            gallery_counts=counts,
            landmarks={name: about(name) for name in counts},
        )
        written = time.perf_counter()
        grown = (peak_memory() or 0) - before
        print(f"scores of {options.queries:,} queries  {scored - begun:8.2f} s")
        print(f"folder written              {written - scored:8.2f} s")
        print(f"memory beyond predictions   {grown / 2**20:8.0f} MiB")
        print(f"report.html                 {page.stat().st_size / 2**20:8.2f} MiB")
        table = (folder / "predictions.parquet").stat().st_size
        print(f"predictions.parquet         {table / 2**20:8.2f} MiB")
        open_page(page, options.chromium)


def make(
    num_queries: int, photos: Sequence[Path]
) -> tuple[list[Prediction], dict[str, frozenset[str]], dict[str, int], dict[str, Path]]:
    """Return predictions of a calibrated gallery, their truth, gallery counts and photographs."""
    rng = np.random.default_rng(0)
    sizes = np.minimum(1 + rng.pareto(0.9, NUM_LANDMARKS) * 3, 8000).astype(int)
    known = rng.random(num_queries) < KNOWN
    known[0] = True
    true = rng.integers(NUM_LANDMARKS, size=num_queries)
    right = known & (rng.random(num_queries) < 0.7)
    said = np.where(right, true, rng.integers(NUM_LANDMARKS, size=num_queries))
    scores = np.where(right, rng.normal(0.6, 0.15, num_queries), rng.normal(0.3, 0.1, num_queries))
    chances = 1 / (1 + np.exp(-14 * (scores - 0.6)))

    def photo(number: int) -> str:
        return str(photos[number % len(photos)]) if photos else f"{number}.jpg"

    predictions, truth, paths = [], {}, {}
    for row in range(num_queries):
        image_id, landmark = f"{row:016x}", str(said[row])
        evidence = tuple(
            Evidence(f"g{row}-{place}", landmark, photo(7 * row + place), scores[row] - place / 50)
            for place in range(5)
        )
        chance = float(chances[row])
        predictions.append(
            Prediction(
                image_id,
                landmark,
                float(scores[row]),
                evidence,
                about(landmark),
                chance,
                chance >= 0.5,
            )
        )
        truth[image_id] = frozenset((str(true[row]),)) if known[row] else frozenset()
        if photos:
            paths[image_id] = Path(photo(row))
    counts = {str(number): int(size) for number, size in enumerate(sizes.tolist())}
    return predictions, truth, counts, paths


def about(landmark: str) -> Landmark:
    category = ("church", "castle", "bridge", "mountain", "museum", "tower")[int(landmark) % 6]
    return Landmark(landmark, f"Landmark {landmark}", category)


def open_page(page: Path, chromium: str) -> None:
    """Print how long a browser takes from the navigation's start to the load event."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        print("no Playwright: the page was not opened")
        return
    if not Path(chromium).exists():
        print(f"no browser at {chromium}: the page was not opened (--chromium names another)")
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        for width, height, name in PAGES:
            tab = browser.new_page(viewport={"width": width, "height": height})
            tab.goto(page.absolute().as_uri(), wait_until="load")
            times = tab.evaluate(
                "() => { const t = performance.getEntriesByType('navigation')[0];"
                " return [t.domContentLoadedEventEnd, t.loadEventEnd, t.responseEnd]; }"
            )
            begun = time.perf_counter()
            tab.screenshot()
            painted = time.perf_counter() - begun
            wide = tab.evaluate("document.documentElement.scrollWidth")
            print(
                f"{name:<8} {width} px: load event after {times[1] / 1000:.2f} s, a screen of it "
                f"taken in {painted:.2f} s; content is {wide} px wide"
            )
            tab.close()
        browser.close()


if __name__ == "__main__":
    main()
