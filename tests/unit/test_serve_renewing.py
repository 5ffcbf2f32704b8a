"""A served gallery's calibration after changes: made anew beside them, once, and never half."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from cairn.embed import embed
from cairn.gallery import Gallery, remove_images
from cairn.gallery.calibrating import calibrate_gallery
from cairn.gallery.calibrations import calibration_of, keep_calibration
from cairn.gallery.kept_validation import (
    Validation,
    Way,
    keep_validation,
    kept_ways,
    read_validation,
)
from cairn.manifest import Manifest
from cairn.renewal import recalibrate, renew
from cairn.serve.renewing import Renewing
from cairn.stacks import Stack
from cairn.submission import solution_of
from cairn.tables import EmbeddingTable
from measuring.small_gallery import jpeg, make_gallery, serving, until


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, pictures: Manifest) -> Path:
    """A gallery calibrated with and without its penalty, both validations kept."""
    root = tmp_path_factory.mktemp("renewed")
    made = make_gallery(root, pictures)
    embed(root / "model", pictures.select("query"), root / "q", backend="torch", device="cpu")
    loaded, queries = Gallery.load(made), EmbeddingTable.read(root / "q")
    truth = solution_of(pictures.select("query")).truth
    sets = {name: frozenset(one) for name, one in truth.items()}
    for use_penalty in (True, False):
        way = Way(use_penalty)
        keep_validation(loaded.place, Validation(queries, sets, way, 0.2))
        keep_calibration(
            loaded,
            calibrate_gallery(
                loaded, queries, truth, use_penalty=use_penalty, false_accept_rate=0.2
            ),
        )
    return made


@pytest.fixture
def gallery(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "gallery")
    return tmp_path / "gallery"


@pytest.fixture
def client(gallery: Path) -> Iterator[TestClient]:
    with serving(gallery, gallery={"watch_s": 0.05}) as made:
        yield made


def about(client: TestClient) -> Any:
    return client.get("/v1/gallery").json()


def state(client: TestClient) -> str:
    return str(about(client)["calibration_state"])


def answer(client: TestClient, *, penalty: bool = True) -> Any:
    files = {"image": ("a", jpeg(1))}
    found = client.post(f"/v1/recognize?penalty={penalty}", files=files).json()
    return {**found["predictions"][0], "version": found["version"]}


def figure(client: TestClient, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def test_a_verdict_is_there_again_after_a_change(client: TestClient, gallery: Path) -> None:
    before = answer(client)
    assert before["verdict"] in ("known", "unknown")
    assert (state(client), figure(client, "cairn_calibration_fresh")) == ("fresh", 1)
    files = {"image": ("a.jpg", jpeg(5))}
    added = client.post("/v1/landmarks/landmark0/images", files=files).json()
    assert added["visible"]
    assert state(client) in ("renewing", "fresh")
    until(lambda: state(client) == "fresh")
    after = answer(client)
    assert after["verdict"] in ("known", "unknown")
    assert after["version"] == added["entry"]["version"] > before["version"]
    assert about(client)["calibration"]["time"]
    until(lambda: answer(client, penalty=False)["verdict"] is not None)
    assert figure(client, "cairn_calibration_fresh") == 1
    assert figure(client, 'cairn_calibration_renewals_total{outcome="done"}') == 2
    loaded = Gallery.load(gallery)
    calibration_of(loaded)
    calibration_of(loaded, use_penalty=False)


def test_a_change_of_another_process_is_followed(client: TestClient, gallery: Path) -> None:
    first = Gallery.load(gallery).table.image_ids[0]
    remove_images(gallery, image_ids=[first])
    until(lambda: about(client)["num_images"] == 29 and state(client) == "fresh")
    assert answer(client)["verdict"] is not None


def test_several_changes_have_one_renewal(
    client: TestClient, gallery: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    inside, go_on = threading.Event(), threading.Event()

    def held(loaded: Gallery, *values: Any, **wishes: Any) -> Any:
        sizes.append(len(loaded.table))
        inside.set()
        assert go_on.wait(60)
        return renew(loaded, *values, **wishes)

    monkeypatch.setattr("cairn.serve.renewing.renew", held)
    images = client.get("/v1/landmarks/landmark0").json()["images"]
    client.delete(images[0]["picture"])
    assert inside.wait(60)
    for image in images[1:4]:
        assert client.delete(image["picture"]).json()["visible"]  # no change waits for it
    assert state(client) == "renewing"
    assert answer(client)["verdict"] is None
    go_on.set()
    until(lambda: state(client) == "fresh")
    until(lambda: figure(client, 'cairn_calibration_renewals_total{outcome="done"}') == 2)
    assert figure(client, 'cairn_calibration_renewals_total{outcome="superseded"}') == 1
    assert sizes[0] == 29
    assert set(sizes[1:]) == {26}
    contents = {path.parent.name for path in gallery.rglob("calibrations/*/*.json")}
    assert len(contents) == 2  # of the first version and of the last


@pytest.mark.parametrize("setting", ["renew", "read_only"])
def test_it_can_be_turned_off(gallery: Path, setting: str) -> None:
    wishes = {"renew": False} if setting == "renew" else {"read_only": True}
    kept = sorted(gallery.rglob("calibrations/*/*.json"))
    with serving(gallery, gallery={"watch_s": 0.05, **wishes}) as client:
        assert state(client) == "fresh"
        remove_images(gallery, image_ids=[Gallery.load(gallery).table.image_ids[0]])
        until(lambda: bool(about(client)["num_images"] == 29))
        assert state(client) == "stale"
        assert answer(client)["verdict"] is None
        assert figure(client, "cairn_calibration_fresh") == 0
    assert sorted(gallery.rglob("calibrations/*/*.json")) == kept


def test_without_a_validation_it_stays_stale(gallery: Path) -> None:
    shutil.rmtree(gallery / "validations")
    with serving(gallery, gallery={"watch_s": 0.05}) as client:
        client.delete(client.get("/v1/landmarks/landmark0").json()["images"][0]["picture"])
        assert (state(client), about(client)["calibration_trouble"]) == ("stale", "")
    shutil.rmtree(gallery / "calibrations")
    with serving(gallery) as client:
        assert (state(client), about(client)["calibration"]) == ("none", None)


def test_a_renewal_that_fails_is_told_and_not_tried_for_ever(gallery: Path) -> None:
    for path in gallery.rglob("queries.parquet"):
        path.write_bytes(path.read_bytes()[:-20])
    with serving(gallery, gallery={"watch_s": 0.05}) as client:
        client.delete(client.get("/v1/landmarks/landmark0").json()["images"][0]["picture"])
        until(lambda: state(client) == "stale")
        told = about(client)["calibration_trouble"]
        assert "cannot be used: its SHA-256 is another" in told
        assert str(gallery) not in told
        (gallery / "indexes").mkdir()
        (gallery / "indexes" / "another").mkdir()  # the watcher loads it all again
        until(lambda: figure(client, 'cairn_calibration_renewals_total{outcome="failed"}') == 2)
        assert state(client) == "stale"
        assert answer(client)["landmark"] is not None


def test_a_server_that_stops_gives_it_up(gallery: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, stopping, outcomes = threading.Event(), threading.Event(), []

    def held(*values: Any, **wishes: Any) -> Any:
        inside.set()
        assert stopping.wait(60)
        return renew(*values, **wishes)

    close, ended = Renewing.close, Renewing._ended

    def closed(self: Renewing, timeout_s: float) -> None:
        threading.Timer(0.1, stopping.set).start()
        close(self, timeout_s)

    def noted(self: Renewing, outcome: str, start: float) -> None:
        outcomes.append(outcome)
        ended(self, outcome, start)

    monkeypatch.setattr("cairn.serve.renewing.renew", held)
    monkeypatch.setattr(Renewing, "close", closed)
    monkeypatch.setattr(Renewing, "_ended", noted)
    kept = sorted(gallery.rglob("calibrations/*/*"))
    with serving(gallery) as client:
        client.delete(client.get("/v1/landmarks/landmark0").json()["images"][0]["picture"])
        assert inside.wait(60)
    assert outcomes == ["superseded"]
    assert sorted(gallery.rglob("calibrations/*/*")) == kept
    monkeypatch.setattr("cairn.serve.renewing.renew", renew)
    with serving(gallery, gallery={"watch_s": 0.05}) as client:  # the next start makes it good
        until(lambda: state(client) == "fresh")


def test_what_a_kill_leaves_behind_is_passed_over(gallery: Path) -> None:
    loaded = Gallery.load(gallery)
    folder = gallery / "calibrations" / loaded.content_key
    (folder / ".8834e8b7.json.123.tmp").write_text('{"format": 1, "mod', encoding="utf-8")
    root = gallery / "validations" / loaded.table.fingerprint
    (root / ".8834e8b7.json.123.tmp").write_text("{", encoding="utf-8")
    (root / ".0c0d.123.tmp").mkdir()
    remove_images(gallery, image_ids=[loaded.table.image_ids[0]])
    with serving(gallery, gallery={"watch_s": 0.05}) as client:
        until(lambda: state(client) == "fresh")
    assert {one.state for one in recalibrate(gallery)} <= {"fresh", "renewed"}


def test_a_recipe_s_chances_come_back_too(gallery: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'num_hits = 10\n[[stages]]\nstage = "penalty"\n[[stages]]\nstage = "sum-votes"\n',
        encoding="utf-8",
    )
    loaded = Gallery.load(gallery)
    (name, _) = kept_ways(loaded.place, loaded.table.fingerprint)
    plain = read_validation(loaded.place, name)
    stack = Stack.read(loaded, recipe, online=True)
    keep_validation(loaded.place, replace(plain, way=Way(recipe=stack.recipe)))
    with serving(gallery, stages=recipe, gallery={"watch_s": 0.05}) as client:
        until(lambda: state(client) == "fresh")  # there was none before
        client.delete(client.get("/v1/landmarks/landmark0").json()["images"][0]["picture"])
        until(lambda: state(client) == "fresh")
        assert answer(client)["verdict"] in ("known", "unknown")
        assert figure(client, 'cairn_calibration_renewals_total{outcome="done"}') == 2
