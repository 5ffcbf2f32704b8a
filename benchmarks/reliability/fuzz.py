"""Ten thousand damaged photographs and requests: no 5xx, no crash, no leak.

``python benchmarks/reliability/fuzz.py [--files 10000] [--seed 0]``. The server runs in a process
of its own; photographs of every format are damaged in every way below and sent in every way that
the server takes. Then all of it is sent once more: allocators keep what the largest pictures took,
so memory grows in the first round, and goes up and down with them in the second; what does not come
back there is a leak. Ends with 1 where an answer
was a 5xx, the server went, or memory leaked.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import struct
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from measuring.served import FORM_TYPE, Served, client, form, served
from measuring.small_gallery import make_gallery, noise

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
MAX_GROWTH_MIB = 24.0
CLIENTS = 4


def seeds(random: np.random.Generator) -> list[bytes]:
    """Return sound photographs of every format that this Pillow writes, and some traps."""
    pixels = random.integers(0, 255, (96, 128, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((160, 120))
    found = []
    Image.init()
    for name in FORMATS:
        if name in Image.SAVE:
            buffer = io.BytesIO()
            image.save(buffer, format=name)
            found.append(buffer.getvalue())
    for mode, name, options in (
        ("L", "JPEG", {}),
        ("CMYK", "JPEG", {"progressive": True}),
        ("RGB", "JPEG", {"progressive": True, "exif": _exif()}),
        ("P", "PNG", {}),
        ("RGBA", "PNG", {}),
        ("I;16", "TIFF", {}),
        ("RGB", "TIFF", {"compression": "tiff_lzw"}),
    ):
        buffer = io.BytesIO()
        image.convert("L" if mode == "I;16" else "RGB").convert(mode).save(
            buffer, format=name, **options
        )
        found.append(buffer.getvalue())
    frames = [image.rotate(10 * turn) for turn in range(8)]
    buffer = io.BytesIO()
    frames[0].save(buffer, format="GIF", save_all=True, append_images=frames[1:])
    return [*found, buffer.getvalue(), png_bomb(), gif_bomb(), b"<svg/>", b"%PDF-1.7", b"PK\3\4"]


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "x" * 500
    return exif


def png_bomb(side: int = 60_000) -> bytes:
    """Return a PNG of a few kilobytes that unfolds to gigabytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def gif_bomb() -> bytes:
    """Return a GIF whose screen is as large as GIFs can be."""
    return b"GIF89a" + struct.pack("<HHBBB", 0xFFFF, 0xFFFF, 0, 0, 0) + b"\x3b"


def damaged(content: bytes, others: list[bytes], random: np.random.Generator) -> bytes:
    """Return a file with something wrong."""
    data = bytearray(content)

    def place() -> int:
        # Headers are where decoders are led astray: half of all damage is done there.
        return int(random.integers(min(len(data), 64) if random.random() < 0.5 else len(data)))

    for _ in range(int(random.integers(1, 6))):
        if not data:
            break
        kind, at = int(random.integers(8)), place()
        if kind == 0:
            data[at] ^= 1 << int(random.integers(8))
        elif kind == 1:
            data[at] = int(random.integers(256))
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            size = int(random.choice((1, 2, 4)))
            value = int(random.choice(EXTREMES)) & ((1 << 8 * size) - 1)
            data[at : at + size] = value.to_bytes(
                size, "big" if random.random() < 0.5 else "little"
            )
        elif kind == 4:
            part = data[at : at + int(random.integers(1, 200))]
            data[at:at] = part * int(random.integers(1, 20))
        elif kind == 5:
            del data[at : at + int(random.integers(1, 200))]
        elif kind == 6:
            other = others[int(random.integers(len(others)))]
            data = data[:at] + other[int(random.integers(len(other) or 1)) :]
        else:
            data += b"\0" * int(random.integers(1, 5000)) + b"<script>alert(1)</script>PK\3\4"
    return bytes(data)


def request_of(content: bytes, random: np.random.Generator) -> tuple[str, bytes, dict[str, str]]:
    """Return path, body and headers of one of the ways to send a file, some of them malformed."""
    kind = int(random.integers(7))
    if kind == 0:
        return "/v1/recognize", content, {"Content-Type": "image/jpeg"}
    if kind == 1:
        return "/v1/recognize?top=3", form([("image", "a.jpg", content)]), FORM_TYPE
    if kind == 2:
        parts: list[tuple[str, str | None, bytes]] = [("image", None, content), ("x", None, b"y")]
        return "/v1/recognize", form([("image", "../../a", content), *parts]), FORM_TYPE
    if kind == 3:
        body = bytearray(form([("image", "a.jpg", content)]))
        for _ in range(3):
            body[int(random.integers(min(len(body), 120)))] = int(random.integers(256))
        return "/v1/recognize", bytes(body), FORM_TYPE
    text = base64.b64encode(content).decode()
    json_type = {"Content-Type": "application/json"}
    if kind == 4:
        return "/v1/recognize", json.dumps({"images": [{"content": text}]}).encode(), json_type
    if kind == 5:
        features = [{"type": "LANDMARK_DETECTION"}]
        asked = {"requests": [{"image": {"content": text}, "features": features}]}
        return "/v1/images:annotate", json.dumps(asked).encode(), json_type
    body = bytearray(json.dumps({"images": [{"content": text, "image_id": "é\ud800"}]}).encode())
    for _ in range(2):
        body[int(random.integers(min(len(body), 60)))] = int(random.integers(256))
    return "/v1/recognize", bytes(body), json_type


def fuzz(server: Served, files: int, seed: int) -> tuple[int, list[float]]:
    """Send damaged files; return how many answers were 5xx or none, and the MiB held."""
    sound = seeds(np.random.default_rng(seed))
    found: Counter[int] = Counter()
    bad: list[str] = []
    memory: list[float] = []
    lock = threading.Lock()
    numbers = iter(range(files))

    def work() -> None:
        with client(server) as connection:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                random = np.random.default_rng((seed, number))
                content = damaged(sound[number % len(sound)], sound, random)
                path, body, headers = request_of(content, random)
                try:
                    status, answer = connection.send("POST", path, body, headers)
                except OSError as error:
                    status, answer = 0, repr(error).encode()
                with lock:
                    found[status] += 1
                    if status >= 500 or status == 0:
                        bad.append(f"file {number}: {status} {answer[:300]!r}")
                    if number % 200 == 0:
                        memory.append(server.rss_mib())
                    if number % 1000 == 0:
                        print(f"{number} files: {memory[-1]:.0f} MiB, {dict(found)}", flush=True)

    crew = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for one in crew:
        one.start()
    for one in crew:
        one.join()
    for line in bad[:20]:
        print(line)
    print(f"answers by status: {dict(sorted(found.items()))}")
    return len(bad), memory


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    wishes = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        gallery = make_gallery(root, noise(root / "photos"))
        begin = time.monotonic()
        with served(gallery, options=["--backend", "torch", "--device", "cpu"]) as server:
            rounds = [fuzz(server, wishes.files, wishes.seed) for _ in range(2)]
            bad, (first, second) = sum(one for one, _ in rounds), (one for _, one in rounds)
            growth = min(second[len(second) // 2 :]) - first[-1]
            is_alive = server.ask("/healthz")["status"] == "ok"
            ended = server.stop()
        print(
            f"2 x {wishes.files} damaged files in {time.monotonic() - begin:.0f} s: {bad} answers "
            f"of 5xx or none, memory grew by {growth:.1f} MiB in the second round, exit {ended}"
        )
    if bad or not is_alive or growth > MAX_GROWTH_MIB or ended != 0:
        sys.exit(1)


if __name__ == "__main__":
    main()
