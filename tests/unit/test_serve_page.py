"""The page's files as they are served, and maps of attention."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from cairn.manifest import Manifest
from cairn.serve.auth import Token
from cairn.serve.maps import MOST_WAITING
from cairn.serve.static import POLICY, site
from measuring.small_gallery import make_gallery, serving

FOLDER = Path(__file__).parents[2] / "src" / "cairn" / "serve" / "page"


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, pictures: Manifest) -> Path:
    return make_gallery(tmp_path_factory.mktemp("paged"), pictures)


@pytest.fixture(scope="module")
def client(gallery: Path) -> Iterator[TestClient]:
    with serving(gallery) as made:
        yield made


def test_the_page_and_its_files(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["cache-control"] == "no-cache"
    again = client.get("/", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    kinds = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
    addresses = re.findall(r'(?:href|src)="(/page/[^"]+)"', answer.text)
    assert len(addresses) == 5
    for address in addresses:
        file = client.get(address)
        kind = kinds.get(address.rpartition(".")[2], "image/svg+xml")
        assert file.headers["content-type"] == kind
        assert "immutable" in file.headers["cache-control"]
        assert file.headers["x-content-type-options"] == "nosniff"
    assert client.get("/page/0123456789abcdef/app.js").status_code == 404
    assert client.get(f"/page/{site().digest}/index.html").status_code == 404
    assert client.get(f"/page/{site().digest}/..%2f__init__.py").status_code == 404


def test_who_has_no_token_gets_the_page_and_nothing_else(gallery: Path) -> None:
    tokens = (Token("ada", sha256(b"letters").digest()),)
    with serving(gallery, tokens=tokens) as client:
        text = client.get("/").text
        assert client.get(re.findall(r'src="(/page/[^"]+)"', text)[0]).status_code == 200
        for path in ("/v1/gallery", "/page", "/metrics", "/openapi.json"):
            assert client.get(path).status_code == 401
        assert client.post("/v1/attention", content=b"x").status_code == 401


def test_what_the_files_import_is_there_and_from_here() -> None:
    for path in FOLDER.glob("*.js"):
        text = path.read_text("utf-8")
        for name in re.findall(r'from "([^"]+)"', text):
            assert name.startswith("./"), f"{path.name} imports {name}"
            assert (FOLDER / name).is_file(), f"{path.name} imports {name}"
        assert "innerHTML" not in text, path.name
        assert len(text.splitlines()) <= 350, path.name
    for path in (*FOLDER.glob("*.css"), *FOLDER.glob("*.html")):
        assert "//" not in re.sub(r"/\*.*?\*/|http://www.w3.org", "", path.read_text("utf-8"))


def test_maps_of_attention_by_stage(client: TestClient, pictures: Manifest) -> None:
    content = pictures.select("query").paths[0].read_bytes()
    found = client.post("/v1/attention", files={"image": ("a.jpg", content)}).json()
    assert [one["title"] for one in found["maps"]] == ["Stage 1", "Stage 2", "Stage 3", "Stage 4"]
    for one in found["maps"]:
        assert one["of"] == "photograph"
        assert "times the even share" in one["note"]
        image = Image.open(io.BytesIO(base64.b64decode(one["content"])))
        assert image.size == Image.open(io.BytesIO(content)).size
    assert found["similarity"] is None


def test_maps_of_a_likeness(client: TestClient, pictures: Manifest) -> None:
    content = pictures.select("query").paths[0].read_bytes()
    asked = client.post("/v1/recognize?penalty=false", files={"image": ("a.jpg", content)}).json()
    evidence = asked["predictions"][0]["evidence"][0]
    path = f"/v1/attention?evidence={evidence['image_id']}"
    found = client.post(path, files={"image": ("a.jpg", content)}).json()
    assert [one["of"] for one in found["maps"]] == ["photograph", "evidence"]
    assert found["similarity"] == pytest.approx(evidence["similarity"], abs=1e-3)


def test_what_no_map_can_be_made_of(client: TestClient, pictures: Manifest) -> None:
    content = pictures.select("query").paths[0].read_bytes()
    broken = client.post("/v1/attention", files={"image": ("a.jpg", b"nothing")})
    assert (broken.status_code, broken.json()["where"]) == (422, "not an image")
    unknown = client.post("/v1/attention?evidence=none", files={"image": ("a.jpg", content)})
    assert (unknown.status_code, unknown.json()["where"]) == (404, "query.evidence")
    two = [("image", ("a.jpg", content)), ("image", ("b.jpg", content))]
    assert client.post("/v1/attention", files=two).status_code == 422


def test_few_may_wait_for_maps() -> None:
    import asyncio
    import threading

    from cairn.serve.maps import Maps
    from cairn.serve.problems import Problem

    async def crowd() -> None:
        maps, go = Maps(60.0), threading.Event()
        waiting = [asyncio.create_task(maps(go.wait)) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(Problem) as caught:
            await maps(go.wait)
        assert (caught.value.status, caught.value.headers["Retry-After"]) == (429, "5")
        go.set()
        assert await asyncio.gather(*waiting) == [True] * MOST_WAITING
        assert await maps(go.wait)
        maps.close()

    asyncio.run(crowd())
