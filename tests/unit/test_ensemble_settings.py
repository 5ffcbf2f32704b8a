"""An ensemble's file, and the grid that its weights come from."""

from __future__ import annotations

import json
from dataclasses import replace
from math import comb
from pathlib import Path
from typing import Any

import pytest

from cairn.calibration import Basis, Logistic
from cairn.ensemble.settings import Ensemble, Member, Validation, digests
from cairn.ensemble.weights import steps_for
from cairn.errors import CairnError

CURVE = Logistic((0.5,), (0.1,), (2.0,), -1.0)


def ensemble(folder: Path, **changes: Any) -> Ensemble:
    members = (
        Member(str(folder / "galleries" / "one"), Basis("m1", "c1", "l"), CURVE),
        Member("s3://bucket/two", Basis("m2", "c2", "l", penalty="p"), CURVE),
    )
    seen = digests(["q0"], ["/photos/q0.jpg"])
    validation = Validation("manifest", 10, 4, 0.5, 0.4, (0.3, 0.45), seen)
    made = Ensemble("votes", (0.25, 0.75), members, True, validation=validation)
    return replace(made, **changes)


def test_it_comes_back_as_it_was_and_moves_with_its_galleries(tmp_path: Path) -> None:
    made = ensemble(tmp_path / "here")
    made.write(tmp_path / "here" / "e.json")
    assert Ensemble.read(tmp_path / "here" / "e.json") == made
    values = json.loads((tmp_path / "here" / "e.json").read_text())
    assert [one["gallery"] for one in values["members"]] == ["galleries/one", "s3://bucket/two"]
    (tmp_path / "here").rename(tmp_path / "there")
    moved = Ensemble.read(tmp_path / "there" / "e.json")
    assert moved.members[0].gallery == str(tmp_path / "there" / "galleries" / "one")
    assert moved.members[1].gallery == "s3://bucket/two"
    with pytest.raises(CairnError, match="taken"):
        made.write(tmp_path / "there" / "e.json")


def test_given_weights_hold_for_any_state_and_curves_do_not(tmp_path: Path) -> None:
    made = ensemble(tmp_path)
    assert made.holds_for_a_state
    assert replace(made, is_fitted=False).holds_for_a_state, "curves were fitted"
    assert not replace(made, is_fitted=False, by="ranks").holds_for_a_state


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": (1.0,)},
        {"weights": (0.5, 0.6)},
        {"weights": (-0.5, 1.5)},
        {"by": "sums"},
        {"members": ()},
    ],
)
def test_no_ensemble_is_made_of_what_is_none(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(CairnError):
        ensemble(tmp_path, **changes)


def test_votes_need_a_curve_each(tmp_path: Path) -> None:
    made = ensemble(tmp_path)
    bare = (made.members[0], replace(made.members[1], curve=None))
    with pytest.raises(CairnError, match="curve"):
        replace(made, members=bare)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "not a JSON file"),
        ("[]", "no ensemble"),
        ('{"format": 1}', "no ensemble"),
        ('{"format": 9, "by": "votes", "members": []}', "format 9"),
        ('{"format": 1, "by": "votes", "members": [{}]}', "damaged"),
        ('{"format": 1, "by": "votes", "members": {}, "validation": [], "weights": []}', "damaged"),
    ],
)
def test_files_that_are_none_are_told(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "e.json"
    path.write_text(text)
    with pytest.raises(CairnError, match=told):
        Ensemble.read(path)


def test_the_grid_stays_small_enough_for_many_models() -> None:
    assert [steps_for(number) for number in (2, 3, 4)] == [10, 10, 10]
    for number in (5, 8, 12, 40):
        steps = steps_for(number)
        assert steps == 1 or comb(steps + number - 1, number - 1) <= 2000
        assert comb(steps + number, number - 1) > 2000 or steps == 10
