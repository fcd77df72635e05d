import shutil

import numpy as np
import pytest
import torch

from genima_core import panda
from genima_core.controller.model import Act
from genima_core.controller.policy import PARTS, Controller
from genima_core.language import TextEncoder

from . import synthetic

DRAWING = np.zeros((4, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, rig):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("controller") / "controller"
    Controller(Act(synthetic.tiny().model, rig.resize(32, 32)).eval(), TextEncoder.tiny()).save(path)
    return path


@pytest.fixture(scope="module")
def controller(folder):
    return Controller.load(folder)


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "controller")


def test_act_gives_a_chunk_within_limits(controller):
    positions, gripper = controller.act(DRAWING, panda.HOME, 1.0, "push the button")
    assert positions.shape == (controller.chunk_size, 7) and positions.dtype == np.float64
    assert set(gripper) <= {0.0, 1.0} and gripper.shape == (controller.chunk_size,)
    edge = panda.PANDA_LIMITS.upper
    positions, _ = controller.act(DRAWING, edge, 0.0, "push the button")
    assert (positions < edge).all() and (positions > panda.PANDA_LIMITS.lower).all()


def test_same_input_same_chunk_also_after_loading_again(controller, folder, tmp_path):
    rng = np.random.default_rng(0)
    drawing = rng.integers(0, 256, DRAWING.shape, dtype=np.uint8)
    first, _ = controller.act(drawing, panda.HOME, 1.0, "push the button")
    again, _ = Controller.load(folder).act(drawing, panda.HOME, 1.0, "push the button")
    np.testing.assert_array_equal(first, again)
    controller.save(tmp_path / "copy")
    copied, _ = Controller.load(tmp_path / "copy").act(drawing, panda.HOME, 1.0, "push the button")
    np.testing.assert_allclose(copied, first, atol=1e-6)


@pytest.mark.parametrize(("change", "message"), [
    ({"targets": DRAWING[:3]}, r"\(4, 32, 32, 3\)"),
    ({"targets": DRAWING.astype(np.float32)}, "uint8"),
    ({"targets": np.zeros((4, 64, 64, 3), np.uint8)}, r"\(4, 32, 32, 3\)"),
    ({"q": np.zeros(6)}, "7 finite"),
    ({"q": np.full(7, np.nan)}, "7 finite"),
    ({"gripper": float("nan")}, "opening"),
    ({"gripper": 40.0}, "opening"),
])
def test_bad_input_is_refused(controller, change, message):
    arguments = {"targets": DRAWING, "q": panda.HOME, "gripper": 1.0, "instruction": "push the button", **change}
    with pytest.raises(ValueError, match=message):
        controller.act(**arguments)


def test_numbers_that_are_not_finite_never_leave(folder):
    controller = Controller.load(folder)
    controller.model.joint_head.bias.data[2] = torch.nan
    with pytest.raises(RuntimeError, match="not finite"):
        controller.act(DRAWING, panda.HOME, 1.0, "push the button")


@pytest.mark.parametrize("part", PARTS)
def test_missing_parts_are_named(copy, part):
    shutil.rmtree(copy / part) if (copy / part).is_dir() else (copy / part).unlink()
    with pytest.raises(FileNotFoundError, match=f"{part} is missing.*make demo-checkpoint"):
        Controller.load(copy)


@pytest.mark.parametrize("part", ["config.json", "rig.json", "statistics.json", "model.safetensors"])
def test_damaged_parts_are_refused(copy, part):
    (copy / part).write_bytes(b"{" + (copy / part).read_bytes()[:20])
    with pytest.raises(ValueError, match="make demo-checkpoint"):
        Controller.load(copy)


def test_weights_of_another_network_are_refused(copy):
    synthetic.tiny(hidden=64).model.save(copy / "config.json")
    with pytest.raises(ValueError, match="damaged"):
        Controller.load(copy)
