"""What remains of a way from anywhere on it."""

from itertools import pairwise

import numpy as np
import pytest

from genima_core.geometry import make_transform
from genima_core.sim.waypoints import remaining

CORNERS = ((0, 0, 0), (0, 0, 0.1), (-0.2, 0, 0.1), (-0.2, 0.4, 0.1), (0, 0.4, 0.1), (0, 0.4, 0))
WAY = [make_transform(np.eye(3), p) for p in CORNERS]


@pytest.mark.parametrize("leg", range(len(CORNERS) - 1))
@pytest.mark.parametrize("along", [0.1, 0.5, 0.8])
def test_what_lies_behind_is_done(leg, along):
    start, end = list(pairwise(np.array(CORNERS)))[leg]
    beside = np.array([0.002, -0.002, 0.002])
    ahead = remaining(WAY, start + along * (end - start) + beside)
    np.testing.assert_array_equal(ahead, WAY[leg + 1 :])


@pytest.mark.parametrize("corner", range(1, len(CORNERS) - 1))
def test_from_a_corner_the_way_goes_on(corner):
    np.testing.assert_array_equal(remaining(WAY, WAY[corner][:3, 3]), WAY[corner + 1 :])


def test_the_end_stays_ahead():
    np.testing.assert_array_equal(remaining(WAY, WAY[-1][:3, 3]), WAY[-1:])
