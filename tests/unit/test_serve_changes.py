"""The living gallery over HTTP: every change, seen at once, made once, and never half."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from cairn.gallery import Gallery, log, remove_images, rename_landmark
from cairn.gallery.place import Place
from cairn.manifest import Manifest
from cairn.serve.auth import Token
from cairn.serve.checkup import action_of
from measuring.small_gallery import jpeg, make_gallery, serving, until


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, pictures: Manifest) -> Path:
    return make_gallery(tmp_path_factory.mktemp("served"), pictures)


@pytest.fixture
def gallery(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "gallery")
    return tmp_path / "gallery"


@pytest.fixture
def client(gallery: Path) -> Iterator[TestClient]:
    with serving(gallery, gallery={"watch_s": 0.05}) as made:
        yield made


def send(client: TestClient, landmark: str, *seeds: int, **fields: str) -> Any:
    files = [("image", (f"{seed}.jpg", jpeg(seed))) for seed in seeds]
    return client.post(f"/v1/landmarks/{landmark}", files=files, data=fields)


def test_a_new_landmark_answers_at_once(client: TestClient, gallery: Path) -> None:
    fields = {"name": "Sea Gate", "latitude": "43.5", "longitude": "5.25", "author": "Ann"}
    answer = send(client, "gate/images?create=true", 1, 2, **fields)
    assert answer.status_code == 200
    added = answer.json()
    assert (added["num_added"], added["visible"], added["replayed"]) == (2, True, False)
    assert added["entry"]["num_images"] == 32
    found = client.post("/v1/recognize?penalty=false", files={"image": ("a", jpeg(1))}).json()
    (one,) = found["predictions"]
    assert found["version"] == added["entry"]["version"]
    assert one["landmark"]["name"] == "Sea Gate"
    assert (one["landmark"]["latitude"], one["landmark"]["longitude"]) == (43.5, 5.25)
    assert one["confidence"] == pytest.approx(1, abs=1e-4)
    assert one["evidence"][0]["author"] == "Ann"
    picture = client.get(one["evidence"][0]["picture"])
    assert picture.content[:2] == b"\xff\xd8"
    assert picture.content != jpeg(1), "the bytes that were sent go out again"
    stored = list((gallery / "photographs").rglob("*.jpg"))
    assert sorted(path.read_bytes() for path in stored) == sorted([jpeg(1), jpeg(2)])
    assert Gallery.load(gallery).penalty is not None


def test_photographs_that_are_there_are_not_added_again(client: TestClient) -> None:
    first = send(client, "landmark0/images", 3).json()
    again = send(client, "landmark0/images", 3, 4, 4).json()
    assert again["image_ids"][0] == first["image_ids"][0]
    assert (again["num_added"], len(again["image_ids"])) == (1, 3)
    assert send(client, "landmark0/images", 3).json()["entry"] is None
    other = send(client, "landmark1/images", 3)
    assert other.status_code == 409
    assert "'landmark0'" in other.json()["what"]


def test_what_cannot_be_added(client: TestClient, gallery: Path) -> None:
    for answer, status, what in (
        (send(client, "landmark9/images", 1), 404, "no such landmark"),
        (send(client, "a%00b/images?create=true", 1), 422, "printable"),
        (send(client, "%20a/images?create=true", 1), 422, "no space"),
        (send(client, "landmark0/images", 1, nmae="x"), 422, "unknown field"),
        (send(client, "landmark0/images", 1, latitude="1"), 422, "needs latitude and"),
        (
            send(client, "landmark0/images", 1, latitude="91", longitude="1"),
            422,
            "no number of degrees",
        ),
        (send(client, "landmark0/images", 1, latitude="x", longitude="1"), 422, "not a number"),
        (send(client, "landmark0/images", 1, latitude="nan", longitude="1"), 422, ""),
        (send(client, "landmark0/images", 1, name="x" * 401), 422, "longer than"),
        (
            client.post(
                "/v1/landmarks/landmark0/images",
                files=[("image", ("a", jpeg(1))), ("image", ("b", b"none"))],
            ),
            422,
            "none was added",
        ),
    ):
        assert answer.status_code == status, answer.text
        assert what in answer.json()["what"]
    assert len(log(gallery)) == 2


def test_remove_merge_rename_and_rollback(client: TestClient, gallery: Path) -> None:
    merged = client.post("/v1/landmarks/landmark3/merge", json={"into": "landmark2"}).json()
    assert (merged["entry"]["operation"], merged["visible"]) == ("merge", True)
    assert client.get("/v1/landmarks/landmark2").json()["num_images"] == 12
    assert client.get("/v1/landmarks/landmark3").status_code == 404
    image = client.get("/v1/landmarks/landmark0").json()["images"][0]
    assert client.delete(image["picture"]).json()["entry"]["num_images"] == 29
    assert client.get(image["picture"]).status_code == 404
    assert client.delete("/v1/landmarks/landmark4").json()["entry"]["num_landmarks"] == 3
    client.patch("/v1/landmarks/landmark0", json={"name": "Tower"})
    assert client.get("/v1/landmarks/landmark0").json()["name"] == "Tower"
    back = client.post("/v1/rollback", json={"version": 2}).json()
    assert back["entry"]["operation"] == "rollback"
    assert client.get("/v1/gallery").json()["num_landmarks"] == 5
    lines = client.get("/v1/versions?limit=2").json()
    assert (lines["total"], lines["serving"]) == (7, 7)
    assert [one["operation"] for one in lines["versions"]] == ["rollback", "rename"]
    for answer, status in (
        (client.delete("/v1/landmarks/nothing"), 404),
        (client.delete("/v1/images/nothing"), 404),
        (client.post("/v1/landmarks/landmark0/merge", json={"into": "nothing"}), 404),
        (client.post("/v1/landmarks/landmark0/merge", json={"into": "landmark0"}), 409),
        (client.post("/v1/rollback", json={"version": 99}), 404),
        (client.post("/v1/rollback", json={"version": "nothing"}), 404),
        (client.post("/v1/rollback", json={"version": 7}), 409),
        (client.post("/v1/rollback", json={"version": 10**30}), 404),
        (client.patch("/v1/landmarks/landmark0", json={"name": "Old Tower"}), 409),
        (client.patch("/v1/landmarks/landmark0", json={"title": "x"}), 422),
    ):
        assert answer.status_code == status, answer.text
        assert str(gallery.parent) not in answer.text


def test_a_key_makes_a_change_once_after_a_restart_too(gallery: Path) -> None:
    key = {"Idempotency-Key": "k-1"}
    with serving(gallery) as client:
        first = client.delete("/v1/landmarks/landmark4", headers=key).json()
        again = client.delete("/v1/landmarks/landmark4", headers=key).json()
        assert (first["replayed"], again["replayed"]) == (False, True)
        assert again["entry"]["version"] == first["entry"]["version"]
    with serving(gallery) as client:
        again = client.delete("/v1/landmarks/landmark4", headers=key).json()
        assert (again["replayed"], again["entry"]["version"]) == (True, first["entry"]["version"])
        other = client.delete("/v1/landmarks/landmark3", headers=key)
        assert (other.status_code, other.json()["where"]) == (422, "Idempotency-Key")
        assert "k-1" not in client.get("/v1/versions").text
        long = client.delete("/v1/landmarks/landmark3", headers={"Idempotency-Key": "x" * 129})
        assert long.status_code == 422
    assert len(log(gallery)) == 3


def test_the_log_says_who(gallery: Path) -> None:
    import hashlib

    token = Token("ann", hashlib.sha256(b"0123456789abcdef").digest())
    with serving(gallery, tokens=(token,)) as client:
        client.headers["Authorization"] = "Bearer 0123456789abcdef"
        client.delete("/v1/landmarks/landmark4")
        assert client.get("/v1/versions").json()["versions"][0]["arguments"]["by"] == "ann"


def test_changes_of_others_are_served_without_a_restart(client: TestClient, gallery: Path) -> None:
    rename_landmark(gallery, "landmark2", "Changed Elsewhere")
    until(lambda: client.get("/v1/gallery").json()["version"] == 3)
    assert client.get("/v1/landmarks/landmark2").json()["name"] == "Changed Elsewhere"


def test_a_gallery_that_another_process_changes_is_asked_again(
    client: TestClient, gallery: Path
) -> None:
    with Place(gallery).writing():
        done: list[Any] = []
        call = threading.Thread(
            target=lambda: done.append(client.delete("/v1/landmarks/landmark4"))
        )
        call.start()
        threading.Event().wait(0.3)
        assert not done
    call.join()
    assert done[0].json()["visible"] is True


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_served(
    client: TestClient, gallery: Path
) -> None:
    shutil.move(gallery / "penalties", gallery / "gone")
    remove_images(gallery, landmark_ids=["landmark4"])  # its penalty is made of what is kept
    shutil.rmtree(gallery / "penalties", ignore_errors=True)
    rename_landmark(gallery, "landmark2", "Unseen")
    until(lambda: client.get("/v1/gallery").json()["trouble"] != "")
    about = client.get("/v1/gallery").json()
    assert (about["version"], "stale" in about["trouble"]) == (2, True)
    answer = client.post("/v1/recognize", files={"image": ("a", jpeg(1))})
    assert (answer.status_code, answer.json()["version"]) == (200, 2)


def test_a_read_only_server_changes_nothing(gallery: Path) -> None:
    with serving(gallery, gallery={"read_only": True}) as client:
        for answer in (
            client.delete("/v1/landmarks/landmark4"),
            send(client, "landmark0/images", 1),
            client.post("/v1/rollback", json={"version": 1}),
            client.post("/v1/jobs/import", json={"folder": "x"}),
        ):
            assert (answer.status_code, answer.json()["what"]) == (
                403,
                "this server changes nothing",
            )
    assert len(log(gallery)) == 2


def finished(client: TestClient, job: Any) -> Any:
    assert job.status_code == 202, job.text
    where = f"/v1/jobs/{job.json()['job_id']}"
    until(lambda: client.get(where).json()["status"] in ("done", "failed", "cancelled"))
    return client.get(where).json()


def test_the_doctor_works_in_the_background(client: TestClient, gallery: Path) -> None:
    job = finished(client, client.post("/v1/jobs/doctor?near=0.9"))
    assert (job["status"], job["version"]) == ("done", 2)
    assert job["result"]["gallery"]["num_images"] == 30
    rows = [row for one in job["result"]["lists"].values() for row in one["shown"]]
    assert rows
    assert all("action" in row for row in rows)
    assert any("thumbnail" in key for row in rows for key in row)
    shown = client.get(f"/v1/jobs/{job['job_id']}").text
    assert str(gallery.parent) not in shown
    assert "cairn gallery" not in shown
    assert client.get("/v1/jobs").json()["jobs"][0]["result"] is None
    assert client.get("/v1/jobs/nothing").status_code == 404
    assert client.delete(f"/v1/jobs/{job['job_id']}").json()["status"] == "done"
    assert client.post("/v1/jobs/doctor?near=7").json()["where"] == "query.near"


def test_findings_become_requests() -> None:
    assert action_of("outliers", {"verdict": "look", "image_id": "a"}) is None
    assert action_of("outliers", {"verdict": "remove", "image_id": "a/b"}) == {
        "method": "DELETE",
        "paths": ["/v1/images/a%2Fb"],
    }
    pair = {"verdict": "merge", "landmark_id_a": "x", "landmark_id_b": "y"}
    assert action_of("collisions", pair) == {
        "method": "POST",
        "paths": ["/v1/landmarks/x/merge"],
        "body": {"into": "y"},
    }
    row = {"verdict": "remove b", "image_id_a": "a", "image_id_b": "b"}
    assert (action_of("contradictions", row) or {})["paths"] == ["/v1/images/b"]


def test_a_folder_is_added_in_the_background(gallery: Path, tmp_path: Path) -> None:
    root = tmp_path / "incoming"
    for landmark, seeds in (("New Hall", range(5)), ("landmark0", range(5, 8))):
        (root / "may" / landmark).mkdir(parents=True)
        for seed in seeds:
            (root / "may" / landmark / f"{seed}.jpg").write_bytes(jpeg(seed + 100))
    (root / "may" / "New Hall" / "broken.jpg").write_bytes(b"no picture")
    (root / "may" / "New Hall" / "copy.jpg").write_bytes(jpeg(100))
    (tmp_path / "outside" / "x").mkdir(parents=True)
    (root / "link").symlink_to(tmp_path / "outside")
    with serving(gallery, gallery={"import_root": str(root)}) as client:
        job = finished(client, client.post("/v1/jobs/import", json={"folder": "may"}))
        assert job["status"] == "done", job
        result = job["result"]
        assert (result["num_added"], result["num_there"], result["num_unreadable"]) == (8, 1, 1)
        assert result["unreadable"] == [{"image": "New Hall/broken.jpg", "reason": "not an image"}]
        until(lambda: client.get("/v1/gallery").json()["version"] == result["versions"][0])
        assert client.get("/v1/landmarks?search=hall").json()["landmarks"][0]["num_images"] == 5
        again = finished(client, client.post("/v1/jobs/import", json={"folder": "may"}))
        assert (again["result"]["num_added"], again["result"]["versions"]) == (0, [])
        for folder in ("../outside", "/etc", "nothing", "link", "a\0b", "may/../../outside"):
            answer = client.post("/v1/jobs/import", json={"folder": folder})
            assert answer.status_code == 404, folder
    with serving(gallery) as client:
        assert client.post("/v1/jobs/import", json={"folder": "may"}).status_code == 403
