"""A procedural world where 90 % of the queries show no landmark, embedded as `photos.py` does.

300 landmark queries and 2,700 others, all different, so that no share has to be reached by weights.
`shares.py` then measures stacks on it. Nothing was ever tuned on this world.

    python benchmarks/real/many_strangers.py
    python benchmarks/real/shares.py --embeddings real/strangers --rows centred two-views
"""

from __future__ import annotations

from pathlib import Path

from photos import ROOT, photographs_parser, run_row

from cairn.manifest import Manifest
from cairn.world import WorldConfig, make_world

CONFIG = WorldConfig(seed=98, nonlandmark_share=0.9, size=160, variety=1 / 3)


def main() -> None:
    parser = photographs_parser(__doc__)
    parser.add_argument("--rows", nargs="*", default=["centred", "two-views"])
    parser.add_argument("--out", type=Path, default=ROOT / "real" / "strangers")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    path = options.out / "world" / "manifest.parquet"
    if not path.is_file():
        make_world(options.out / "world", CONFIG, workers=options.workers)
    manifest = Manifest.read(path)
    print(f"{len(manifest)} photographs: {manifest.summary()}")
    for name in options.rows:
        row = run_row(name, manifest, options.weights, options.out / name)
        print(f"{row['title']}: {row.get('plain')}")


if __name__ == "__main__":
    main()
