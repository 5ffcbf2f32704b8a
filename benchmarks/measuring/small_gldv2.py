"""A made-up Google Landmarks v2, small and in the real layout, as bytes by path at the server."""

from __future__ import annotations

import csv
import hashlib
import io
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

import numpy as np
from PIL import Image

NAMES = ("Tour_Saint-Nicolas", "Château_de_Chillon", "清水寺", "Half_Dome", "St._Mary's_Church")
KINDS = (
    ("tower", "tower", "human-made"),
    ("castle", "castle / fort", "human-made"),
    ("temple", "temple", "human-made"),
    ("mountain", "mountain", "natural"),
    ("parish church", "church", "human-made"),
)


@dataclass
class SmallGldv2:
    """What is in it.

    Args:
        files: Every file by its path at the server.
        train: Image id to landmark.
        clean: The images of the clean set.
        index: Image id to landmark, of index.
        test: Image id to landmarks, of test.
        photographs: Every photograph's bytes by image id.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    train: dict[str, str] = field(default_factory=dict)
    clean: set[str] = field(default_factory=set)
    index: dict[str, str] = field(default_factory=dict)
    test: dict[str, str] = field(default_factory=dict)
    photographs: dict[str, bytes] = field(default_factory=dict)

    def put_tar(self, split: str, number: int, data: bytes) -> None:
        """Serve a tar and its checksum."""
        name = f"images_{number:03d}"
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
        self.files[f"{split}/{name}.tar"] = data
        self.files[f"md5sum/{split}/md5.{name}.txt"] = f"{digest}  {name}.tar\n".encode()


def make_gldv2(
    *,
    num_tars: int = 2,
    landmarks: int = 5,
    photos: int = 8,
    side: int = 64,
    seed: int = 0,
) -> SmallGldv2:
    """Return a small data set.

    Landmark k of train has ``photos`` pictures of one pattern, the last of them not in the clean
    set; one further landmark is not clean at all. Index has the same landmarks under other numbers.
    Test has two queries a landmark, one of which shows two, and as many non-landmarks as
    photographs of train.

    Args:
        num_tars: Of each split.
        landmarks: Of the clean set.
        photos: Of each.
        side: Pixels.
        seed: Of everything.
    """
    rng = np.random.default_rng(seed)
    made = SmallGldv2()
    patterns = rng.uniform(30, 220, (landmarks + 1, 4, 4, 3))
    for number in range(landmarks + 1):
        for k in range(photos):
            image = _photograph(made, rng, patterns[number], side)
            made.train[image] = str(100 + 7 * number)
            if number < landmarks and k < photos - 1:
                made.clean.add(image)
        for _ in range(2):
            made.index[_photograph(made, rng, patterns[number], side)] = str(number)
    for number in range(landmarks):
        for k in range(2):
            also = f" {100 + 7 * landmarks}" if number == k == 0 else ""
            image = _photograph(made, rng, patterns[number], side)
            made.test[image] = f"{100 + 7 * number}{also}"
    for _ in range(landmarks * photos):
        made.test[_photograph(made, rng, rng.uniform(30, 220, (4, 4, 3)), side)] = ""
    for split, ids in (("train", made.train), ("index", made.index), ("test", made.test)):
        shuffled = sorted(ids)
        for number in range(num_tars):
            chosen = shuffled[number::num_tars]
            made.put_tar(
                split, number, tar_of((image, made.photographs[image]) for image in chosen)
            )
    _tables(made, landmarks)
    return made


def tar_of(photographs: Iterable[tuple[str, bytes]]) -> bytes:
    """Return a tar of images ``a/b/c/id.jpg``."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for image, data in photographs:
            info = tarfile.TarInfo(f"{image[0]}/{image[1]}/{image[2]}/{image}.jpg")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def csv_of(header: str, rows: Iterable[Sequence[str]]) -> bytes:
    """Return a CSV file."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header.split(","))
    writer.writerows(rows)
    return out.getvalue().encode()


def _photograph(made: SmallGldv2, rng: np.random.Generator, pattern: np.ndarray, side: int) -> str:
    image = rng.bytes(8).hex()
    cell = (side * 3 // 4 // 4, side // 4, 1)
    pixels = np.kron(pattern, np.ones(cell)) * rng.uniform(0.8, 1.2)
    pixels += rng.normal(0, 10, pixels.shape)
    out = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=92)
    made.photographs[image] = out.getvalue()
    return image


def _tables(made: SmallGldv2, landmarks: int) -> None:
    def put(name: str, header: str, rows: Iterable[Sequence[str]]) -> None:
        made.files[name] = csv_of(header, rows)

    numbers = [str(100 + 7 * number) for number in range(landmarks + 1)]
    pages = [
        f"http://commons.wikimedia.org/wiki/Category:{quote(NAMES[k % len(NAMES)])}"
        + ("" if k < len(NAMES) else f"_{k}")
        for k in range(landmarks + 1)
    ]
    put(
        "metadata/train.csv",
        "id,url,landmark_id",
        [(i, f"https://upload.wikimedia.org/{i}.jpg", mark) for i, mark in made.train.items()],
    )
    clean = {
        mark: " ".join(i for i, own in made.train.items() if own == mark and i in made.clean)
        for mark in numbers[:landmarks]
    }
    put("metadata/train_clean.csv", "landmark_id,images", list(clean.items()))
    put(
        "metadata/train_attribution.csv",
        "id,url,author,license,title",
        [
            (
                image,
                f"https://commons.wikimedia.org/wiki/File:{image}.jpg",
                f'Anna "Ann" Ek, {k}' if k % 5 else "Jørgen\nåker",
                "https://creativecommons.org/licenses/by/3.0/",
                f"File:{image}.jpg",
            )
            for k, image in enumerate(reversed(made.train))
        ],
    )
    for split, marks in (("train", numbers), ("index", [str(k) for k in range(landmarks + 1)])):
        put(
            f"metadata/{split}_label_to_category.csv",
            "landmark_id,category",
            list(zip(marks, pages, strict=True)),
        )
        put(
            f"metadata/{split}_label_to_hierarchical.csv",
            "landmark_id,category,supercategory,hierarchical_label,natural_or_human_made",
            [
                (mark, page, *KINDS[k % len(KINDS)])
                for k, (mark, page) in enumerate(zip(marks, pages, strict=True))
            ],
        )
    put("metadata/index.csv", "id", [(image,) for image in made.index])
    put("metadata/index_image_to_landmark.csv", "id,landmark_id", list(made.index.items()))
    put("metadata/test.csv", "id", [(image,) for image in made.test])
    put(
        "ground_truth/recognition_solution_v2.1.csv",
        "id,landmarks,Usage",
        [
            (i, shown, "Public" if k % 3 else "Private")
            for k, (i, shown) in enumerate(made.test.items())
        ],
    )
    same = {
        image: " ".join(
            i for i, mark in made.index.items()
            if shown and mark == str((int(shown.split()[0]) - 100) // 7)
        )
        for image, shown in made.test.items()
    }  # fmt: skip
    put(
        "ground_truth/retrieval_solution_v2.1.csv",
        "id,images,Usage",
        [
            (image, found or "None", "Public" if found else "Ignored")
            for image, found in same.items()
        ],
    )
