"""Visibility and shadow: triangles whose pixels can be counted by hand."""

import numpy as np

from cairn.world.camera import look
from cairn.world.mesh import Float64, Int32, Mesh, merge, quads
from cairn.world.raster import cast_shadows, rasterize
from cairn.world.solids import box


def wall(distance: float, half: float, lift: float = 0.0) -> Mesh:
    y, z = distance, lift
    return quads(
        [[[-half, y, z - half], [half, y, z - half], [half, y, z + half], [-half, y, z + half]]], 0
    )


def seen_of(mesh: Mesh, size: int = 64, eye_z: float = 100.0) -> tuple[Int32, Float64]:
    """Look along +y from (0, 0, eye_z) with a square view of 90 degrees."""
    eye = np.array([0.0, 0.0, eye_z])
    axes = look(eye, eye + np.array([0.0, 1.0, 0.0]), 0.0)
    seen = np.empty((size, size), dtype=np.int32)
    planes = np.empty((len(mesh), 9))
    rasterize(mesh.moved(0, 0, eye_z).corners.copy(), eye, axes, 1.0, 1.0, seen, planes)
    return seen, planes


def test_a_wall_fills_the_share_of_the_frame_that_geometry_says() -> None:
    seen, _ = seen_of(wall(10, 5))
    assert (seen >= 0).sum() == 32 * 32


def test_the_nearer_wall_hides_the_farther_whatever_the_order() -> None:
    near, far = wall(5, 1), wall(10, 8)
    for order, front in (([near, far], {0, 1}), ([far, near], {2, 3})):
        seen, _ = seen_of(merge(order))
        assert set(seen[30:34, 30:34].ravel().tolist()) <= front


def test_ground_below_the_horizon_and_sky_above() -> None:
    seen, _ = seen_of(wall(10, 0.01))
    assert (seen[:30] == -2).all()
    assert (seen[34:] == -1).all()


def test_weights_give_back_the_depth_of_a_slanted_plane() -> None:
    floor = quads([[[-50, 1, -2], [50, 1, -2], [50, 90, -2], [-50, 90, -2]]], 0)
    seen, planes = seen_of(floor)
    row, column = 50, 20
    t = seen[row, column]
    near = sum(
        planes[t, 3 * k] * column + planes[t, 3 * k + 1] * row + planes[t, 3 * k + 2]
        for k in range(3)
    )
    downward = -1 + (row + 0.5) * 2 / 64
    np.testing.assert_allclose(1 / near, 2 / downward, rtol=1e-9)


def test_triangles_that_pass_behind_the_eye_are_still_drawn() -> None:
    road = quads([[[-3, -50, -1], [3, -50, -1], [3, 80, -1], [-3, 80, -1]]], 0)
    seen, _ = seen_of(road)
    assert set(seen[60, 24:40].tolist()) <= {0, 1}


def test_what_lies_wholly_behind_is_not_drawn() -> None:
    seen, _ = seen_of(wall(-10, 5))
    assert (seen < 0).all()


def test_the_shadow_map_holds_the_surface_nearest_the_light() -> None:
    light = np.eye(3)
    depth = np.empty((32, 32), dtype=np.float32)
    mesh = merge([box(4, 4, 3, 0), box(2, 2, 5, 0)])
    cast_shadows(mesh.corners.copy(), light, 8.0, depth)
    assert depth[16, 16] == 5
    assert depth[16, 19] == 3
    assert depth[2, 2] == np.float32(-1e9)
