"""Every kind of file a person may hand over: a picture comes back, or a reason."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cairn import images
from cairn.images import MAX_PIXELS, UnreadableImage, decode, read_header

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def halves(width: int = 8, height: int = 4) -> Image.Image:
    """Left half red, right half blue: a turn or a mirror shows."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "PPM"])
def test_lossless_formats_give_their_pixels(kind: str) -> None:
    image = decode(encoded(halves(), kind))
    assert (image.mode, image.size) == ("RGB", (8, 4))
    assert image.getpixel((0, 0)) == RED
    assert image.getpixel((7, 3)) == BLUE


def test_path_and_bytes_agree(tmp_path: Path) -> None:
    path = tmp_path / "故宫" / "午门 1.jpg"
    path.parent.mkdir()
    path.write_bytes(encoded(noise(16, 12), "JPEG"))
    assert decode(path).tobytes() == decode(path.read_bytes()).tobytes()


@pytest.mark.parametrize(
    ("orientation", "size", "first", "last"),
    [
        (1, (8, 4), RED, BLUE),
        (2, (8, 4), BLUE, RED),
        (3, (8, 4), BLUE, RED),
        (4, (8, 4), RED, BLUE),
        (5, (4, 8), RED, BLUE),
        (6, (4, 8), RED, BLUE),
        (7, (4, 8), BLUE, RED),
        (8, (4, 8), BLUE, RED),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_camera_rotation_is_carried_out_once(
    orientation: int, size: tuple[int, int], first: Any, last: Any, kind: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode(encoded(halves(), kind, exif=exif))
    assert image.size == size
    assert image.getpixel((0, 0)) == first
    assert image.getpixel((size[0] - 1, size[1] - 1)) == last
    assert image.getexif().get(0x0112, 1) == 1, "a second turn would follow downstream"


def test_rotation_agrees_with_pillow_on_asymmetric_pixels() -> None:
    from PIL import ImageOps

    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encoded(noise(7, 5), "PNG", exif=exif)
        with Image.open(io.BytesIO(data)) as opened:
            expected = ImageOps.exif_transpose(opened)
        assert decode(data).tobytes() == expected.tobytes()


def test_broken_metadata_does_not_spoil_the_picture() -> None:
    data = encoded(halves(64, 32), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\xff\xff\xff")
    assert decode(data).size == (64, 32)


def test_cmyk_becomes_rgb() -> None:
    image = decode(encoded(Image.new("CMYK", (8, 8), (255, 0, 255, 0)), "JPEG", quality=95))
    red, green, blue = image.getpixel((4, 4))  # type: ignore[misc]
    assert image.mode == "RGB"
    assert red < 8 < 240 < green  # cyan and yellow ink without magenta is green
    assert blue < 8


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (257, 1), (32_896, 128), (65_535, 255)])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_its_brightness(value: int, expected: int, kind: str) -> None:
    pixels = np.full((3, 5), value, np.uint16)
    image = decode(encoded(Image.fromarray(pixels), kind))
    assert image.size == (5, 3)
    assert image.getpixel((2, 1)) == (expected,) * 3


def test_32_bit_and_fractional_grey() -> None:
    wide = np.array([[0, 1_000_000]], np.int32)
    assert np.asarray(decode(encoded(Image.fromarray(wide), "TIFF")))[0, :, 0].tolist() == [0, 255]
    sixteen = np.array([[0, 65_535, 257]], np.int32)
    grey = np.asarray(decode(encoded(Image.fromarray(sixteen), "TIFF")))[0, :, 0].tolist()
    assert grey == [0, 255, 1]
    unit = np.array([[0.0, 0.5, 1.0, np.nan]], np.float32)
    grey = np.asarray(decode(encoded(Image.fromarray(unit), "TIFF")))[0, :, 0].tolist()
    assert grey == [0, 128, 255, 0]


def test_palette_with_transparency_lies_on_white() -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([0, 0, 0, 0, 255, 0])
    image.putpixel((0, 0), 1)
    decoded = decode(encoded(image, "PNG", transparency=0))
    assert decoded.getpixel((0, 0)) == GREEN
    assert decoded.getpixel((3, 3)) == WHITE
    assert decode(encoded(image, "PNG")).getpixel((3, 3)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGBA", (255, 0, 0, 0), WHITE),
        ("RGBA", (255, 0, 0, 255), RED),
        ("LA", (0, 0), WHITE),
        ("LA", (0, 128), (127, 127, 127)),
        ("L", 77, (77, 77, 77)),
        ("1", 1, WHITE),
    ],
)
def test_grey_and_alpha_modes(mode: str, colour: Any, expected: Any) -> None:
    assert decode(encoded(Image.new(mode, (3, 3), colour), "PNG")).getpixel((1, 1)) == expected


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animations_give_their_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (6, 6), colour) for colour in (RED, GREEN, BLUE)]
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert decode(data).getpixel((3, 3)) == RED


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_one_pixel_is_a_picture(kind: str) -> None:
    assert decode(encoded(Image.new("RGB", (1, 1), RED), kind), min_side=512).size == (1, 1)


@pytest.mark.parametrize(
    ("min_side", "size"),
    [(None, (400, 320)), (321, (400, 320)), (161, (400, 320)), (160, (200, 160)), (80, (100, 80)),
     (40, (50, 40)), (1, (50, 40))],
)  # fmt: skip
def test_draft_never_falls_below_the_side_asked_for(
    min_side: int | None, size: tuple[int, int]
) -> None:
    assert decode(encoded(noise(400, 320), "JPEG"), min_side=min_side).size == size


@pytest.mark.parametrize(
    ("kept", "size"),
    [((200, 1), (200, 160)), ((201, 1), (400, 320)), ((1, 161), (400, 320)), ((1, 80), (100, 80))],
)
def test_draft_keeps_width_and_height_of_the_upright_picture(
    kept: tuple[int, int], size: tuple[int, int]
) -> None:
    assert decode(encoded(noise(400, 320), "JPEG"), min_side=kept).size == size
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(noise(320, 400), "JPEG", exif=exif)
    assert decode(turned, min_side=kept).size == size


def test_draft_looks_like_the_whole_picture() -> None:
    data = encoded(halves(400, 320), "JPEG", quality=95)
    small = decode(data, min_side=40)
    assert abs(small.getpixel((5, 5))[0] - 255) < 8  # type: ignore[index]
    assert abs(small.getpixel((45, 35))[2] - 255) < 8  # type: ignore[index]


def reason_of(source: Path | bytes) -> UnreadableImage:
    with pytest.raises(UnreadableImage) as caught:
        decode(source)
    return caught.value


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert reason_of(tmp_path / "none.jpg").reason == "missing file"
    assert reason_of(tmp_path).kind == "a folder, not a file"
    assert reason_of(tmp_path / "nul\0l.jpg").kind == "cannot be opened"


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.jpg"
    path.touch()
    assert reason_of(path).reason == "empty file"
    assert reason_of(b"").reason == "empty file"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_truncated_file(kind: str) -> None:
    data = encoded(noise(200, 200), kind)
    assert reason_of(data[: len(data) // 2]).kind in ("truncated", "broken")


def test_truncated_jpeg_says_so() -> None:
    data = encoded(noise(200, 200), "JPEG")
    assert reason_of(data[: len(data) // 2]).kind == "truncated"


@pytest.mark.parametrize(
    "data", [b"<html>not found</html>", b"\0" * 100, b"\xff\xd8\xff", b"%!PS-Adobe-3.0 EPSF-3.0\n"]
)
def test_non_image(data: bytes) -> None:
    assert reason_of(data).kind in ("not an image", "truncated", "broken")


def test_postscript_is_never_run() -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    assert reason_of(eps).reason == "not an image"


@pytest.mark.parametrize("side", [13_400, 30_000, 65_000])
def test_decompression_bomb_is_refused_unread(side: int) -> None:
    assert side * side > MAX_PIXELS
    assert reason_of(png_header(side, side)).kind == "too large"


def test_large_but_allowed_size_is_judged_by_its_content() -> None:
    assert reason_of(png_header(12_000, 12_000)).kind in ("truncated", "broken")


def test_own_bound_holds_whatever_pillow_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 31)
    assert reason_of(encoded(halves(), "PNG")).reason == "too large: 8 x 4 pixels, over 31"


def test_threads_leave_the_warning_filters_as_they_were() -> None:
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    data = encoded(palette, "PNG", transparency=b"\x10\x20")
    before, limit = list(warnings.filters), Image.MAX_IMAGE_PIXELS
    threads = [threading.Thread(target=lambda: [decode(data) for _ in range(30)]) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before
    assert limit == Image.MAX_IMAGE_PIXELS


def test_warnings_of_large_files_are_not_passed_on() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        reason_of(png_header(12_000, 12_000))
    assert caught == []


@pytest.mark.parametrize(
    ("orientation", "size"), [(1, (400, 320)), (3, (400, 320)), (6, (320, 400))]
)
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_own_size_is_told_upright_whatever_the_draft(
    orientation: int, size: tuple[int, int], kind: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image, own = images.decode_sized(encoded(noise(400, 320), kind, exif=exif), min_side=40)
    assert own == size
    assert (image.width > image.height) == (own[0] > own[1])


def test_a_header_says_the_upright_size_and_the_position() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # on its side
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8769)[0x9003] = "2021:05:03 12:30:59"
    header = read_header(encoded(halves(8, 4), "JPEG", exif=exif))
    assert (header.width, header.height) == (4, 8)
    assert (header.gps[1], header.exif[0x9003]) == ("N", "2021:05:03 12:30:59")
    plain = read_header(encoded(halves(8, 4), "PNG"))
    assert (plain.width, plain.height, plain.exif, plain.gps) == (8, 4, {}, {})


@pytest.mark.parametrize(
    ("source", "reason"),
    [(b"", "empty file"), (b"text", "not an image"), (png_header(60_000, 60_000), "too large")],
)
def test_a_header_of_no_photograph_has_a_reason(source: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImage, match=reason):
        read_header(source)
    with pytest.raises(UnreadableImage, match="missing file"):
        read_header(Path("none.jpg"))
