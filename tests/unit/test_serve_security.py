"""Strangers: without a token, from elsewhere, too much, too often, with files that are traps."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from cairn.images import UnreadableImage
from cairn.manifest import Manifest
from cairn.serve.auth import Token
from cairn.serve.photographs import Pictures, require_modest
from measuring.small_gallery import jpeg, make_gallery, serving

SECRET = "0123456789abcdef"


def token(name: str, secret: str, **further: Any) -> Token:
    return Token(name, hashlib.sha256(secret.encode()).digest(), **further)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, pictures: Manifest) -> Path:
    return make_gallery(tmp_path_factory.mktemp("served"), pictures, bank=False)


@pytest.fixture(scope="module")
def client(gallery: Path) -> Iterator[TestClient]:
    with serving(
        gallery,
        hosts=("localhost",),
        limits={"body_mib": 0.25, "pixels": 1_000_000, "scans": 12},
    ) as made:
        yield made


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
    return b"\x89PNG\r\n\x1a\n" + head + rows + chunk(b"IEND", b"")


def post(client: TestClient, content: bytes, **headers: str) -> Any:
    return client.post(
        "/v1/recognize", content=content, headers={"content-type": "image/jpeg", **headers}
    )


def test_tokens_are_asked_for_and_may_be_for_reading_only(gallery: Path) -> None:
    tokens = (token("ann", SECRET), token("bob", SECRET * 2, may_change=False))
    with serving(gallery, tokens=tokens) as client:
        for path in ("/healthz", "/readyz"):
            assert client.get(path).status_code == 200
        for headers in (
            {},
            {"authorization": "Bearer"},
            {"authorization": "Bearer " + SECRET[:-1]},
            {"authorization": "Basic " + SECRET},
            {"authorization": "Bearer " + SECRET + "\xe9"},
            {"x-goog-api-key": "wrong"},
        ):
            encoded = {k: v.encode("latin-1") for k, v in headers.items()}
            for path in ("/v1/gallery", "/metrics", "/openapi.json", "/nowhere"):
                answer = client.get(path, headers=encoded)  # type: ignore[arg-type]
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"] == "Bearer"
        good = {"authorization": f"bearer {SECRET}"}
        assert client.get("/v1/gallery", headers=good).status_code == 200
        google = {"x-goog-api-key": SECRET}
        assert client.get("/v1/gallery", headers=google).status_code == 200
        reader = {"authorization": f"Bearer {SECRET * 2}"}
        assert client.get("/v1/gallery", headers=reader).status_code == 200
        files = {"image": ("a", jpeg(1))}
        assert client.post("/v1/recognize", files=files, headers=reader).status_code == 200
        for refused in (
            client.delete("/v1/landmarks/landmark0", headers=reader),
            client.post("/v1/landmarks/landmark0/images", files=files, headers=reader),
            client.post("/v1/jobs/doctor", headers=reader),
        ):
            assert refused.status_code == 403


def test_a_token_s_requests_are_counted(gallery: Path) -> None:
    tokens = (token("ann", SECRET), token("bob", SECRET * 2))
    limits = {"requests_per_minute": 1, "burst": 2}
    with serving(gallery, tokens=tokens, limits=limits) as client:
        ann, bob = ({"authorization": f"Bearer {one}"} for one in (SECRET, SECRET * 2))
        statuses = [client.get("/v1/gallery", headers=ann).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        refused = client.get("/v1/gallery", headers=ann)
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert client.get("/v1/gallery", headers=bob).status_code == 200


def test_pages_of_elsewhere_get_nothing(client: TestClient, gallery: Path) -> None:
    evil = {"origin": "https://evil.example"}
    assert post(client, jpeg(1), **evil).status_code == 403
    assert post(client, jpeg(1), origin="null").status_code == 403
    assert post(client, jpeg(1), origin="http://localhost").status_code == 200
    seen = client.get("/v1/gallery", headers=evil)
    assert "access-control-allow-origin" not in seen.headers
    asked = {**evil, "access-control-request-method": "POST"}
    assert client.options("/v1/recognize", headers=asked).status_code == 405
    assert client.get("/v1/gallery", headers={"host": "evil.example"}).status_code == 421
    assert client.get("/v1/gallery", headers={"host": "localhost:81"}).status_code == 200
    assert client.get("/v1/gallery", headers={"host": ""}).status_code == 421
    with serving(gallery, access={"cors_origins": ["https://page.example"]}) as other:
        page = {"origin": "https://page.example"}
        answer = post(other, jpeg(1), **page)
        assert answer.headers["access-control-allow-origin"] == "https://page.example"
        asked = {**page, "access-control-request-method": "POST"}
        assert other.options("/v1/recognize", headers=asked).status_code == 200
        assert post(other, jpeg(1), **evil).status_code == 403


def test_large_bodies_are_refused_while_they_arrive(client: TestClient) -> None:
    assert post(client, b"x" * 300_000).status_code == 413

    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 10_000

    answer = client.post("/v1/recognize", content=endless(), headers={"content-type": "image/jpeg"})
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    lied = client.build_request("POST", "/v1/recognize", content=b"x")
    lied.headers["content-length"] = "-1"
    assert client.send(lied).status_code == 400


def test_bombs_are_refused_by_their_headers(client: TestClient) -> None:
    buffer = io.BytesIO()
    Image.new("P", (8, 8)).save(buffer, format="GIF")
    gif = buffer.getvalue()
    gif = gif[:6] + b"\xff\xff\xff\xff" + gif[10:]
    for bomb in (png(60_000, 60_000), png(1_001, 1_000), gif):
        answer = post(client, bomb)
        assert answer.status_code == 422
        assert "too large" in answer.json()["where"]
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, format="JPEG", progressive=True)
    scan = buffer.getvalue()
    require_modest(scan, max_pixels=10_000, max_scans=12)
    start = scan.index(b"\xff\xda")
    with pytest.raises(UnreadableImage, match="too many scans"):
        require_modest(
            scan[:start] + scan[start:-2] * 40 + b"\xff\xd9", max_pixels=10_000, max_scans=12
        )


@pytest.mark.parametrize(
    "content",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file",
        b"push graphic-context\nfill 'url(https://example.org/\";ls\")'",
        b"%PDF-1.7\n",
        b"PK\x03\x04" + b"\0" * 40,
        b"GIF89a/*" + b"\0" * 8 + b"*/=1;alert(1)",
        b"\0" * 1000,
    ],
)
def test_other_kinds_of_files_are_no_photographs(client: TestClient, content: bytes) -> None:
    assert post(client, content).status_code == 422


def test_a_file_that_is_two_kinds_goes_out_as_a_plain_picture(
    gallery: Path, tmp_path: Path
) -> None:
    payload = b"<script>alert(1)</script>PK\x03\x04"
    path = tmp_path / "both.jpg"
    path.write_bytes(jpeg(5) + payload)
    made = Pictures().jpeg(path, 100, max_pixels=10_000)
    assert payload not in made
    assert made.endswith(b"\xff\xd9")
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    Image.new("RGB", (60, 40)).save(path, exif=exif)
    small = Pictures().jpeg(path, 30, max_pixels=10_000)
    assert b"where I live" not in small
    assert Image.open(io.BytesIO(small)).size == (30, 20)
    with pytest.raises(UnreadableImage, match="too large"):
        Pictures().jpeg(path, 30, max_pixels=100)


def test_pictures_that_are_kept_are_bounded_and_renewed(tmp_path: Path) -> None:
    pictures = Pictures(max_bytes=3000)
    for number in range(9):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(number))
        pictures.jpeg(tmp_path / f"{number}.jpg", 32, max_pixels=10_000)
    assert 0 < pictures._num_bytes == sum(map(len, pictures._kept.values())) <= 3000
    first = pictures.jpeg(tmp_path / "8.jpg", 32, max_pixels=10_000)
    (tmp_path / "8.jpg").write_bytes(jpeg(99, side=44))
    assert pictures.jpeg(tmp_path / "8.jpg", 32, max_pixels=10_000) != first
    with pytest.raises(UnreadableImage, match="missing"):
        pictures.jpeg(tmp_path / "none.jpg", 32, max_pixels=10_000)


FORM = {"content-type": "multipart/form-data; boundary=x"}
PART = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"", FORM),
        (b"--x", FORM),
        (b"garbage", FORM),
        (PART, FORM),
        (PART + b"abc", FORM),
        (PART.replace(b'name="image"; ', b"") + b"abc\r\n--x--\r\n", FORM),
        (PART.replace(b"\r\n\r\n", b"\r\n" + b"X: y\r\n" * 5000 + b"\r\n"), FORM),
        (b"--x\r\n" + b"A" * 100_000 + b"\r\n", FORM),
        (PART + b"a\r\n--x--\r\n", {"content-type": "multipart/form-data"}),
        (PART + b"a\r\n--x--\r\n", {"content-type": "multipart/form-data; boundary="}),
        (PART, {"content-type": "multipart/form-data; boundary=" + "y" * 5000}),
        (
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' * 40 + b"--x--\r\n",
            FORM,
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
            + b"b" * 70_000
            + b"\r\n--x--",
            FORM,
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' * 2 + b"--x--\r\n",
            FORM,
        ),
    ],
)
def test_malformed_forms_are_refused(
    client: TestClient, content: bytes, headers: dict[str, str]
) -> None:
    answer = client.post("/v1/recognize", content=content, headers=headers)
    assert answer.status_code in (400, 422)
    assert answer.json()["what"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/images/..%2F..%2F..%2Fetc%2Fpasswd",
        "/v1/images/%2Fetc%2Fpasswd",
        "/v1/images/file:%2F%2F%2Fetc%2Fpasswd/thumbnail",
        "/v1/images/a%00b",
        "/v1/images/%FF%FE",
        "/v1/images/" + "a" * 5000,
        "/v1/landmarks/..%2Fmodels",
        "/v1/../../etc/passwd",
        "//etc/passwd",
        "/v1/landmarks/%2e%2e/images",
    ],
)
def test_ids_are_looked_up_and_never_opened(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "root:" not in answer.text


def test_every_answer_tells_browsers_to_keep_to_what_it_is(client: TestClient) -> None:
    for path in ("/v1/gallery", "/nowhere", "/v1/images/x"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["x-frame-options"] == "DENY"
        assert "server" not in headers


def test_a_fault_of_the_server_is_told_without_its_trace(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("/secret/place is broken")

    monkeypatch.setattr("cairn.serve.reading.landmark_out", broken)
    answer = client.get("/v1/landmarks/landmark0")
    assert (answer.status_code, answer.json()["what"]) == (500, "a fault of the server")
    assert "secret" not in answer.text
    assert answer.json()["request_id"] in capsys.readouterr().err
