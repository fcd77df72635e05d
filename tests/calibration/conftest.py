import numpy as np
import pytest

from genima_core.calibration.board import Board
from genima_core.cameras import CameraRig
from genima_core.sim.scene import default_rig


@pytest.fixture(scope="session")
def rig() -> CameraRig:
    """The simulated cell's cameras at the size of a camera's stream."""
    return default_rig(640, 480)


@pytest.fixture(scope="session")
def board() -> Board:
    return Board()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
