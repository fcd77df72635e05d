import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from genima_core.arm import PANDA
from genima_core.controller.config import NETWORKS
from genima_core.controller.policy import PARTS, Controller
from genima_core.language import TextEncoder

from . import synthetic

DRAWING = np.zeros((4, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module", params=[synthetic.tiny, synthetic.tiny_paper], ids=["demo", "paper"])
def folder(request, tmp_path_factory, rig):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("controller") / "controller"
    config = request.param().model
    Controller(NETWORKS[config.network](config, rig.resize(32, 32)).eval(), TextEncoder.tiny()).save(path)
    return path


@pytest.fixture(scope="module")
def controller(folder):
    return Controller.load(folder)


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "controller")


def test_act_gives_a_chunk_within_limits(controller):
    positions, gripper = controller.act(DRAWING, PANDA.home, 1.0, "push the button")
    assert positions.shape == (controller.chunk_size, 7) and positions.dtype == np.float64
    assert set(gripper) <= {0.0, 1.0} and gripper.shape == (controller.chunk_size,)
    edge = PANDA.limits.upper
    positions, _ = controller.act(DRAWING, edge, 0.0, "push the button")
    assert (positions < edge).all() and (positions > PANDA.limits.lower).all()


def test_same_input_same_chunk_also_after_loading_again(controller, folder, tmp_path):
    rng = np.random.default_rng(0)
    drawing = rng.integers(0, 256, DRAWING.shape, dtype=np.uint8)
    first, _ = controller.act(drawing, PANDA.home, 1.0, "push the button")
    again, _ = Controller.load(folder).act(drawing, PANDA.home, 1.0, "push the button")
    np.testing.assert_array_equal(first, again)
    controller.save(tmp_path / "copy")
    copied, _ = Controller.load(tmp_path / "copy").act(drawing, PANDA.home, 1.0, "push the button")
    np.testing.assert_allclose(copied, first, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": DRAWING[:3]}, r"\(4, 32, 32, 3\)"),
        ({"targets": DRAWING.astype(np.float32)}, "uint8"),
        ({"targets": np.zeros((4, 64, 64, 3), np.uint8)}, r"\(4, 32, 32, 3\)"),
        ({"q": np.zeros(6)}, "7 finite"),
        ({"q": np.full(7, np.nan)}, "7 finite"),
        ({"gripper": float("nan")}, "opening"),
        ({"gripper": 40.0}, "opening"),
    ],
)
def test_bad_input_is_refused(controller, change, message):
    arguments = {"targets": DRAWING, "q": PANDA.home, "gripper": 1.0, "instruction": "push the button", **change}
    with pytest.raises(ValueError, match=message):
        controller.act(**arguments)


def test_numbers_that_are_not_finite_never_leave(folder):
    controller = Controller.load(folder)
    next(p for name, p in controller.model.named_parameters() if "_head.bias" in name)[2] = torch.nan
    with pytest.raises(RuntimeError, match="not finite"):
        controller.act(DRAWING, PANDA.home, 1.0, "push the button")


@pytest.mark.parametrize("part", PARTS)
def test_missing_parts_are_named(copy, part):
    shutil.rmtree(copy / part) if (copy / part).is_dir() else (copy / part).unlink()
    with pytest.raises(FileNotFoundError, match=f"{part} is missing.*the shipped checkpoints/demo"):
        Controller.load(copy)


@pytest.mark.parametrize("part", ["config.json", "rig.json", "statistics.json", "model.safetensors"])
def test_damaged_parts_are_refused(copy, part):
    (copy / part).write_bytes(b"{" + (copy / part).read_bytes()[:20])
    with pytest.raises(ValueError, match="the shipped checkpoints/demo"):
        Controller.load(copy)


@pytest.mark.parametrize("config", [synthetic.tiny(hidden=64).model, synthetic.tiny_paper(hidden=64).model])
def test_weights_of_another_network_are_refused(copy, config):
    config.save(copy / "config.json")
    with pytest.raises(ValueError, match="damaged"):
        Controller.load(copy)


@pytest.mark.parametrize(("drop", "add"), [(1, 0), (0, 1)], ids=["missing", "extra"])
def test_tensors_are_complete_and_no_more(copy, drop, add):
    weights = load_file(copy / "model.safetensors")
    changed = dict(list(weights.items())[drop:]) | {f"extra{i}": torch.zeros(1) for i in range(add)}
    save_file(changed, copy / "model.safetensors")
    with pytest.raises(ValueError, match="weights do not fit config.json"):
        Controller.load(copy)


def test_what_only_training_needs_is_not_shipped(folder):
    assert not [name for name in load_file(folder / "model.safetensors") if name.startswith("posterior")]


def test_saving_replaces_a_controller_and_nothing_else(controller, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("important")
    with pytest.raises(FileExistsError, match="is not a controller"):
        controller.save(tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "important"
    controller.save(tmp_path / "new")
    controller.save(tmp_path / "new")
    assert Controller.load(tmp_path / "new").chunk_size == 5


def test_the_shipped_controller_loads():
    controller = Controller.load(Path(__file__).parents[2] / "checkpoints/demo/controller")
    positions, _ = controller.act(np.zeros((4, 64, 64, 3), np.uint8), PANDA.home, 1.0, "push the button")
    assert np.abs(positions - PANDA.home).max() < 0.5
