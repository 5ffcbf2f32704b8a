"""What changes a gallery: each is one version with its line in the log, and penalties follow."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from cairn.attraction import Attraction
from cairn.checkpoint import model_fingerprint, save_model
from cairn.config import ModelConfig, Preprocess
from cairn.domain import Float32
from cairn.embed import embed
from cairn.errors import CairnError
from cairn.gallery import (
    Gallery,
    add_embeddings,
    add_photographs,
    compact,
    keep_penalty,
    log,
    merge_landmarks,
    reembed,
    remove_images,
    rename_landmark,
    rollback,
    tag,
    untag,
    versions,
)
from cairn.gallery.place import Place
from cairn.gallery.versions import Version
from cairn.manifest import Manifest
from cairn.model import build
from cairn.penalty import penalty_table
from cairn.tables import EmbeddingTable

CONFIG = ModelConfig(
    backbone="resnext_small",
    backbone_args={"layers": (1, 1, 1, 1)},
    dimension=8,
    preprocess=Preprocess(image_size=32),
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two models, of 8 and of 6 dimensions."""
    root = tmp_path_factory.mktemp("models")
    for seed, dimension in enumerate((8, 6)):
        config = CONFIG.model_copy(update={"dimension": dimension})
        torch.manual_seed(seed)
        save_model(root / str(seed), build(config), config)
    return root / "0", root / "1"


def unit(n: int, seed: int, d: int = 8) -> Float32:
    vectors = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def table(model: Path, names: str, landmarks: str, *, seed: int = 0) -> EmbeddingTable:
    """Return rows with the ids and landmarks named, apart by spaces; "-" for no landmark."""
    ids = names.split()
    marks = ["" if mark == "-" else mark for mark in landmarks.split()]
    return EmbeddingTable(
        ids, marks, [f"/p/{i}.jpg" for i in ids], unit(len(ids), seed), model_fingerprint(model)
    )


@pytest.fixture
def gallery(models: tuple[Path, Path], tmp_path: Path) -> Path:
    """Six images of three landmarks, one with a name, and a penalty; at version 2."""
    first = table(models[0], "a1 a2 b1 b2 泰1 a3", "a a b b 泰山 a")
    first.write(tmp_path / "e")
    folder = tmp_path / "画廊"
    Gallery.build(tmp_path / "e", models[0], folder, landmark_names={"泰山": "Mount Tai"})
    keep_penalty(folder, bank(models[0]), top=2, min_n=1)
    return folder


def bank(model: Path, seed: int = 9) -> EmbeddingTable:
    return table(model, "n1 n2 n3 n4", "- - - -", seed=seed)


def added(model: Path, folder: Path, names: str = "c1 b3", landmarks: str = "c b") -> Path:
    table(model, names, landmarks, seed=5).write(folder)
    return folder


def brute(loaded: Gallery, nonlandmarks: EmbeddingTable) -> Float32:
    """Return the penalty that the gallery must have, made from nothing."""
    made = penalty_table(loaded.table.vectors, nonlandmarks.vectors, top=2, min_n=1)
    return made.penalty


def assert_penalty_fits(folder: Path, nonlandmarks: EmbeddingTable) -> None:
    loaded = Gallery.load(folder)
    assert loaded.penalty is not None
    np.testing.assert_array_equal(loaded.penalty.penalty, brute(loaded, nonlandmarks))


def state(folder: Path, version: int | str | None = None) -> dict[str, Any]:
    loaded = Gallery.load(folder, version=version)
    rows = zip(loaded.table.image_ids, loaded.table.landmark_ids, loaded.table.paths, strict=True)
    return {
        "rows": list(rows),
        "vectors": loaded.table.vectors.tobytes(),
        "names": loaded.landmark_names,
        "model": loaded.table.fingerprint,
        "penalty": None if loaded.penalty is None else loaded.penalty.penalty.tobytes(),
    }


def test_added_images_come_last_and_the_penalty_follows(
    gallery: Path, models: tuple[Path, Path], tmp_path: Path
) -> None:
    before = Gallery.load(gallery)
    names = {"c": "The C", "b": "The B"}
    entry = add_embeddings(gallery, added(models[0], tmp_path / "more"), landmark_names=names)
    assert (entry.version, entry.operation) == (3, "add")
    assert (entry.images_before, entry.num_images) == (6, 8)
    assert (entry.landmarks_before, entry.num_landmarks) == (3, 4)
    after = Gallery.load(gallery)
    assert after.table.image_ids == ["a1", "a2", "b1", "b2", "泰1", "a3", "c1", "b3"]
    assert after.table.landmark_ids[-2:] == ["c", "b"]
    np.testing.assert_array_equal(after.table.vectors[:6], before.table.vectors)
    np.testing.assert_array_equal(after.table.vectors[6:], unit(2, 5))
    assert after.landmark_names == {"泰山": "Mount Tai", "c": "The C"}, "b keeps having no name"
    assert after.content_key == entry.content != before.content_key
    assert replace(after).content_key == after.content_key, "from the dataset as from the table"
    assert_penalty_fits(gallery, bank(models[0]))


def test_add_refuses_ids_that_are_there_and_other_models(
    gallery: Path, models: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(CairnError, match="2 of these 3 images are in the gallery") as caught:
        add_embeddings(gallery, added(models[0], tmp_path / "x", "a1 z b2", "c c c"))
    assert "'a1', 'b2'" in caught.value.what
    assert "cairn gallery remove" in caught.value.todo
    with pytest.raises(CairnError, match="1 of 2 images have no landmark"):
        add_embeddings(gallery, added(models[0], tmp_path / "y", "z1 z2", "c -"))
    other = replace(table(models[0], "z", "c"), fingerprint="another")
    other.write(tmp_path / "z")
    with pytest.raises(CairnError, match="come from model another"):
        add_embeddings(gallery, tmp_path / "z")
    assert Gallery.load(gallery).version == 2


def test_removed_images_are_gone_and_the_penalty_follows(
    gallery: Path, models: tuple[Path, Path], tmp_path: Path
) -> None:
    add_embeddings(gallery, added(models[0], tmp_path / "more"))
    entry = remove_images(gallery, image_ids=["a2", "b3", "a2"], landmark_ids=["泰山"])
    assert (entry.images_before, entry.num_images, entry.num_landmarks) == (8, 5, 3)
    assert entry.arguments == {"images": 3, "ids": ["a2", "b3"], "of landmarks": ["泰山"]}
    loaded = Gallery.load(gallery)
    assert loaded.table.image_ids == ["a1", "b1", "b2", "a3", "c1"]
    np.testing.assert_array_equal(loaded.table.vectors[:4], unit(6, 0)[[0, 2, 3, 5]])
    assert loaded.landmark_names == {}
    assert_penalty_fits(gallery, bank(models[0]))
    remove_images(gallery, image_ids=["c1"])  # the last one of its data file
    assert Gallery.load(gallery).table.image_ids == ["a1", "b1", "b2", "a3"]
    add_embeddings(gallery, tmp_path / "more")
    assert Gallery.load(gallery).table.image_ids == ["a1", "b1", "b2", "a3", "c1", "b3"]
    assert_penalty_fits(gallery, bank(models[0]))


def test_remove_refuses_what_is_not_there_and_everything(gallery: Path) -> None:
    with pytest.raises(CairnError, match=r"no image 'a11', 'q'") as caught:
        remove_images(gallery, image_ids=["a1", "a11", "q"])
    assert "did you mean" in caught.value.todo
    assert "'a1'" in caught.value.todo
    with pytest.raises(CairnError, match="no landmark '泰'") as caught:
        remove_images(gallery, landmark_ids=["泰"])
    assert "'泰山'" in caught.value.todo
    with pytest.raises(CairnError, match="remove every image"):
        remove_images(gallery, landmark_ids=["a", "b", "泰山"])
    with pytest.raises(CairnError, match="nothing is named"):
        remove_images(gallery)
    assert Gallery.load(gallery).version == 2


def test_merging_moves_images_and_keeps_vectors_and_penalty(
    gallery: Path, models: tuple[Path, Path], tmp_path: Path
) -> None:
    add_embeddings(gallery, added(models[0], tmp_path / "more"))
    before = state(gallery)
    entry = merge_landmarks(gallery, "b", into="泰山")
    assert entry.arguments == {"landmark": "b", "into": "泰山", "images": 3}
    assert (entry.num_images, entry.landmarks_before, entry.num_landmarks) == (8, 4, 3)
    after = state(gallery)
    assert [row[1] for row in after["rows"]] == ["a", "a", "泰山", "泰山", "泰山", "a", "c", "泰山"]
    for part in ("vectors", "penalty"):
        assert after[part] == before[part]
    assert after["names"] == {"泰山": "Mount Tai"}
    merge_landmarks(gallery, "泰山", into="c")
    loaded = Gallery.load(gallery)
    assert loaded.landmark_names == {"c": "Mount Tai"}, "one without a name takes the other's"
    assert loaded.num_landmarks == 2
    with pytest.raises(CairnError, match="no landmark 'b'"):
        merge_landmarks(gallery, "b", into="a")
    with pytest.raises(CairnError, match="is one landmark already"):
        merge_landmarks(gallery, "a", into="a")


def test_a_name_changes_and_goes(gallery: Path) -> None:
    entry = rename_landmark(gallery, "a", "The A")
    assert entry.arguments == {"landmark": "a", "name": "The A", "before": ""}
    assert Gallery.load(gallery).landmark_names == {"泰山": "Mount Tai", "a": "The A"}
    rename_landmark(gallery, "泰山", "")
    assert Gallery.load(gallery).landmark_names == {"a": "The A"}
    assert Gallery.load(gallery).table.landmark_ids == ["a", "a", "b", "b", "泰山", "a"]
    with pytest.raises(CairnError, match="has the name 'The A' already"):
        rename_landmark(gallery, "a", "The A")
    with pytest.raises(CairnError, match="no landmark 'A'"):
        rename_landmark(gallery, "A", "x")


def test_the_log_tells_every_version_and_rollback_returns_to_each(
    gallery: Path, models: tuple[Path, Path], tmp_path: Path
) -> None:
    add_embeddings(gallery, added(models[0], tmp_path / "more"))
    remove_images(gallery, image_ids=["a1"])
    merge_landmarks(gallery, "b", into="a")
    rename_landmark(gallery, "a", "New")
    states = {number: state(gallery, number) for number in range(1, 7)}
    lines = log(gallery)
    assert [line.version for line in lines] == [6, 5, 4, 3, 2, 1]
    assert [line.operation for line in lines][::-1] == [
        *("build", "penalize", "add", "remove", "merge", "rename"),
    ]
    assert [line.num_images for line in lines][::-1] == [6, 6, 8, 7, 7, 7]
    assert all(line.cairn and line.time and line.model for line in lines)
    assert lines[0].images_before == 7
    for target in (1, 3, 2, 5, 4, 6):
        entry = rollback(gallery, target)
        assert (entry.operation, entry.arguments) == ("rollback", {"to": target})
        assert state(gallery) == states[target]
    assert state(gallery, 4) == states[4], "going back forgets nothing"
    with pytest.raises(CairnError, match="no version 99") as caught:
        rollback(gallery, 99)
    assert "1 to 12" in caught.value.todo
    with pytest.raises(CairnError, match="at version 12 already"):
        rollback(gallery, 12)
    add_embeddings(gallery, added(models[0], tmp_path / "after", "d1", "d"))
    assert_penalty_fits(gallery, bank(models[0]))


def test_tags_name_versions(gallery: Path, models: tuple[Path, Path], tmp_path: Path) -> None:
    assert tag(gallery, "first", version=1) == 1
    assert tag(gallery, "release-1.0") == 2
    assert tag(gallery, "release-1.0") == 2, "named so already"
    add_embeddings(gallery, added(models[0], tmp_path / "more"))
    assert len(Gallery.load(gallery, version="release-1.0").table) == 6
    assert {line.version: line.tags for line in log(gallery)}[1] == ("first",)
    with pytest.raises(CairnError, match="is at version 1 already"):
        tag(gallery, "first")
    assert tag(gallery, "first", move=True) == 3
    assert rollback(gallery, "release-1.0").arguments == {"to": 2, "tag": "release-1.0"}
    with pytest.raises(CairnError, match="no tag 'frist'") as caught:
        Gallery.load(gallery, version="frist")
    assert "first" in caught.value.todo
    assert untag(gallery, "first") == 3
    with pytest.raises(CairnError, match="no tag 'first'"):
        untag(gallery, "first")
    with pytest.raises(CairnError, match="taken for a number"):
        tag(gallery, "7")
    with pytest.raises(CairnError, match="cannot be set"):
        tag(gallery, "a/b")


def test_compaction_frees_what_no_kept_version_needs(
    gallery: Path, models: tuple[Path, Path], tmp_path: Path
) -> None:
    tag(gallery, "kept", version=2)
    for number in range(3):
        add_embeddings(gallery, added(models[0], tmp_path / f"m{number}", f"m{number}", "m"))
    remove_images(gallery, image_ids=["a1", "m1"])
    merge_landmarks(gallery, "b", into="a")
    before, tagged = state(gallery), state(gallery, "kept")
    (gallery / "indexes" / "0123").mkdir(parents=True)
    (gallery / "penalties" / "orphan.parquet").touch()
    done = compact(gallery, keep_days=30)
    assert (done.removed_versions, done.removed) == (0, ()), "all is younger"
    assert (done.files_before, done.files_after) == (4, 1)
    assert state(gallery) == before
    assert state(gallery, 3)["rows"][-1][0] == "m0"
    assert log(gallery)[0].operation == "compact"
    done = compact(gallery, keep_days=0)
    assert done.removed_versions == 6, "all but the newest and the tagged one"
    assert done.freed_bytes > 0
    assert {line.version for line in log(gallery)} == {2, done.version}
    assert [line.operation for line in log(gallery)] == ["compact", "penalize"]
    assert state(gallery) == before
    assert state(gallery, "kept") == tagged
    assert len(list((gallery / "penalties").iterdir())) == 2
    assert {Path(name).name for name in done.removed} >= {"0123", "orphan.parquet"}
    assert len(list((gallery / "models").iterdir())) == 1
    again = compact(gallery, keep_days=0)
    assert (again.version, again.removed_versions, again.removed) == (done.version, 0, ())
    with pytest.raises(CairnError, match="no version 3"):
        rollback(gallery, 3)
    with pytest.raises(CairnError, match="cannot be negative"):
        compact(gallery, keep_days=-1)


def test_compaction_keeps_the_order_of_rows(
    gallery: Path, models: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cairn.gallery.versions.MAX_ROWS_PER_FILE", 4)
    monkeypatch.setattr("cairn.gallery.compaction.MAX_ROWS_PER_FILE", 4)
    for number in range(4):
        names = " ".join(f"m{number}{i}" for i in range(4))
        add_embeddings(gallery, added(models[0], tmp_path / f"m{number}", names, "m m m m"))
    for gone in (["m10"], ["m22", "m23"], ["a1", "a2", "m00"]):
        remove_images(gallery, image_ids=gone)
        before = state(gallery)
        assert len(Version.open(Place(gallery)).fragments) > 1
        compact(gallery)
        assert state(gallery) == before
        table = Gallery.load(gallery)
        assert len(set(table.table.image_ids)) == len(table.table)


def test_a_change_by_another_program_makes_the_penalty_stale(
    gallery: Path, models: tuple[Path, Path], tmp_path: Path
) -> None:
    lance.dataset(str(gallery / "vectors.lance")).delete("image_id = 'a1'")
    with pytest.raises(CairnError, match="stale") as caught:
        Gallery.load(gallery)
    assert f"cairn penalize {gallery} BANK" in caught.value.todo
    assert len(Gallery.load(gallery, penalty=False).table) == 5
    line = log(gallery)[0]
    assert (line.operation, line.num_images) == ("unknown", None)
    keep_penalty(gallery, bank(models[0]), top=2, min_n=1)
    assert_penalty_fits(gallery, bank(models[0]))
    lance.dataset(str(gallery / "vectors.lance")).delete("image_id = 'a2'")
    add_embeddings(gallery, added(models[0], tmp_path / "more"))
    assert_penalty_fits(gallery, bank(models[0]))


def test_a_penalty_whose_bank_is_gone_says_so(
    gallery: Path, models: tuple[Path, Path], tmp_path: Path
) -> None:
    shutil.rmtree(gallery / "banks")
    with pytest.raises(CairnError, match="bank of this gallery's penalty is missing") as caught:
        add_embeddings(gallery, added(models[0], tmp_path / "more"))
    assert "cairn penalize" in caught.value.todo
    assert Gallery.load(gallery).version == 2, "the version that is there has its penalty"


def test_a_change_costs_its_own_products_alone(
    gallery: Path, models: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def anew(*_: object, **__: object) -> None:
        raise AssertionError("the whole gallery was compared with the whole bank")

    with monkeypatch.context() as patch:
        patch.setattr(Attraction, "of", anew)
        add_embeddings(gallery, added(models[0], tmp_path / "more"))
        remove_images(gallery, image_ids=["b1", "c1"])
        assert_penalty_fits(gallery, bank(models[0]))
        rollback(gallery, 3)
        remove_images(gallery, landmark_ids=["a"])
        assert_penalty_fits(gallery, bank(models[0]))
        remove_images(gallery, image_ids=["b3"])
        add_embeddings(gallery, added(models[0], tmp_path / "b3", "b4", "b"))
        assert_penalty_fits(gallery, bank(models[0]))
    compact(gallery, keep_days=0)
    assert len(list((gallery / "attractions").iterdir())) == 1
    monkeypatch.setattr(Attraction, "of", anew)
    remove_images(gallery, image_ids=["b4"])
    assert_penalty_fits(gallery, bank(models[0]))


def test_the_same_images_in_another_order_are_not_mistaken(
    gallery: Path, models: tuple[Path, Path], tmp_path: Path
) -> None:
    parts = {name: table(models[0], name, "c", seed=ord(name)) for name in "xy"}
    for name, part in parts.items():
        part.write(tmp_path / name)
    contents = []
    for order in ("xy", "yx"):
        rollback(gallery, 2) if order == "yx" else None
        for name in order:
            add_embeddings(gallery, tmp_path / name)
        contents.append(Gallery.load(gallery).content_key)
        assert Gallery.load(gallery).table.image_ids[-2:] == list(order)
        assert_penalty_fits(gallery, bank(models[0]))
    assert contents[0] == contents[1]
    remove_images(gallery, image_ids=["a1"])
    assert_penalty_fits(gallery, bank(models[0]))


def test_bad_settings_of_a_penalty_are_refused(gallery: Path, models: tuple[Path, Path]) -> None:
    with pytest.raises(CairnError, match="1 <= min_n <= max_n"):
        keep_penalty(gallery, bank(models[0]), min_n=13)
    assert Gallery.load(gallery).version == 2


def test_a_second_writer_is_told_to_wait(
    gallery: Path, models: tuple[Path, Path], tmp_path: Path
) -> None:
    source = added(models[0], tmp_path / "more")
    with Place(gallery).writing(), pytest.raises(CairnError, match="another process") as caught:
        add_embeddings(gallery, source)
    assert "wait" in caught.value.todo
    assert add_embeddings(gallery, source).version == 3


def test_of_two_changes_of_one_version_only_one_goes_through(
    gallery: Path, models: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the lock, as in an object store: whoever commits second is refused."""

    monkeypatch.setattr(Place, "writing", lambda self: nullcontext())
    source = added(models[0], tmp_path / "more")
    add_embeddings(gallery, added(models[0], tmp_path / "two", "d1", "d"))  # to be compacted
    changes: dict[str, Callable[[], object]] = {
        "compact": lambda: compact(gallery),
        "add": lambda: add_embeddings(gallery, source),
        "remove": lambda: remove_images(gallery, image_ids=["a2"]),
        "merge": lambda: merge_landmarks(gallery, "b", into="a"),
        "penalize": lambda: keep_penalty(gallery, bank(models[0], 3)),
    }
    commit = versions._commit
    for first in changes:
        for second in changes:
            if first == second:
                continue
            start = Gallery.load(gallery).version

            def overtaken(*args: Any, first: str = first) -> Any:
                monkeypatch.setattr(versions, "_commit", commit)
                changes[first]()
                return commit(*args)

            monkeypatch.setattr(versions, "_commit", overtaken)
            with pytest.raises(CairnError, match="another writer"):
                changes[second]()
            lines = log(gallery)
            assert [line.operation for line in lines if line.version > start] == [first]
            rollback(gallery, 3)


def test_a_reembedding_that_was_overtaken_changes_nothing(
    pictured: Path, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cairn.gallery import versions

    monkeypatch.setattr(Place, "writing", lambda self: nullcontext())
    commit = versions._commit

    def overtaken(*args: Any) -> Any:
        monkeypatch.setattr(versions, "_commit", commit)
        rename_landmark(pictured, "landmark1", "quick")
        return commit(*args)

    monkeypatch.setattr(versions, "_commit", overtaken)
    with pytest.raises(CairnError, match="another writer"):
        reembed(pictured, models[1], backend="torch")
    loaded = Gallery.load(pictured)
    assert loaded.landmark_names == {"landmark1": "quick"}
    assert loaded.table.fingerprint == model_fingerprint(models[0])
    assert loaded.penalty is not None
    assert [line.operation for line in log(pictured)] == ["rename", "penalize", "build"]
    assert reembed(pictured, models[1], backend="torch").version == 4
    rollback(pictured, 3)

    def overtaken_by_reembedding(*args: Any) -> Any:
        monkeypatch.setattr(versions, "_commit", commit)
        reembed(pictured, models[1], backend="torch")
        return commit(*args)

    monkeypatch.setattr(versions, "_commit", overtaken_by_reembedding)
    with pytest.raises(CairnError, match="another writer"):
        merge_landmarks(pictured, "landmark1", into="landmark2")
    assert [line.operation for line in log(pictured)][:2] == ["reembed", "rollback"]


@pytest.fixture
def pictured(pictures: Manifest, models: tuple[Path, Path], tmp_path: Path) -> Path:
    """A gallery of the training photographs, penalized by the non-landmarks; at version 2."""
    photos = tmp_path / "photos"
    shutil.copytree(pictures.root, photos)
    manifest = Manifest.read(photos / "manifest.parquet")
    embed(models[0], manifest.select("train"), tmp_path / "train", backend="torch")
    embed(models[0], manifest.select("nonlandmark"), tmp_path / "bank", backend="torch")
    Gallery.build(tmp_path / "train", models[0], tmp_path / "g")
    keep_penalty(tmp_path / "g", EmbeddingTable.read(tmp_path / "bank"), max_n=5)
    return tmp_path / "g"


def test_reembedding_changes_the_model_and_nothing_else(
    pictured: Path, models: tuple[Path, Path], tmp_path: Path
) -> None:
    before = state(pictured)
    entry = reembed(pictured, models[1], backend="torch")
    assert (entry.version, entry.operation, entry.num_images) == (3, "reembed", 30)
    after = Gallery.load(pictured)
    assert after.table.fingerprint == model_fingerprint(models[1])
    assert model_fingerprint(after.model_dir) == after.table.fingerprint
    assert after.table.dimension == 6
    assert state(pictured)["rows"] == before["rows"]
    manifest = Manifest.read(tmp_path / "photos" / "manifest.parquet")
    embed(models[1], manifest.select("train"), tmp_path / "again", backend="torch")
    np.testing.assert_array_equal(
        after.table.vectors, EmbeddingTable.read(tmp_path / "again").vectors
    )
    embed(models[1], manifest.select("nonlandmark"), tmp_path / "bank2", backend="torch")
    nonlandmarks = EmbeddingTable.read(tmp_path / "bank2")
    assert after.penalty is not None
    expected = penalty_table(after.table.vectors, nonlandmarks.vectors, top="auto", max_n=5)
    np.testing.assert_array_equal(after.penalty.penalty, expected.penalty)
    assert not (pictured / "work").exists()
    with pytest.raises(CairnError, match="of this model already"):
        reembed(pictured, models[1])
    rollback(pictured, 2)
    assert state(pictured) == before
    assert model_fingerprint(Gallery.load(pictured).model_dir) == before["model"]
    compact(pictured, keep_days=0)
    assert state(pictured) == before
    assert [path.name for path in (pictured / "models").iterdir()] == [before["model"]]


def test_reembedding_asks_before_it_drops_photographs(
    pictured: Path, models: tuple[Path, Path], tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    (photos / "train/landmark0/1.jpg").unlink()
    (photos / "nonlandmark/none/3.jpg").unlink()
    with pytest.raises(CairnError, match="1 of 12 photographs are missing from the bank"):
        reembed(pictured, models[1], backend="torch")
    (photos / "nonlandmark/none/3.jpg").write_bytes(b"broken")
    with pytest.raises(CairnError, match="1 of 30 photographs are missing") as caught:
        reembed(pictured, models[1], backend="torch")
    assert str(photos / "train/landmark0/1.jpg") in caught.value.what
    assert "--drop-missing" in caught.value.todo
    assert Gallery.load(pictured).version == 2
    entry = reembed(pictured, models[1], drop_missing=True, backend="torch")
    assert (entry.arguments["dropped"], entry.arguments["bank dropped"]) == (1, 1)
    loaded = Gallery.load(pictured)
    assert len(loaded.table) == 29
    assert loaded.penalty is not None
    assert loaded.penalty.bank_size == 11


def test_an_interrupted_reembedding_goes_on(
    pictured: Path, models: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("cairn.gallery.reembedding.keep", stop)
        with pytest.raises(KeyboardInterrupt):
            reembed(pictured, models[1], backend="torch")
    assert Gallery.load(pictured).version == 2
    monkeypatch.setattr("cairn.embed.load_runtime", stop)  # nothing is embedded a second time
    assert reembed(pictured, models[1], backend="torch").num_images == 30


def test_photographs_are_embedded_by_the_gallery_s_own_model(
    pictured: Path, models: tuple[Path, Path], tmp_path: Path
) -> None:
    manifest = Manifest.read(tmp_path / "photos" / "manifest.parquet")
    with pytest.raises(CairnError, match="30 of these 30 images are in the gallery already"):
        add_photographs(pictured, manifest, backend="torch")
    queries = manifest.select("query")
    shown = [row for row, mark in enumerate(queries.landmark_ids) if mark]
    new = Manifest.from_columns(
        {
            "image_id": [queries.image_ids[row] for row in shown] + ["broken"],
            "path": [str(queries.paths[row]) for row in shown] + [str(tmp_path / "broken.jpg")],
            "landmark_id": [queries.landmark_ids[row] for row in shown] + ["landmark0"],
            "role": ["gallery"] * (len(shown) + 1),
            "landmark_name": ["A name"] * (len(shown) + 1),
        },
        root=tmp_path,
    )
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    entry = add_photographs(pictured, new, backend="torch")
    assert (entry.arguments["images"], entry.arguments["unreadable"]) == (15, 1)
    loaded = Gallery.load(pictured)
    embed(models[0], queries.take(shown), tmp_path / "q", backend="torch")
    expected = EmbeddingTable.read(tmp_path / "q")
    assert loaded.table.image_ids[30:] == expected.image_ids
    np.testing.assert_array_equal(loaded.table.vectors[30:], expected.vectors)
    assert loaded.penalty is not None
    assert not (pictured / "work").exists()
    kept = pq.read_table(loaded.penalty_path)
    assert kept["image_id"].to_pylist() == loaded.table.image_ids
