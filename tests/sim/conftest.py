import pytest

from genima_core.sim.cell import Cell
from genima_core.sim.scene import default_rig
from genima_core.sim.task import make_task


@pytest.fixture(scope="module")
def cell():
    """A cell that a module's tests share: each resets it."""
    cell = Cell(make_task("push_button"), default_rig(64, 64))
    yield cell
    cell.close()
