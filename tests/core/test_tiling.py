import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genima_core.pixels import tile, untile

views_of_any_size = st.tuples(st.just(4), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4)).flatmap(
    lambda shape: arrays.arrays(np.uint8, shape)
)


@given(views_of_any_size)
def test_untile_undoes_tile(views):
    np.testing.assert_array_equal(untile(tile(views)), views)


@given(views_of_any_size)
def test_tile_undoes_untile(views):
    tiled = tile(list(views))
    np.testing.assert_array_equal(tile(untile(tiled)), tiled)


def test_order_is_reading_order():
    views = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 3), np.uint8)
    tiled = tile(views)
    assert tiled.shape == (4, 6, 3)
    assert [tiled[0, 0, 0], tiled[0, -1, 0], tiled[-1, 0, 0], tiled[-1, -1, 0]] == [0, 1, 2, 3]


def test_what_cannot_be_tiled_is_named():
    view = np.zeros((2, 2, 3))
    with pytest.raises(ValueError, match="needs 4 views"):
        tile([view] * 3)
    with pytest.raises(ValueError, match="one shape"):
        tile([view, view, view, np.zeros((2, 3, 3))])
    with pytest.raises(ValueError, match=r"even height and width, not \(3, 4\)"):
        untile(np.zeros((3, 4, 3)))
