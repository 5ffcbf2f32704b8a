"""Whether a gallery that followed its changes is the one that is loaded, in every bit."""

from __future__ import annotations

import numpy as np

from cairn.gallery import Gallery
from cairn.serve.lookups import Lookups


def assert_equal(one: Gallery, other: Gallery) -> None:
    """Compare all that two loaded galleries say."""
    assert one.table.image_ids == other.table.image_ids
    assert one.table.landmark_ids == other.table.landmark_ids
    assert one.table.paths == other.table.paths
    assert one.table.fingerprint == other.table.fingerprint
    np.testing.assert_array_equal(one.table.vectors, other.table.vectors)
    assert (one.version, one.content_key) == (other.version, other.content_key)
    assert dict(one.landmark_names) == dict(other.landmark_names)
    assert dict(one.landmarks) == dict(other.landmarks)
    assert (one.penalty is None) == (other.penalty is None)
    if one.penalty is not None and other.penalty is not None:
        np.testing.assert_array_equal(one.penalty.penalty, other.penalty.penalty)
        np.testing.assert_array_equal(one.penalty.n_picked, other.penalty.n_picked)
        np.testing.assert_array_equal(one.penalty.sims, other.penalty.sims)
    assert one.penalty_path == other.penalty_path
    assert (one.about_images is None) == (other.about_images is None)
    rows = range(len(one.table))
    assert [one.about(row) for row in rows] == [other.about(row) for row in rows]


def assert_same_lookups(one: Lookups, other: Lookups) -> None:
    """Compare what two lookups find."""
    assert one.landmark_ids.to_pylist() == other.landmark_ids.to_pylist()
    assert one.texts.to_pylist() == other.texts.to_pylist()
    np.testing.assert_array_equal(one.counts_L, other.counts_L)
    for image_id in (*other.gallery.table.image_ids, "", "nobody"):
        assert one.row(image_id) == other.row(image_id)
    for landmark_id in (*other.landmark_ids.to_pylist(), "", "nobody"):
        place = other.place(landmark_id)
        assert one.place(landmark_id) == place
        if place is not None:
            assert one.rows_of(place) == other.rows_of(place)
