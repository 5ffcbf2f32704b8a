"""Where a model looks, over the photograph: context masks, and what speaks for a match.

``context_masks`` shows the attention of Global Context blocks; ``similarity_map`` and
``occlusion_map`` show, for any backbone, which places of a photograph speak for its likeness to
another. docs/attention.md says what these maps mean and what they do not.
"""

from cairn.attention.look import Looked, look
from cairn.attention.masks import context_masks, stage_masks
from cairn.attention.overlay import overlay, overlay_signed
from cairn.attention.placing import PlacedMap
from cairn.attention.similarity import SimilarityMap, occlusion_map, similarity_map

__all__ = [
    "Looked",
    "PlacedMap",
    "SimilarityMap",
    "context_masks",
    "look",
    "occlusion_map",
    "overlay",
    "overlay_signed",
    "similarity_map",
    "stage_masks",
]
