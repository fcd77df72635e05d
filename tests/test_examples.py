"""The scripts of examples/, each at a small size; and `import genima_core as genima`."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import genima_core as genima
from genima_core.data.dataset import DatasetWriter

from .data import synthetic
from .data.bags import recorded

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_closed_loop(capsys):
    assert example("closed_loop").main(seed=20000)
    assert "solved after" in capsys.readouterr().out


def test_draw_targets(tmp_path):
    rig = synthetic.rig(64)
    rig.save(tmp_path / "rig.json")
    for name in rig.names:
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((64, 64, 3), 128, np.uint8))
    example("draw_targets").main(tmp_path, out=tmp_path / "targets.png")
    drawn = cv2.imread(str(tmp_path / "targets.png"))
    assert drawn.shape == (128, 128, 3) and (drawn != 128).any()


def test_train_controller(tmp_path):
    with DatasetWriter(tmp_path / "set", synthetic.rig()) as writer:
        for number in range(2):
            writer.add(synthetic.episode(number))
    error_rad = example("train_controller").main(tmp_path / "set", tmp_path / "run", steps=2)
    assert 0 < error_rad < 3


def test_stream_commands():
    module, now_s = example("stream_commands"), 0.0

    def sleep(seconds):
        nonlocal now_s
        now_s += seconds

    arm = module.SimpleArm()
    goal = arm.q + 0.5 * np.eye(7)[0]
    module.stream(arm, np.linspace(arm.q, goal, 20), 3.0, lambda: now_s, sleep)
    assert arm.q == pytest.approx(goal, abs=1e-3) and np.abs(arm.dq).max() < 1e-6


def test_read_recording(tmp_path, capsys):
    recorded.write(tmp_path / "episode_0", info={"label": "success"})
    example("read_recording").main(tmp_path / "episode_0")
    assert "success" in capsys.readouterr().out


def test_every_example_is_tested():
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {path.stem for path in EXAMPLES.glob("*.py")} <= tested


def test_the_library_gives_its_names_lazily():
    script = "import sys, genima_core; print(*{'numpy', 'torch', 'mujoco', 'tyro'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "\n"
    for name in genima.__all__:
        assert getattr(genima, name) is not None
    assert set(genima.__all__) <= set(dir(genima))
    with pytest.raises(AttributeError, match="genima_core has no 'Robot'; it has .*Policy"):
        genima.Robot  # noqa: B018
