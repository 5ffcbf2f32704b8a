"""Scenes and photographs: every family and kind, and what must and must not change a picture."""

import subprocess
import sys

import numpy as np
import pytest

from cairn.world import render_photo
from cairn.world.camera import draw_camera
from cairn.world.conditions import Conditions, draw_conditions, light_array
from cairn.world.dataset import generator
from cairn.world.materials import PATTERNS, Materials, kit
from cairn.world.nonlandmarks import KINDS
from cairn.world.photograph import finish
from cairn.world.setting import Scene, place
from cairn.world.structures import FAMILIES, draw_structure


def scene(number: int = 1) -> Scene:
    rng = generator(3, 0, number)
    return place(draw_structure(rng), rng)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_builds_sound_structures_that_differ(family: str) -> None:
    shapes = []
    for number in range(6):
        rng, table = generator(1, number), Materials()
        mesh = FAMILIES[family](rng, kit(rng, table))
        assert np.isfinite(mesh.corners).all()
        assert mesh.materials.min() >= 0
        assert mesh.materials.max() < len(table.rows)
        height = float(mesh.corners[..., 2].max())
        assert 1.5 < height < 400
        assert mesh.corners[..., 2].min() > -0.2 * height
        shapes.append(round(height, 3))
    assert len(set(shapes)) == 6


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_nonlandmark_is_photographed(kind: str) -> None:
    for number in range(3):
        drawn = KINDS[kind][1](generator(2, number))
        picture = render_photo(drawn, generator(2, number, 1), size=40)
        assert picture.dtype == np.uint8
        assert max(picture.shape[:2]) == 40


def test_shares_of_kinds_sum_to_one() -> None:
    assert sum(share for share, _ in KINDS.values()) == pytest.approx(1.0)


def test_a_photograph_depends_on_its_generator_alone() -> None:
    first = render_photo(scene(), generator(9), size=64)
    render_photo(scene(2), generator(10), size=64)
    again = render_photo(scene(), generator(9), size=64)
    np.testing.assert_array_equal(first, again)


def test_photographs_of_one_place_differ_and_show_something() -> None:
    place_one = scene()
    pictures = [render_photo(place_one, generator(4, k), size=64) for k in range(12)]
    assert len({picture.tobytes() for picture in pictures}) == 12
    contrast = [float(picture.std()) for picture in pictures]
    assert np.median(contrast) > 15
    assert len({picture.shape for picture in pictures}) > 1


def test_rendering_never_writes_to_the_scene() -> None:
    drawn = scene()
    rows, corners = len(drawn.materials.rows), drawn.subject.corners.copy()
    render_photo(drawn, generator(4), size=32)
    assert len(drawn.materials.rows) == rows
    np.testing.assert_array_equal(drawn.subject.corners, corners)


def test_mean_colour_does_not_name_the_landmark() -> None:
    pictures = [
        [render_photo(scene(k), generator(7, k, j), size=32).mean(axis=(0, 1)) for j in range(6)]
        for k in range(12)
    ]
    colours = np.array(pictures)
    known, asked = colours[:, :4].reshape(-1, 3), colours[:, 4:].reshape(-1, 3)
    gaps = ((asked[:, None] - known[None]) ** 2).sum(-1)
    hits = known_rows(gaps.argmin(axis=1), 4) == known_rows(np.arange(len(asked)), 2)
    assert hits.mean() < 0.5


def known_rows(rows: np.ndarray, each: int) -> np.ndarray:
    return rows // each


def test_night_has_less_light_than_day_and_only_night_lights_windows() -> None:
    def light(hour: str) -> np.ndarray:
        return light_array(Conditions(hour, "clear", "summer", 0.3, 0.7), 50.0, generator(1))

    from cairn.world.layout import AMBIENT, NIGHT

    assert light("night")[AMBIENT] < 0.2 * light("day")[AMBIENT]
    assert light("day")[NIGHT] == 0
    assert light("night")[NIGHT] == 1


def test_fog_veils_the_subject_but_never_hides_it() -> None:
    from cairn.world.layout import FOG

    for number in range(20):
        drawn = light_array(Conditions("day", "fog", "autumn", 0.0, 0.9), 80.0, generator(number))
        assert 0.25 < np.exp(-80.0 * drawn[FOG]) < 0.75


def test_snow_falls_in_winter_only() -> None:
    drawn = [draw_conditions(generator(k)) for k in range(300)]
    assert {c.season for c in drawn if c.weather == "snow"} == {"winter"}
    assert {c.hour for c in drawn} == {"day", "golden", "dusk", "night"}
    assert np.linalg.norm([c.sun for c in drawn], axis=1) == pytest.approx(1.0)


def test_development_stays_within_eight_bits_and_keeps_the_shape() -> None:
    picture = np.linspace(-1, 2, 8 * 6 * 3, dtype=np.float32).reshape(8, 6, 3)
    done = finish(picture, generator(0))
    assert done.shape == (8, 6, 3)
    assert done.dtype == np.uint8


def test_an_unknown_pattern_fails_at_once() -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        Materials().add("stucco", (1, 1, 1))
    assert len(set(PATTERNS)) == len(PATTERNS)


def test_importing_the_world_compiles_nothing_and_needs_no_torch() -> None:
    heavy = ("numba", "torch", "pyarrow")
    code = f"import sys, cairn.world; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_postcards_show_the_whole_from_the_front_on_a_bright_day() -> None:
    for number in range(40):
        circumstances = draw_conditions(generator(5, number), postcard=True)
        assert circumstances.hour == "day"
        assert circumstances.weather in ("clear", "cloudy")
    drawn = scene()
    cameras = [draw_camera(drawn, generator(6, number), 64, postcard=True) for number in range(200)]
    front = np.array([0.0, -1.0])
    off = [np.arccos(eye[:2] @ front / np.hypot(*eye[:2])) for eye in (c.eye for c in cameras)]
    assert 0.15 < np.sqrt(np.mean(np.square(off))) < 0.45  # normal with 0.3 rad
    assert max(off) < np.pi / 2
    anyhow = [draw_camera(drawn, generator(6, number), 64) for number in range(200)]
    assert max(np.arccos(c.eye[:2] @ front / np.hypot(*c.eye[:2])) for c in anyhow) > np.pi / 2
    for camera in cameras:  # the subject is never larger than a little over the frame
        distance = np.hypot(*camera.eye[:2])
        assert drawn.height / (2 * camera.half_y * distance) < 1.2


def test_variety_is_the_share_of_photographs_taken_anyhow(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def noted(rng: np.random.Generator, *, postcard: bool = False) -> Conditions:
        asked.append(postcard)
        return draw_conditions(rng, postcard=postcard)

    monkeypatch.setattr("cairn.world.photograph.draw_conditions", noted)
    drawn = scene()
    shares = []
    for variety in (0.0, 1 / 3, 1.0):
        asked.clear()
        for number in range(60):
            render_photo(drawn, generator(7, number), size=16, variety=variety)
        shares.append(float(np.mean(asked)))
    assert shares[0] == 1.0
    assert 0.5 < shares[1] < 0.84  # 2/3 of 60, 2.7 standard deviations either way
    assert shares[2] == 0.0
