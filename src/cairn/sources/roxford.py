"""ROxford5k and RParis6k on disk to a manifest, with the queries cut out and the truth as JSON.

The layout is the authors': ``gnd_roxford5k.pkl`` (or the same as ``.json``) beside ``jpg/`` with
every image; further distractors, such as the million of ``revisitop1m``, lie in a folder of their
own. The protocol asks about a part of each query image; that part is cut out into a file, so that
every later step, and every person who looks, sees what was asked about.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cairn.errors import CairnError
from cairn.images import IMAGE_SUFFIXES, UnreadableImage, decode
from cairn.manifest import Manifest
from cairn.progress import track
from cairn.retrieval import Relevant
from cairn.runs import atomic_folder
from cairn.sources.presence import require_folder
from cairn.sources.revisited import Box, GroundTruth, read_ground_truth

UNLABELLED = "unlabelled"
"""The landmark of gallery images that are easy or hard for no query."""

_SAME_LANDMARK = 0.5


@dataclass(frozen=True)
class RevisitedContents:
    """What a folder of the data set holds.

    Args:
        manifest: Gallery images and queries.
        truth: What gallery images are to each query.
        notes: Remarks for the person who asked, one sentence each.
    """

    manifest: Manifest
    truth: GroundTruth
    notes: tuple[str, ...]


def read_revisited(
    root: Path, *, queries_dir: Path | None, distractors: Path | None = None
) -> RevisitedContents:
    """Return ROxford5k or RParis6k in ``root`` as a manifest; image ids are the names in the truth.

    Queries that have more than half of the smaller one's easy and hard images in common show one
    landmark, which is named after the first of them; a gallery image shows the landmark that most
    queries find it easy or hard for. All others show `UNLABELLED`: no answer with them is right.

    Args:
        root: The folder with the ground truth and ``jpg/``.
        queries_dir: A new folder for the queries, cut out as PNG files; None keeps them whole.
        distractors: A folder of further gallery images, at any depth, which show `UNLABELLED`.

    Raises:
        CairnError: The ground truth is missing or contradicts itself, images are missing, a query
            cannot be read, or ``queries_dir`` is taken.
    """
    root = Path(root)
    file = _ground_truth_file(root)
    truth = read_ground_truth(file)
    found = _images(root / "jpg" if (root / "jpg").is_dir() else root)
    _require_images(truth, found, root)
    paths = {name: found[name] for name in (*truth.gallery, *truth.queries)}
    notes = []
    if queries_dir is not None and truth.boxes:
        cut_out(truth.boxes, paths, queries_dir)
        paths |= {name: queries_dir / f"{name}.png" for name in truth.boxes}
    else:
        notes.append("queries are whole images: not the protocol of ROxford and RParis")
    landmark_of = landmarks(truth.queries)
    rows = [(i, paths[i], landmark_of.get(i, UNLABELLED), "gallery") for i in truth.gallery]
    rows += [(i, paths[i], landmark_of[i], "query") for i in truth.queries]
    if distractors is not None:
        rows += _distractors(Path(distractors), {row[0] for row in rows})
    manifest = Manifest.from_columns(
        {
            "image_id": [row[0] for row in rows],
            "path": [os.path.abspath(row[1]) for row in rows],  # noqa: PTH100 (not links)
            "landmark_id": [row[2] for row in rows],
            "role": [row[3] for row in rows],
            "label_space": [file.stem.removeprefix("gnd_")] * len(rows),
        },
        root=root,
    )
    return RevisitedContents(manifest, truth, tuple(notes))


def landmarks(queries: Mapping[str, Relevant]) -> dict[str, str]:
    """Return the landmark of every query, and of every image that is easy or hard for one.

    The ground truth names none. See `read_revisited` for the rule.
    """
    shown = {query: relevant.of(("easy", "hard")) for query, relevant in queries.items()}
    landmark_of: dict[str, str] = {}
    for query, images in shown.items():
        first = next(
            (
                other
                for other, theirs in shown.items()
                if other in landmark_of
                and len(images & theirs) > _SAME_LANDMARK * min(len(images), len(theirs))
            ),
            query,
        )
        landmark_of[query] = landmark_of.get(first, query)
    votes: dict[str, Counter[str]] = {}
    for query, images in shown.items():
        for image in sorted(images):
            votes.setdefault(image, Counter())[landmark_of[query]] += 1
    return {**landmark_of, **{image: most.most_common(1)[0][0] for image, most in votes.items()}}


def cut_out(boxes: Mapping[str, Box], paths: Mapping[str, Path], folder: Path) -> None:
    """Write the part of each image that its box names, as ``folder/NAME.png``, without loss.

    Boxes are in the pixels of the upright image; their sides are rounded to whole pixels.

    Raises:
        CairnError: An image cannot be read, a box leaves its image, or ``folder`` is taken.
    """
    with atomic_folder(folder) as place:
        for name, box in track(boxes.items(), "queries cut out", total=len(boxes)):
            try:
                image = decode(paths[name])
            except UnreadableImage as error:
                raise CairnError(
                    f"a query cannot be read: {error.reason}",
                    where=paths[name],
                    todo="unpack the images of the data set anew",
                ) from None
            left, top, right, bottom = (round(side) for side in box)
            if left < 0 or top < 0 or right > image.width or bottom > image.height:
                raise CairnError(
                    f"the box {box} leaves the image of {image.width} x {image.height} pixels",
                    where=paths[name],
                    todo="use the images that the ground truth was made for, not resized ones",
                )
            path = place / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.crop((left, top, right, bottom)).save(path)


def _ground_truth_file(root: Path) -> Path:
    require_folder(root)
    files = sorted(path for end in ("json", "pkl") for path in root.glob(f"gnd_*.{end}"))
    stems = {path.stem for path in files}
    if len(stems) != 1:
        seen = ", ".join(path.name for path in files) or "none"
        raise CairnError(
            f"expected one ground truth, gnd_roxford5k.pkl or gnd_rparis6k.pkl; found: {seen}",
            where=root,
            todo="name the folder that has the ground truth and jpg/, such as datasets/roxford5k",
        )
    return files[0]


def _images(tree: Path) -> dict[str, Path]:
    """Return image files below ``tree`` by their name without folder and ending."""
    found: dict[str, Path] = {}
    for place, _, files in os.walk(tree, followlinks=True):
        for name in sorted(files):
            path = Path(place) / name
            if path.suffix.lower() in IMAGE_SUFFIXES:
                found.setdefault(path.stem, path)
    return found


def _require_images(truth: GroundTruth, found: Mapping[str, Path], root: Path) -> None:
    missing = [name for name in (*truth.gallery, *truth.queries) if name not in found]
    if missing:
        raise CairnError(
            f"{len(missing)} of {len(truth.gallery) + len(truth.queries)} images are missing",
            where=f"{root / 'jpg'}: first {missing[0]}.jpg",
            todo="unpack all archives of the images into jpg/",
        )


def _distractors(folder: Path, taken: set[str]) -> list[tuple[str, Path, str, str]]:
    require_folder(folder)
    rows = []
    for place, folders, files in os.walk(folder, followlinks=True):
        folders.sort()
        for name in sorted(files):
            path = Path(place) / name
            if path.suffix.lower() not in IMAGE_SUFFIXES:
                continue
            image_id = f"{folder.absolute().name}/{path.relative_to(folder).as_posix()}"
            if image_id in taken:
                raise CairnError("a distractor has the name of another image", where=path)
            rows.append((image_id, path, UNLABELLED, "gallery"))
    if not rows:
        raise CairnError("the folder holds no image", where=folder)
    return rows
