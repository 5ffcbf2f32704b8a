"""Plain folders to a manifest: one folder of photographs per landmark.

Files are listed, not opened: a file is a photograph by the ending of its name, and ``cairn
inspect`` tells which of them cannot be read. Hidden files and folders are passed over.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from zlib import crc32

import numpy as np

from cairn.errors import CairnError
from cairn.images import IMAGE_SUFFIXES
from cairn.manifest import DEFAULT_LABEL_SPACE, Manifest
from cairn.sources.names import landmark_ids
from cairn.sources.presence import require_folder

NO_LANDMARK_FOLDER = "nonlandmark"
"""A folder of this name, at the top of any tree, holds photographs that show no landmark."""

_SPLITS = frozenset(
    ("train", "training", "val", "valid", "validation", "test", "testing", "query", "queries")
)


@dataclass(frozen=True)
class FolderContents:
    """What a search of folders found.

    Args:
        manifest: The photographs.
        skipped: Files that are no photographs by their names, or lie in no landmark's folder.
        notes: Remarks for the person who asked, one sentence each.
    """

    manifest: Manifest
    skipped: tuple[Path, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Photo:
    image_id: str
    path: str
    name: str  # the landmark's, "" for none
    role: str


def from_folder(
    root: Path,
    *,
    nonlandmarks: Path | None = None,
    queries: Path | None = None,
    query_nonlandmarks: Path | None = None,
    holdout: float = 0.0,
    seed: int = 0,
    label_space: str = DEFAULT_LABEL_SPACE,
) -> Manifest:
    """Return the manifest of `read_folder`, which takes the same arguments."""
    return read_folder(
        root,
        nonlandmarks=nonlandmarks,
        queries=queries,
        query_nonlandmarks=query_nonlandmarks,
        holdout=holdout,
        seed=seed,
        label_space=label_space,
    ).manifest


def read_folder(
    root: Path,
    *,
    nonlandmarks: Path | None = None,
    queries: Path | None = None,
    query_nonlandmarks: Path | None = None,
    holdout: float = 0.0,
    seed: int = 0,
    label_space: str = DEFAULT_LABEL_SPACE,
) -> FolderContents:
    """Return the photographs below ``root``, and below the other folders given, as a manifest.

    A photograph shows the landmark named after the folder it lies in, relative to ``root``
    (``Paris/Tour Eiffel/1.jpg`` shows ``Paris/Tour_Eiffel``). Image ids are the name of the tree
    and the path within it. The result depends on names and ``seed`` alone.

    Args:
        root: The landmarks' photographs, for training: one folder per landmark, at any depth. A
            folder called `NO_LANDMARK_FOLDER` in it is taken for non-landmarks.
        nonlandmarks: Photographs of no landmark, for the penalty (the bank), at any depth.
        queries: Photographs to ask about, folders named as below ``root``; those in a folder called
            `NO_LANDMARK_FOLDER`, or in none, show no landmark.
        query_nonlandmarks: Further photographs to ask about that show no landmark.
        holdout: The share, in [0, 1), of each landmark's photographs that become queries; at least
            one stays. Landmarks of few photographs take part by chance, so that the share holds on
            average. The same share of ``nonlandmarks`` becomes queries, unless
            ``query_nonlandmarks`` is given.
        seed: Of the holdout.
        label_space: What the landmarks' names belong to.

    Raises:
        CairnError: A folder is missing, given twice or without a photograph, or two landmarks get
            one id.
    """
    if not 0.0 <= holdout < 1.0:
        raise CairnError("the share held out must lie in [0, 1)", where=holdout)
    trees = {"train": root, "nonlandmark": nonlandmarks, "query": queries}
    given = {role: Path(tree) for role, tree in trees.items() if tree is not None}
    if query_nonlandmarks is not None:
        given["query without landmark"] = Path(query_nonlandmarks)
    places = [tree.resolve() for tree in given.values()]
    for tree in given.values():
        if places.count(tree.resolve()) > 1:
            raise CairnError(
                "one folder is given for two purposes",
                where=tree,
                todo="keep landmarks, non-landmarks and queries in folders of their own",
            )
    prefixes = _prefixes(given)
    photos: list[_Photo] = []
    skipped: list[Path] = []
    for kind, tree in given.items():
        others = [other.absolute() for other in given.values() if other is not tree]
        found = _photographs(tree, others, skipped)
        placed = [_place(kind, tree, path, prefixes[kind]) for path in found]
        stray = [path for path, photo in zip(found, placed, strict=True) if photo is None]
        kept = [photo for photo in placed if photo is not None]
        if not kept:
            todo = "put the photographs of each landmark into a folder of its name" if stray else ""
            raise CairnError(
                "the folder holds no photograph that can be used", where=tree, todo=todo
            )
        skipped += stray
        photos += kept
    _refuse_splits(photos, root)
    if holdout > 0.0:
        photos = _hold_out(photos, holdout, seed, bank_too=query_nonlandmarks is None)
    ids = landmark_ids(photo.name for photo in photos)
    manifest = Manifest.from_columns(
        {
            "image_id": [photo.image_id for photo in photos],
            "path": [photo.path for photo in photos],
            "landmark_id": [ids[photo.name] for photo in photos],
            "landmark_name": [PurePosixPath(photo.name).name or None for photo in photos],
            "role": [photo.role for photo in photos],
            "label_space": [label_space] * len(photos),
        },
        root=root,
    )
    return FolderContents(manifest, tuple(skipped), tuple(_notes(manifest, skipped)))


def list_photographs(tree: Path) -> tuple[list[Path], list[Path]]:
    """Return the photographs below ``tree`` by name, and the files that are none by their names.

    Raises:
        CairnError: The folder is missing.
    """
    skipped: list[Path] = []
    return _photographs(tree, (), skipped), skipped


def _prefixes(trees: dict[str, Path]) -> dict[str, str]:
    """Return a name per tree that no other has: its folder's, numbered where two are alike."""
    taken: Counter[str] = Counter()
    prefixes = {}
    for kind, tree in trees.items():
        name = tree.absolute().name or "root"
        taken[name] += 1
        prefixes[kind] = name if taken[name] == 1 else f"{name}:{taken[name]}"
    return prefixes


def _photographs(tree: Path, others: Collection[Path], skipped: list[Path]) -> list[Path]:
    """Return the photographs below ``tree`` but not below ``others``, in the order of names."""
    require_folder(tree)
    found: list[Path] = []
    seen: set[Path] = set()
    for place, folders, files in os.walk(tree, followlinks=True):
        here = Path(place)
        real = here.resolve()
        if real in seen:  # a link back up the tree
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [
            name for name in folders
            if not name.startswith(".") and (here / name).absolute() not in others
        ]  # fmt: skip
        for name in files:
            if name.startswith("."):
                continue
            usable = Path(name).suffix.lower() in IMAGE_SUFFIXES and _is_text(place + name)
            (found if usable else skipped).append(here / name)
    return sorted(found, key=lambda path: path.relative_to(tree).parts)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8: no table could hold the name
        return False
    return True


def _place(kind: str, tree: Path, path: Path, prefix: str) -> _Photo | None:
    inside = path.relative_to(tree)
    role = kind.split()[0]
    name = "" if inside.parent == Path() else inside.parent.as_posix()
    if role == "train" and not name:
        return None
    if role == "train" and inside.parts[0] == NO_LANDMARK_FOLDER:
        role = "nonlandmark"
    if kind not in ("train", "query") or inside.parts[0] == NO_LANDMARK_FOLDER:
        name = ""
    return _Photo(f"{prefix}/{inside.as_posix()}", str(path.absolute()), name, role)


def _refuse_splits(photos: list[_Photo], root: Path) -> None:
    """Refuse a tree of splits, whose landmarks would be called train/x and test/x."""
    inside: dict[str, set[str]] = {}
    for photo in photos:
        top, slash, rest = photo.name.partition("/")
        if slash and photo.role == "train" and top.lower() in _SPLITS:
            inside.setdefault(top, set()).add(rest)
    for learned in (top for top in inside if top.lower().startswith("train")):
        for asked in inside.keys() - {learned}:
            if inside[learned] & inside[asked]:
                raise CairnError(
                    f"{learned!r} and {asked!r} have folders of the same names: they are parts of "
                    "the data, not landmarks",
                    where=root,
                    todo=f"cairn data folder {root / learned} --queries {root / asked} -o ...",
                )


def _hold_out(photos: list[_Photo], share: float, seed: int, *, bank_too: bool) -> list[_Photo]:
    groups: dict[tuple[str, str], list[int]] = {}
    for index, photo in enumerate(photos):
        if photo.role == "train" or (photo.role == "nonlandmark" and bank_too):
            groups.setdefault((photo.role, photo.name), []).append(index)
    chosen: set[int] = set()
    for (role, name), indices in groups.items():
        # Seeded by name, so that a landmark added later leaves the others' split alone.
        rng = np.random.default_rng([seed, crc32(f"{role}/{name}".encode())])
        wanted = int(np.floor(len(indices) * share + rng.random()))
        chosen.update(rng.choice(indices, min(wanted, len(indices) - 1), replace=False).tolist())
    return [
        _Photo(photo.image_id, photo.path, photo.name, "query") if index in chosen else photo
        for index, photo in enumerate(photos)
    ]


def skipped_note(skipped: list[Path]) -> list[str]:
    """Return a sentence about files that were skipped; none where there are none."""
    if not skipped:
        return []
    endings = Counter(path.suffix.lower() or "no ending" for path in skipped)
    shown = ", ".join(f"{ending} {count}" for ending, count in endings.most_common(5))
    told = f"{len(skipped)} files were skipped ({shown}), the first: {skipped[0]}"
    if endings.keys() & {".heic", ".heif"}:
        told += "; HEIC is not read, convert it to JPEG first"
    return [told]


def _notes(manifest: Manifest, skipped: list[Path]) -> list[str]:
    notes = skipped_note(skipped)
    known = set(manifest.select("train").landmark_ids)
    asked = Counter(manifest.select("query").landmark_ids)
    strangers = sorted(set(asked) - known - {""})
    if strangers:
        number = sum(asked[name] for name in strangers)
        notes.append(
            f"{number} queries show {len(strangers)} landmarks that have no training photograph, "
            f"such as {strangers[0]!r}: no answer can be right for them"
        )
    if asked and "" not in asked:
        notes.append(
            "every query shows a landmark: scores will not tell how unknown pictures are met; "
            "give non-landmarks too"
        )
    return notes
