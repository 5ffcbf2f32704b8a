"""Views and ensembles on real photographs: what mirror images, scales and two models together gain.

Two models of one frozen backbone: features less their mean on a centre crop of 224 px, and a
whitened neck on two views of 256 px. Weights and curves are fitted on one half of the queries, and
the other half is scored once, each row beside a plain one in the same resamples. Everything that
takes long is kept under ``real/`` and continued. Where the photographs are not at hand it says so
and ends well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from photos import MOBILENET, ROLES, ROOT, ROWS, photographs_parser

from cairn.config import read_recipe
from cairn.embed import embed
from cairn.manifest import Manifest
from cairn.progress import say
from cairn.sources.tabular import from_table
from cairn.tables import EmbeddingTable
from cairn.train import train
from cairn.views import SCALES, add_views

MEMBERS = {
    "centred": ("centred", ()),
    "two-views": ("two-views", ("model.preprocess.image_size=256",)),
}
VIEWS: dict[str, dict[str, Any]] = {
    "flip": {"flip": True},
    "scales": {"scales": SCALES},
    "flip-scales": {"flip": True, "scales": SCALES},
}


def main() -> None:
    parser = photographs_parser(__doc__)
    parser.add_argument("--manifest", default="manifest.csv")
    parser.add_argument("--out", type=Path, default=ROOT / "real")
    options = parser.parse_args()
    table = options.photos / options.manifest
    if not table.is_file() or not options.weights.is_file():
        print(f"no photographs or weights at {options.photos}: nothing to do (--photos, --weights)")
        return
    manifest = from_table(table, roles=ROLES)
    out = options.out / table.stem / "ensembles"
    tables = embeddings(manifest, options.weights, out)
    print({name: len(one) for name, one in tables.items()})


def embeddings(manifest: Manifest, weights: Path, out: Path) -> dict[str, EmbeddingTable]:
    """Return the embeddings of all photographs by each model, made where they are not yet."""
    models = {name: trained(name, manifest, weights, out / name) for name in MEMBERS}
    for name, views in VIEWS.items():
        models[f"centred {name}"] = out / "centred" / name
        if not models[f"centred {name}"].is_dir():
            add_views(models["centred"], models[f"centred {name}"], **views)
    asked = manifest.select("train", "query")
    found = {}
    for name, model in models.items():
        folder = out / "embeddings" / name.replace(" ", "-")
        done = embed(model, asked, folder)
        say(f"{name}: {done.num_embedded} photographs in {done.seconds:.0f} s")
        found[name] = EmbeddingTable.read(folder)
    return found


def trained(name: str, manifest: Manifest, weights: Path, out: Path) -> Path:
    """Return the model folder of a member; closed-form necks take seconds."""
    if not (out / "run" / "model" / "config.json").is_file():
        row, changes = MEMBERS[name]
        _, recipe, overrides = ROWS[row]
        settings = (*MOBILENET, f"model.weights={weights}", *overrides, *changes)
        resume = (out / "run" / "config.json").is_file()
        train(read_recipe(recipe, settings), manifest, out=out / "run", resume=resume)
    return out / "run" / "model"


if __name__ == "__main__":
    main()
