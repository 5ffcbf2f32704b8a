"""The procedural world: landmarks that never were, photographed by tourists that never came.

    config = WorldConfig(seed=1, num_landmarks=150)
    manifest = make_world(Path("world"), config)
    contact_sheet(manifest, Path("sheet.png"))

Structures (`structures` and its families) stand in settings (`setting`), are photographed
(`camera`, `conditions`, `photograph`) through a small rasterizer (`raster`, `shading`, `textures`)
and written as an ordinary folder of photographs (`dataset`). Nothing is read or downloaded.
"""

from cairn.world.config import WorldConfig, photo_counts
from cairn.world.contact import contact_sheet
from cairn.world.dataset import make_world
from cairn.world.photograph import render_photo

__all__ = ["WorldConfig", "contact_sheet", "make_world", "photo_counts", "render_photo"]
