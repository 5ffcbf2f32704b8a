"""Examples for the OpenAPI document; a test sends every one of them."""

from __future__ import annotations

import base64
import io
from functools import cache
from typing import Any

from PIL import Image

from cairn.serve.vision import LANDMARKS


@cache
def example_image() -> str:
    """Return a small JPEG, half sky and half stone, in base64."""
    image = Image.new("RGB", (32, 32), (120, 160, 220))
    image.paste((150, 130, 110), (0, 16, 32, 32))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=60)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


JSON_EXAMPLE: dict[str, Any] = {
    "one photograph": {"value": {"images": [{"content": example_image(), "image_id": "mine"}]}}
}
GOOGLE_EXAMPLE: dict[str, Any] = {
    "landmark detection": {
        "value": {
            "requests": [
                {
                    "image": {"content": example_image()},
                    "features": [{"type": LANDMARKS, "maxResults": 3}],
                }
            ]
        }
    }
}
MERGE_EXAMPLE: dict[str, Any] = {"merge": {"value": {"into": "the-landmark-that-stays"}}}
RENAME_EXAMPLE: dict[str, Any] = {"rename": {"value": {"name": "Old Tower"}}}
ROLLBACK_EXAMPLE: dict[str, Any] = {
    "a number": {"value": {"version": 1}},
    "a tag": {"value": {"version": "good"}},
}
IMPORT_EXAMPLE: dict[str, Any] = {"a folder": {"value": {"folder": "new"}}}
