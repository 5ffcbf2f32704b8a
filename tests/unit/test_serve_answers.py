"""Recognition over HTTP: every way to send photographs, every way it can go wrong."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from cairn.manifest import Manifest
from cairn.recognize import Recognizer
from measuring.small_gallery import jpeg, make_gallery, serving


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, pictures: Manifest) -> Path:
    return make_gallery(tmp_path_factory.mktemp("served"), pictures)


@pytest.fixture(scope="module")
def client(gallery: Path) -> Iterator[TestClient]:
    with serving(gallery) as made:
        yield made


@pytest.fixture
def photo(pictures: Manifest) -> bytes:
    return pictures.select("query").paths[0].read_bytes()


def text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def test_an_answer_is_the_library_s(client: TestClient, gallery: Path, pictures: Manifest) -> None:
    paths = list(pictures.select("query").paths)[:7]
    expected = Recognizer.load(gallery, backend="torch", device="cpu").batch(paths).predictions
    files = [("image", (path.name, path.read_bytes())) for path in paths]
    found = client.post("/v1/recognize", files=files).json()
    assert found["version"] == 2
    assert [one["image_id"] for one in found["predictions"]] == [path.name for path in paths]
    for one, other in zip(found["predictions"], expected, strict=True):
        assert one["landmark"]["landmark_id"] == other.landmark_id
        assert one["confidence"] == pytest.approx(other.confidence, abs=1e-6)
        assert [e["image_id"] for e in one["evidence"]] == [e.image_id for e in other.evidence]
        for shown, evidence in zip(one["evidence"], other.evidence, strict=True):
            assert shown["penalty"] == pytest.approx(evidence.penalty)
            assert shown["score"] == pytest.approx(shown["similarity"] - shown["penalty"])
        assert (one["verdict"], one["probability"], one["error"]) == (None, None, None)
        assert one["penalty"]["applied"] is True


def test_every_way_to_send_a_photograph_gives_the_same_answer(
    client: TestClient, photo: bytes
) -> None:
    def answer(**sent: Any) -> Any:
        found = client.post("/v1/recognize", **sent).json()["predictions"]
        return [(one["landmark"], round(one["confidence"], 5)) for one in found]

    (one,) = answer(files={"image": ("a.jpg", photo)})
    assert answer(content=photo, headers={"content-type": "image/jpeg"}) == [one]
    assert answer(content=photo, headers={"content-type": "application/octet-stream"}) == [one]
    assert answer(json={"images": [{"content": text(photo)}] * 2}) == [one, one]
    safe = base64.urlsafe_b64encode(photo).decode().rstrip("=")
    assert answer(json={"images": [{"content": safe, "image_id": "x"}]}) == [one]


def test_top_penalty_and_explain(client: TestClient, gallery: Path, photo: bytes) -> None:
    def ask(query: str) -> Any:
        files = {"image": ("a.jpg", photo)}
        return client.post(f"/v1/recognize?{query}", files=files).json()["predictions"][0]

    assert len(ask("")["evidence"]) == 5
    assert len(ask("top=30")["evidence"]) == 30
    plain = Recognizer.load(gallery, use_penalty=False, backend="torch", device="cpu")(photo)
    without = ask("penalty=false&top=1")
    assert without["confidence"] == pytest.approx(plain.confidence, abs=1e-6)
    assert without["penalty"]["applied"] is False
    explained = ask("explain=true")["penalty"]
    assert explained["landmark_id_without"] == plain.landmark_id
    assert explained["similarity_without"] == pytest.approx(plain.confidence, abs=1e-6)
    assert client.post("/v1/recognize?top=51", content=photo).json()["where"] == "query.top"


def test_a_photograph_that_cannot_be_read_spoils_no_other(client: TestClient, photo: bytes) -> None:
    files = [("image", ("a", b"no picture")), ("image", ("b", photo)), ("image", ("c", b""))]
    first, second, third = client.post("/v1/recognize", files=files).json()["predictions"]
    assert (first["error"], first["landmark"]) == ("not an image", None)
    assert second["error"] is None
    assert third["error"] == "empty file"
    none = client.post("/v1/recognize", files=files[:1])
    assert (none.status_code, none.json()["where"]) == (422, "a: not an image")


@pytest.mark.parametrize(
    ("sent", "status", "what"),
    [
        ({"content": b"x", "headers": {"content-type": "text/plain"}}, 415, "kind of content"),
        ({"files": {"note": (None, "only words")}}, 422, "no photograph"),
        ({"json": {"images": []}}, 422, "at least 1 item"),
        ({"json": {"images": [{"content": "!"}]}}, 422, "not base64"),
        ({"json": {"pictures": []}}, 422, "Field required"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 422, "Invalid JSON"),
        (
            {"content": b"\xff{", "headers": {"content-type": "application/json"}},
            422,
            "Invalid JSON",
        ),
        ({"json": {"images": [{"content": "AAAA"}] * 17}}, 413, "more than 16"),
        ({"files": [("image", (str(i), b"x")) for i in range(17)]}, 413, "more than 16"),
    ],
)
def test_what_is_wrong_is_said(
    client: TestClient, sent: dict[str, Any], status: int, what: str
) -> None:
    answer = client.post("/v1/recognize", **sent)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert what in problem["what"]
    assert problem["request_id"] == answer.headers["x-request-id"]


def test_google_s_shape(client: TestClient, photo: bytes) -> None:
    feature = [{"type": "LANDMARK_DETECTION", "maxResults": 2}]
    body = {
        "requests": [
            {"image": {"content": text(photo)}, "features": feature, "imageContext": {"a": 1}},
            {"image": {"content": text(b"no picture")}, "features": feature},
            {"image": {"source": {"imageUri": "https://example.org/a"}}, "features": feature},
            {"image": {"content": "!"}, "features": feature},
            {"image": {"content": text(photo)}, "features": [{"type": "FACE_DETECTION"}]},
        ]
    }
    answer = client.post("/v1/images:annotate", json=body)
    assert answer.status_code == 200
    first, *others = answer.json()["responses"]
    (found,) = first["landmarkAnnotations"]
    assert found["mid"].startswith("landmark")
    assert found["description"]
    assert 0 <= found["score"] <= 1
    assert found["boundingPoly"] == {"vertices": []}
    assert [one["error"]["code"] for one in others] == [3, 3, 3, 12]


def test_landmarks_are_found_and_shown(client: TestClient) -> None:
    page = client.get("/v1/landmarks").json()
    assert page["total"] == 5
    names = [one["name"] or one["landmark_id"] for one in page["landmarks"]]
    assert names == ["landmark2", "landmark3", "landmark4", "New Bridge", "Old Tower"]
    found = client.get("/v1/landmarks?search=tOWER").json()["landmarks"]
    assert [one["landmark_id"] for one in found] == ["landmark0"]
    assert client.get("/v1/landmarks?limit=2&offset=3").json()["landmarks"][0]["num_images"] == 6
    assert client.get("/v1/landmarks?offset=9").json()["landmarks"] == []
    detail = client.get("/v1/landmarks/landmark0?limit=4&offset=4").json()
    assert (detail["name"], detail["num_images"], len(detail["images"])) == ("Old Tower", 6, 2)
    picture = client.get(detail["images"][0]["picture"])
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.content[:2] == b"\xff\xd8"
    small = client.get(detail["images"][0]["thumbnail"] + "?size=32")
    assert small.status_code == 200
    again = client.get(
        detail["images"][0]["picture"], headers={"if-none-match": picture.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/v1/landmarks/nothing").status_code == 404
    assert client.get("/v1/images/nothing").status_code == 404


def test_health_figures_and_the_gallery(client: TestClient) -> None:
    assert client.get("/healthz").json()["status"] == "ok"
    assert client.get("/readyz").json() == {"status": "ok", "version": 2, "trouble": ""}
    client.post("/v1/recognize", content=jpeg(1), headers={"content-type": "image/jpeg"})
    figures = client.get("/metrics").text
    assert "cairn_gallery_images 30.0" in figures
    assert 'route="/v1/recognize",status="200"' in figures
    about = client.get("/v1/gallery").json()
    assert (about["num_images"], about["num_landmarks"], about["has_penalty"]) == (30, 5, True)
    assert about["calibration"] is None
    lines = client.get("/v1/versions").json()
    assert [one["operation"] for one in lines["versions"]] == ["penalize", "build"]
    assert client.get("/nowhere").json()["title"] == "Not Found"


def test_nothing_that_is_answered_names_a_path(
    client: TestClient, gallery: Path, photo: bytes
) -> None:
    pages = ["/v1/gallery", "/v1/versions", "/v1/landmarks/landmark0", "/openapi.json", "/metrics"]
    texts = [client.get(page).text for page in pages]
    texts.append(client.post("/v1/recognize", files={"image": ("a", photo)}).text)
    for found in texts:
        assert str(gallery.parent) not in found
        assert str(Path(__file__).parents[2]) not in found
