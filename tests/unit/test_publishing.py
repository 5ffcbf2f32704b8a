"""A published gallery: whole, checked, silent about the machine it came from; and the hub's way."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import torch
from PIL import Image

from cairn import Recognizer
from cairn.checkpoint import model_fingerprint, save_model
from cairn.config import ModelConfig, Preprocess
from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.gallery import Gallery, keep_penalty, log, remove_images, rename_landmark
from cairn.gallery.calibrating import calibrate_gallery
from cairn.gallery.calibrations import calibration_of, keep_calibration
from cairn.gallery.kept_validation import Validation, keep_validation
from cairn.joint import Joint, concatenated, write_joint
from cairn.model import build
from cairn.publishing import CONTENTS_NAME, pack, pull, push, unpack
from cairn.publishing.hub import Repository
from cairn.publishing.package import without_place
from cairn.recognize import recognize_table
from cairn.tables import EmbeddingTable

CONFIG = ModelConfig(
    backbone="resnext_small",
    backbone_args={"layers": (1, 1, 1, 1)},
    dimension=16,
    preprocess=Preprocess(image_size=32),
    weights="/secret/place/start.safetensors",
)
NUM = 20
CENTRES = np.random.default_rng(0).standard_normal((NUM, 16))


def unit(rows: np.ndarray) -> Float32:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def table(model: str, name: str, each: int, others: int, seed: int) -> EmbeddingTable:
    """Embeddings of ``each`` photographs a landmark, and of others that show none."""
    rng = np.random.default_rng(seed)
    shown = CENTRES.repeat(each, axis=0)
    vectors = np.concatenate(
        [shown + 0.5 * rng.standard_normal(shown.shape), rng.standard_normal((others, 16))]
    )
    ids = [f"{name}{row}" for row in range(len(vectors))]
    landmarks = [f"l{number}" for number in range(NUM) for _ in range(each)] + [""] * others
    paths = [f"/secret/place/{name}/{one}.jpg" for one in ids]
    return EmbeddingTable(ids, landmarks, paths, unit(vectors), model)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery with names, penalty and calibration."""
    root = tmp_path_factory.mktemp("publishing")
    torch.manual_seed(0)
    save_model(root / "model", build(CONFIG.model_copy(update={"weights": None})), CONFIG)
    fingerprint = model_fingerprint(root / "model")
    table(fingerprint, "g", 5, 0, 1).write(root / "embeddings")
    Gallery.build(root / "embeddings", root / "model", root / "gallery")
    keep_penalty(root / "gallery", table(fingerprint, "n", 0, 40, 2), min_n=1)
    rename_landmark(root / "gallery", "l0", "The *old* bridge")
    gallery = Gallery.load(root / "gallery")
    queries = table(fingerprint, "q", 4, 60, 3)
    rows = zip(queries.image_ids, queries.landmark_ids, strict=True)
    truth = {name: frozenset({landmark} - {""}) for name, landmark in rows}
    keep_calibration(gallery, calibrate_gallery(gallery, queries, truth, false_accept_rate=0.05))
    keep_validation(gallery.place, Validation(queries, truth, false_accept_rate=0.05))
    return root / "gallery"


def test_what_is_unpacked_answers_as_the_gallery_did(whole: Path, tmp_path: Path) -> None:
    package = pack(whole, tmp_path / "published", title="Bridges", license="cc-by-4.0")
    assert (package.num_images, package.num_landmarks, package.num_calibrations) == (100, NUM, 1)
    assert package.has_penalty
    assert package.version == Gallery.load(whole).version
    assert unpack(tmp_path / "published", tmp_path / "mine") == package
    before, after = Gallery.load(whole), Gallery.load(tmp_path / "mine")
    queries = table(before.table.fingerprint, "new", 2, 20, 9)
    mine = recognize_table(queries, after)
    for was, now in zip(recognize_table(queries, before), mine, strict=True):
        assert (was.landmark_id, was.confidence) == (now.landmark_id, now.confidence)
        assert (was.probability, was.is_known) == (now.probability, now.is_known)
        assert was.landmark == now.landmark
    assert {one.is_known for one in mine} == {True, False}
    assert calibration_of(after).to_json() == calibration_of(before).to_json()
    assert [line.operation for line in log(tmp_path / "mine")] == ["publish"]
    assert Recognizer.load(tmp_path / "mine", backend="torch").judge is not None


def test_a_gallery_of_a_joint_model_travels_with_its_members(tmp_path: Path) -> None:
    models = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        models.append(tmp_path / f"model{seed}")
        save_model(models[-1], build(CONFIG.model_copy(update={"weights": None})), CONFIG)
    joint = Joint(tuple(model_fingerprint(one) for one in models), (0.75, 0.25))
    write_joint(tmp_path / "joint", joint, models)
    parts = [table("any", "g", 2, 0, seed).vectors for seed in (1, 2)]
    rows = table(model_fingerprint(tmp_path / "joint"), "g", 2, 0, 1)
    replace(rows, vectors=concatenated(parts, joint.weights)).write(tmp_path / "embeddings")
    Gallery.build(tmp_path / "embeddings", tmp_path / "joint", tmp_path / "gallery")

    pack(tmp_path / "gallery", tmp_path / "published")
    unpack(tmp_path / "published", tmp_path / "pulled")

    texts = [p.read_text() for p in (tmp_path / "published").rglob("*.[jm][sd]*")]
    assert texts
    assert not any("/secret" in text for text in texts)
    card = (tmp_path / "published" / "README.md").read_text()
    assert "- its member of weight 0.75: resnext_small" in card
    picture = Image.fromarray(np.full((40, 40, 3), 90, np.uint8))
    answers = [
        Recognizer.load(tmp_path / name, backend="torch")(picture) for name in ("gallery", "pulled")
    ]
    assert answers[0].landmark_id == answers[1].landmark_id
    assert answers[0].confidence == answers[1].confidence


def test_an_unpacked_gallery_lives_on(whole: Path, tmp_path: Path) -> None:
    from cairn.gallery import add_embeddings

    pack(whole, tmp_path / "published")
    unpack(tmp_path / "published", tmp_path / "mine")
    fingerprint = Gallery.load(tmp_path / "mine").table.fingerprint
    more = table(fingerprint, "more", 1, 0, 5)
    more.write(tmp_path / "more")
    add_embeddings(tmp_path / "mine", tmp_path / "more")
    remove_images(tmp_path / "mine", image_ids=["g0"])
    gallery = Gallery.load(tmp_path / "mine")
    assert len(gallery.table) == 100 + NUM - 1
    assert gallery.penalty is not None  # made anew from the bank that came along


def test_an_older_version_can_be_published(whole: Path, tmp_path: Path) -> None:
    package = pack(whole, tmp_path / "first", version=1)
    assert (package.version, package.has_penalty, package.num_calibrations) == (1, False, 0)
    assert Gallery.load(tmp_path / "first").penalty is None


def test_nothing_of_the_machine_is_published(whole: Path, tmp_path: Path) -> None:
    pack(whole, tmp_path / "published")
    for path in sorted((tmp_path / "published").rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            assert b"secret" not in data, path
            assert str(tmp_path).encode() not in data, path
            assert str(whole.parent).encode() not in data, path
    assert Gallery.load(tmp_path / "published").table.paths[0] == "g0.jpg"


def test_the_validation_stays_at_home(whole: Path, tmp_path: Path) -> None:
    assert list(whole.rglob("validations/*/*/queries.parquet"))
    package = pack(whole, tmp_path / "published")
    assert not any("validation" in name for name in package.files)
    assert not (tmp_path / "published" / "validations").exists()
    unpack(tmp_path / "published", tmp_path / "mine")
    mine = Gallery.load(tmp_path / "mine")
    remove_images(tmp_path / "mine", image_ids=mine.table.image_ids[:1])
    with pytest.raises(CairnError, match="STALE") as caught:
        calibration_of(Gallery.load(tmp_path / "mine"))
    assert caught.value.todo == f"make it anew: cairn calibrate {tmp_path / 'mine'} MANIFEST"


def test_the_card_says_what_it_is_and_how_good(whole: Path, tmp_path: Path) -> None:
    pack(whole, tmp_path / "published", title="Bridges | towers", license="cc-by-4.0")
    card = (tmp_path / "published" / "README.md").read_text("utf-8")
    assert card.startswith("---\nlibrary_name: cairn\n")
    assert '\nlicense: "cc-by-4.0"\n' in card
    assert "# Bridges \\| towers" in card
    assert "100 photographs of 20 landmarks" in card
    assert "The \\*old\\* bridge" in card
    assert "40 non-landmarks penalize" in card
    assert "On 140 validation photographs, 60 of them of no landmark" in card
    found = calibration_of(Gallery.load(whole))
    assert f"| threshold on the chance | {found.threshold().value:.3f} |" in card


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["/a/b/c/1.jpg", "/a/b/d/2.jpg"], ["c/1.jpg", "d/2.jpg"]),
        (["/a/b/1.jpg"], ["1.jpg"]),
        (["x/1.jpg", "y/2.jpg"], ["x/1.jpg", "y/2.jpg"]),
        (["C:\\me\\1.jpg", "C:\\me\\z\\2.jpg"], ["1.jpg", "z/2.jpg"]),
        (["", "/home/me/1.jpg"], ["", "1.jpg"]),
        (["/home/me/1.jpg", "2.jpg"], ["home/me/1.jpg", "2.jpg"]),
        ([], []),
    ],
)
def test_paths_lose_their_common_folder(paths: list[str], expected: list[str]) -> None:
    assert without_place(paths) == expected


def damage(folder: Path, name: str, change: Any) -> None:
    path = folder / CONTENTS_NAME
    value = json.loads(path.read_text())
    change(value, folder / name)
    path.write_text(json.dumps(value))


def _flip(value: Any, path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def _cut(value: Any, path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _lose(value: Any, path: Path) -> None:
    path.unlink()


def _lie(value: Any, path: Path) -> None:
    value["content"] = "0" * 32


def _lead_out(value: Any, path: Path) -> None:
    value["files"]["../../escaped"] = value["files"]["README.md"]


def _forge(value: Any, path: Path) -> None:
    """Other weights under the old fingerprint, with right sums."""
    _flip(value, path)
    sha = hashlib.sha256(path.read_bytes()).hexdigest()
    name = path.relative_to(path.parents[2]).as_posix()
    value["files"][name]["sha256"] = sha


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_flip, "damaged: its SHA-256 is another"),
        (_cut, "damaged: .* bytes, .* expected"),
        (_lose, "is missing"),
        (_lie, "is not what it says: content"),
        (_lead_out, "no name of a file within the folder"),
        (_forge, "is not what it says: model"),
        (lambda value, path: value.update(format=9), "of format 9"),
        (lambda value, path: value.pop("title"), "cannot be used"),
        (lambda value, path: value.update(files=[]), "cannot be used"),
    ],
)
def test_what_differs_is_refused_and_nothing_is_left(
    whole: Path, tmp_path: Path, change: Any, message: str
) -> None:
    package = pack(whole, tmp_path / "published")
    damage(tmp_path / "published", f"models/{package.model}/model.safetensors", change)
    with pytest.raises(CairnError, match=message):
        unpack(tmp_path / "published", tmp_path / "mine")
    assert not (tmp_path / "mine").exists()
    assert not (tmp_path.parent / "escaped").exists()


def test_files_that_the_list_does_not_name_stay_behind(whole: Path, tmp_path: Path) -> None:
    pack(whole, tmp_path / "published")
    (tmp_path / "published" / "extra.py").write_text("print()")
    unpack(tmp_path / "published", tmp_path / "mine")
    assert not (tmp_path / "mine" / "extra.py").exists()


def test_a_place_that_is_taken_and_a_folder_that_is_none(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(CairnError, match="not a published gallery"):
        pull(whole, tmp_path / "mine")
    pack(whole, tmp_path / "published")
    with pytest.raises(CairnError, match="taken"):
        push(whole, tmp_path / "published")
    with pytest.raises(CairnError, match="taken"):
        pull(tmp_path / "published", whole)
    assert Gallery.load(whole).penalty is not None


def test_addresses_of_repositories() -> None:
    assert Repository.of("hf://me/paris") == Repository("me/paris")
    assert Repository.of(Path("hf://me/paris")) == Repository("me/paris")
    assert Repository.of("hf://me/paris@v1.0/") == Repository("me/paris", "v1.0")
    assert Repository.of("some/folder") is None
    for wrong in ("hf://paris", "hf://", "hf://a/b/c", "hf:me/paris"):
        with pytest.raises(CairnError, match="not an address"):
            Repository.of(wrong)


class Hub(ThreadingHTTPServer):
    """As much of a hub as its library asks for: repositories with one branch, in memory."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.refused = 0
        self.log: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit_id(self, name: str) -> str:
        parts = [
            f"{k}{hashlib.sha1(v).hexdigest()}" for k, v in sorted(self.repositories[name].items())
        ]
        return hashlib.sha1("".join(parts).encode()).hexdigest()


class _Answer(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *arguments: Any) -> None:
        self.server.log.append(f"{self.command} {self.path}")

    def _send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, value: Any, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode(), Content_Type="application/json")

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_POST(self) -> None:
        hub, parts, body = self.server, urlsplit(self.path).path.split("/"), self._body()
        if hub.refused:
            return self._json({"error": "no"}, hub.refused)
        if parts[1:4] == ["api", "repos", "create"]:
            value = json.loads(body)
            name = f"{value.get('organization') or 'me'}/{value['name']}"
            hub.private[name] = bool(value.get("private") or value.get("visibility") == "private")
            if name in hub.repositories:
                return self._json({"error": "exists", "url": f"{hub.url}/{name}"}, 409)
            hub.repositories[name] = {}
            return self._json({"url": f"{hub.url}/{name}"})
        if parts[1:] == ["api", "validate-yaml"]:
            return self._json({"errors": [], "warnings": []})
        name = "/".join(parts[3:5])
        if parts[5] == "preupload":
            files = [
                {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for one in json.loads(body)["files"]
            ]
            return self._json({"files": files, "commitOid": hub.commit_id(name)})
        if parts[5] == "commit":
            for line in body.decode().splitlines():
                one = json.loads(line)
                if one["key"] == "file":
                    content = base64.b64decode(one["value"]["content"])
                    hub.repositories[name][one["value"]["path"]] = content
                if one["key"] == "deletedFile":
                    del hub.repositories[name][one["value"]["path"]]
            oid = hub.commit_id(name)
            return self._json(
                {"commitUrl": f"{hub.url}/{name}/commit/{oid}", "commitOid": oid, "success": True}
            )
        return self._json({"error": "not here"}, 404)

    def do_GET(self) -> None:
        hub, parts = self.server, unquote(urlsplit(self.path).path).split("/")
        if hub.refused:
            return self._json({"error": "no"}, hub.refused)
        if parts[1] == "api" and parts[2] == "models":
            name = "/".join(parts[3:5])
            if name not in hub.repositories:
                return self._send(404, b"", X_Error_Code="RepoNotFound")
            files = hub.repositories[name]
            if "tree" in parts:
                tree = [
                    {
                        "type": "file",
                        "path": path,
                        "size": len(data),
                        "oid": hashlib.sha1(data).hexdigest(),
                    }
                    for path, data in sorted(files.items())
                ]
                return self._json(tree)
            revision = parts[6] if len(parts) > 6 else "main"
            if revision not in ("main", hub.commit_id(name)):
                return self._send(404, b"", X_Error_Code="RevisionNotFound")
            siblings = [{"rfilename": path} for path in sorted(files)]
            value = {"id": name, "sha": hub.commit_id(name), "siblings": siblings, "private": True}
            return self._json(value)
        name, path = "/".join(parts[1:3]), "/".join(parts[5:])
        data = hub.repositories.get(name, {}).get(path)
        if data is None:
            return self._send(404, b"", X_Error_Code="EntryNotFound")
        etag = hashlib.sha1(data).hexdigest()
        return self._send(200, data, ETag=f'"{etag}"', X_Repo_Commit=hub.commit_id(name))

    do_HEAD = do_GET


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    from huggingface_hub import constants

    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    for name, value in (("HF_HUB_CACHE", tmp_path / "cache"), ("HF_HOME", tmp_path / "home")):
        monkeypatch.setattr(constants, name, str(value))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_not_a_real_one")
    yield server
    server.shutdown()
    server.server_close()


def test_push_to_a_hub_and_pull_from_it(whole: Path, tmp_path: Path, hub: Hub) -> None:
    package, where = push(whole, "hf://me/paris")
    assert where == "hf://me/paris"
    assert hub.private == {"me/paris": True}
    files = hub.repositories["me/paris"]
    assert set(files) - {".gitattributes"} == {*package.files, CONTENTS_NAME}
    assert b"# paris" in files["README.md"]
    pulled = pull("hf://me/paris", tmp_path / "mine")
    assert pulled == package
    assert Gallery.load(tmp_path / "mine").content_key == Gallery.load(whole).content_key
    assert any(name.startswith("penalties/") for name in files)
    push(whole, "hf://me/paris", version=1)  # what the older version has not goes away
    assert not any(name.startswith(("penalties/", "banks/", "calibrations/")) for name in files)
    assert sum(name.startswith("vectors.lance/data/") for name in files) == 1
    assert not pull("hf://me/paris", tmp_path / "older").has_penalty


def test_a_hub_that_refuses_or_is_not_there(
    whole: Path, tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CairnError, match="no such repository"):
        pull("hf://me/rome", tmp_path / "mine")
    hub.refused = 403
    with pytest.raises(CairnError, match="this account or token may not do that"):
        push(whole, "hf://me/paris")
    hub.refused = 0
    push(whole, "hf://me/paris")
    with pytest.raises(CairnError, match="no such revision"):
        pull("hf://me/paris@v9", tmp_path / "mine")
    hub.repositories["me/paris"]["README.md"] += b"changed"
    with pytest.raises(CairnError, match="damaged"):
        pull("hf://me/paris", tmp_path / "mine")
    assert not (tmp_path / "mine").exists()
