"""Triangle soups and solids: lengths, areas and normals that can be worked out by hand."""

from math import pi

import numpy as np
import pytest

from cairn.world.mesh import Float64, Mesh, merge, quads
from cairn.world.solids import arcade, ball, box, dome, gable, lathe, slab, tube


def area(mesh: Mesh) -> float:
    first = mesh.corners[:, 1] - mesh.corners[:, 0]
    second = mesh.corners[:, 2] - mesh.corners[:, 0]
    return float(np.linalg.norm(np.cross(first, second), axis=1).sum() / 2)


def bounds(mesh: Mesh) -> tuple[Float64, Float64]:
    points = mesh.corners.reshape(-1, 3)
    return points.min(axis=0), points.max(axis=0)


def test_a_box_has_the_area_of_its_walls_and_roof() -> None:
    mesh = box(2, 3, 4, 0)
    assert area(mesh) == pytest.approx(2 * (2 * 4 + 3 * 4) + 2 * 3)


def test_texture_coordinates_are_in_metres() -> None:
    wall = quads([[[0, 0, 0], [6, 0, 0], [6, 0, 5], [0, 0, 5]]], 0)
    assert np.ptp(wall.uvs[..., 0]) == pytest.approx(6)
    assert np.ptp(wall.uvs[..., 1]) == pytest.approx(5)


def test_a_lathe_of_four_sides_is_a_square_tower_of_the_inscribed_radius() -> None:
    low, high = bounds(lathe([(3, 0), (3, 10)], 4, 0))
    assert low == pytest.approx([-3, -3, 0])
    assert high == pytest.approx([3, 3, 10])


def test_a_fine_lathe_approaches_the_cylinder() -> None:
    assert area(lathe([(2, 0), (2, 5)], 64, 0)) == pytest.approx(2 * pi * 2 * 5, rel=2e-3)


def test_normals_are_unit_and_a_ball_has_radial_ones() -> None:
    mesh = ball(1, 1, 1, 0, sides=24)
    assert np.linalg.norm(mesh.normals, axis=-1) == pytest.approx(1.0)
    middle = np.abs(mesh.corners[..., 2]) < 0.9
    along = (mesh.normals * mesh.corners).sum(-1)[middle]
    assert along.min() > 0.95


def test_an_arcade_is_open_where_its_bays_are() -> None:
    solid, opened = slab([(-5, 0, 4), (5, 0, 4)], 1, 0), arcade(10, 4, 1, 2, 0)
    front = np.abs(opened.normals[:, 0, 1]) > 0.9
    whole = np.abs(solid.normals[:, 0, 1]) > 0.9

    def faces(mesh: Mesh, chosen: np.ndarray) -> Mesh:
        rows = (mesh.corners, mesh.normals, mesh.uvs, mesh.materials)
        return Mesh(*(column[chosen] for column in rows))

    # Two bays of half-width 1.75 and springing 2, with flattened heads 1.75 high: 2 sides each.
    opening = 2 * (3.5 * 2 + pi / 2 * 1.75 * 1.75)
    missing = (area(faces(solid, whole)) - area(faces(opened, front))) / 2
    assert missing == pytest.approx(opening, rel=0.08)


def test_copies_around_and_merge_count_triangles() -> None:
    mesh = box(1, 1, 1, 0)
    assert len(mesh.copies([(0, 0, 0), (5, 0, 0)])) == 2 * len(mesh)
    assert len(mesh.moved(3).around(6)) == 6 * len(mesh)
    assert len(merge([])) == 0


def test_turning_keeps_area_and_scaling_keeps_normals_upright_to_their_faces() -> None:
    roof = gable(4, 6, 2, 0, 0)
    assert area(roof.turned(0.7, "x")) == pytest.approx(area(roof))
    squashed = dome(3, 2, 0).scaled(1, 1, 0.5)
    edge = squashed.corners[:, 1] - squashed.corners[:, 0]
    slope = np.abs((edge * squashed.normals[:, 0]).sum(-1)) / (np.linalg.norm(edge, axis=-1) + 1e-9)
    assert np.median(slope) < 0.25


def test_bending_wraps_a_wall_about_the_axis() -> None:
    wall = slab([(x, 0, 3) for x in np.linspace(-10, 10, 41)], 0.2, 0).bent(5.0)
    far = np.hypot(wall.corners[..., 0], wall.corners[..., 1])
    assert far.min() == pytest.approx(4.9, abs=1e-6)
    assert far.max() == pytest.approx(5.1, abs=1e-6)


def test_a_tube_has_its_radius_everywhere() -> None:
    rod = tube([(0, 0, 0), (0, 0, 4)], 0.5, 0, sides=8)
    assert np.hypot(rod.corners[..., 0], rod.corners[..., 1]) == pytest.approx(0.5)
