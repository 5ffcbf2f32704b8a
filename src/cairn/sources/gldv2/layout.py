"""What GLDv2 is called and where it lies: at the server, on disk, and by name of set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cairn.errors import CairnError, nearest

BASE = "https://s3.amazonaws.com/google-landmark"
"""Where the data set is published."""

TRAIN_SPACE = "gldv2-train"
"""The label space of the landmarks of train, and of the recognition truth of test."""

INDEX_SPACE = "gldv2-index"
"""The label space of the landmarks of index: other numbers for other landmarks."""

RECOGNITION_SOLUTION = "ground_truth/recognition_solution_v2.1.csv"
RETRIEVAL_SOLUTION = "ground_truth/retrieval_solution_v2.1.csv"


@dataclass(frozen=True)
class Split:
    """One of the three parts that the images are published in.

    Args:
        name: Its folder, at the server and on disk.
        num_tars: ``images_000.tar`` and so on.
        num_images: In all of them.
        tar_bytes: About the size of one, where the server does not say.
        metadata: Its tables, by their path at the server and on disk.
    """

    name: str
    num_tars: int
    num_images: int
    tar_bytes: int
    metadata: tuple[str, ...]

    @property
    def images_per_tar(self) -> float:
        """About how many images a tar holds."""
        return self.num_images / self.num_tars


SPLITS = {
    "train": Split(
        *("train", 500, 4_132_914, 1_000_000_000),
        tuple(
            f"metadata/train{name}.csv"
            for name in (
                "",
                "_clean",
                "_attribution",
                "_label_to_category",
                "_label_to_hierarchical",
            )
        ),
    ),
    "index": Split(
        *("index", 100, 761_757, 850_000_000),
        tuple(
            f"metadata/index{name}.csv"
            for name in ("", "_image_to_landmark", "_label_to_category", "_label_to_hierarchical")
        ),
    ),
    "test": Split(
        *("test", 20, 117_577, 500_000_000),
        ("metadata/test.csv", RECOGNITION_SOLUTION, RETRIEVAL_SOLUTION),
    ),
}

SUBSETS = {"clean": 1_580_470, "2x": 3_223_078, "train": 4_132_914}
"""The training sets, each a part of the next, and their images. Clean is the list of team smlyaka
(``train_clean.csv``); 2x is every image of train whose landmark is among the 81,313 of clean."""

SETS = {
    **dict.fromkeys(SUBSETS, "train"),
    "index": "index",
    "test": "test",
    "nonlandmarks": "test",
}
"""What may be asked for, and the split that has its images. Non-landmarks are the images of test
that the recognition truth gives no landmark."""

DEFAULT_SETS = "clean,test"


@dataclass(frozen=True)
class Choice:
    """What somebody asked for.

    Args:
        sets: Of `SETS`, in its order.
        only: Numbers of tars, in every split; None for all.
    """

    sets: tuple[str, ...]
    only: frozenset[int] | None = None

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that have them."""
        return tuple(SPLITS[name] for name in dict.fromkeys(SETS[name] for name in self.sets))

    @property
    def subset(self) -> str | None:
        """The training set among them."""
        return next((name for name in self.sets if name in SUBSETS), None)

    def tars(self, split: Split) -> list[int]:
        """Return the numbers of a split's tars that are wanted."""
        return [n for n in range(split.num_tars) if self.only is None or n in self.only]


def choose(sets: str | Sequence[str] = DEFAULT_SETS, only: str | None = None) -> Choice:
    """Return the choice that words stand for.

    Args:
        sets: Names of `SETS`, comma-separated or in a sequence.
        only: Numbers of tars, such as ``0-9`` or ``3,7,20-29``.

    Raises:
        CairnError: A name is unknown, two of the training sets are named, or no tar has the number.
    """
    words = sets.split(",") if isinstance(sets, str) else list(sets)
    names = [word.strip() for word in words if word.strip()]
    for name in names:
        if name not in SETS:
            raise CairnError(f"GLDv2 has no set {name!r}", where="--sets", todo=nearest(name, SETS))
    if not names:
        raise CairnError("no set is named", where="--sets", todo=f"known: {', '.join(SETS)}")
    training = [name for name in SUBSETS if name in names]
    if len(training) > 1:
        raise CairnError(
            f"{training[0]} is part of {training[-1]}",
            where="--sets",
            todo=f"name the larger alone: {training[-1]}; manifests of both can follow",
        )
    choice = Choice(
        tuple(name for name in SETS if name in names), None if only is None else _numbers(only)
    )
    for split in choice.splits:
        if not choice.tars(split):
            raise CairnError(
                f"{split.name} has the tars 0 to {split.num_tars - 1}",
                where=f"--only {only}",
                todo="name some of them, or fetch this set by a command of its own",
            )
    return choice


def tar_name(split: str, number: int) -> str:
    """Return a tar's path at the server: ``train/images_007.tar``."""
    return f"{split}/images_{number:03d}.tar"


def checksum_name(split: str, number: int) -> str:
    """Return the path, at the server, of a tar's MD5: ``md5sum/train/md5.images_007.txt``."""
    return f"md5sum/{split}/md5.images_{number:03d}.txt"


def image_name(image_id: str) -> str:
    """Return an image's path within its split: ``0/1/2/0123456789abcdef.jpg``."""
    return f"{image_id[0]}/{image_id[1]}/{image_id[2]}/{image_id}.jpg"


def member_key(name: str) -> str | None:
    """Return the image id of a tar member's name, "" for a folder, None for anything else."""
    name = name.removeprefix("./")
    found = _IMAGE.fullmatch(name)
    if found is not None:
        return found[4]
    return "" if _FOLDER.fullmatch(name) else None


_HEX = "[0-9a-f]"
_IMAGE = re.compile(rf"({_HEX})/({_HEX})/({_HEX})/(\1\2\3{_HEX}{{13}})\.jpg")
_FOLDER = re.compile(rf"\.?|{_HEX}(/{_HEX}){{0,2}}/?")


def _numbers(text: str) -> frozenset[int]:
    found: set[int] = set()
    for word in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,4})(?:\s*-\s*(\d{1,4}))?\s*", word)
        if match is None or (match[2] and int(match[2]) < int(match[1])):
            raise CairnError(
                "the numbers of tars are written as 0-9 or 3,7,20-29, the smaller one first",
                where=f"--only {text}",
                todo="leave it out for all tars",
            )
        found.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return frozenset(found)
