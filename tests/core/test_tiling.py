import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genima_core.pixels import check_views, tile, tile_grid, untile

views_of_any_size = st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4)).flatmap(
    lambda shape: arrays.arrays(np.uint8, shape)
)


@given(views_of_any_size)
def test_untile_undoes_tile(views):
    np.testing.assert_array_equal(untile(tile(views), len(views)), views)


@given(views_of_any_size)
def test_tile_undoes_untile(views):
    tiled = tile(list(views))
    np.testing.assert_array_equal(tile(untile(tiled, len(views))), tiled)


@pytest.mark.parametrize(
    ("count", "places"),
    [
        (1, [[0]]),
        (2, [[0, 1]]),
        (3, [[0, 1], [2, None]]),
        (4, [[0, 1], [2, 3]]),
        (5, [[0, 1, 2], [3, 4, None]]),
        (6, [[0, 1, 2], [3, 4, 5]]),
    ],
)
def test_order_is_reading_order_and_what_is_left_over_is_black(count, places):
    views = np.arange(1, count + 1, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 3), np.uint8)
    tiled = tile(views)
    assert tile_grid(count) == np.shape(places)
    assert tiled.shape == (2 * len(places), 3 * len(places[0]), 3)
    np.testing.assert_array_equal(
        tiled[::2, ::3, 0], [[0 if view is None else view + 1 for view in row] for row in places]
    )


def test_what_cannot_be_tiled_is_named():
    view = np.zeros((2, 2, 3))
    for count in (0, 7):
        with pytest.raises(ValueError, match=f"shows 1 to 6 views, not {count}"):
            tile([view] * count)
    with pytest.raises(ValueError, match="one shape"):
        tile([view, view, view, np.zeros((2, 3, 3))])
    with pytest.raises(
        ValueError, match=r"of 5 views has a height that 2 divides and a width that 3 divides, not \(4, 4\)"
    ):
        untile(np.zeros((4, 4, 3)), 5)


def test_views_of_another_number_are_refused():
    check_views(np.zeros((2, 4, 6, 3), np.uint8), 2, (6, 4), "images are")
    with pytest.raises(ValueError, match=r"images are \(4, 4, 6, 3\) uint8; needed is \(2, 4, 6, 3\) uint8"):
        check_views(np.zeros((4, 4, 6, 3), np.uint8), 2, (6, 4), "images are")
