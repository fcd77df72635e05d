"""docs/extending.md: every addition, made in a copy of the sources, works there and touches as few files as it says."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "extending.md"
BLOCK = re.compile(r'^```(\w+) title="([^"]+)"\n(.*?)^```', re.MULTILINE | re.DOTALL)
LARGEST = {
    "simulated task": 1,
    "verb of the command line": 1,
    "arm with seven joints": 1,
    "camera source": 1,
    "controller network": 2,
    "base model": 2,
    "node": 2,
}
"""Addition to the files that it may touch."""
needs_ros = pytest.mark.skipif(importlib.util.find_spec("rclpy") is None, reason="needs rclpy")

PROBES = {
    "simulated task": """
from genima_core.sim.cell import Cell
from genima_core.sim.scene import default_rig
from genima_core.environment import run_expert
from genima_core.sim.task import make_task
cell = Cell(make_task("touch_post"), default_rig(16, 16))
for seed in range(3):
    cell.reset(seed)
    assert not cell.success() and run_expert(cell), seed
""",
    "verb of the command line": """
from genima_ros.cli.main import find_verbs, run
assert find_verbs()["seeds"].help == "Says which scenes a data set was recorded in."
assert run(["seeds", "nowhere"]) == 1
""",
    "arm with seven joints": """
import numpy as np
from genima_ros.arms import find_arm
setup = find_arm("slim7")
assert setup.arm.name == "slim7" and setup.arm.gripper.max_width_m == 0.08
assert np.isfinite(setup.arm.frame_pose(setup.arm.home, "tcp")).all()
""",
    "camera source": """
import cv2, numpy as np
from pathlib import Path
from genima_core.camera_sources.lens import Lens
from genima_core.camera_sources.source import Clock
from genima_core.cameras import PinholeCamera
from genima_ros.nodes.camera_node import CameraParameters, make_opener
cv2.imwrite("still.png", np.full((8, 8, 3), 7, np.uint8))
Lens(PinholeCamera(8, 8, 9.0, 9.0, 3.5, 3.5)).save(Path("lens.json"))
parameters = CameraParameters(name="top", source="still", path=Path("still.png"), intrinsics=Path("lens.json"))
source = make_opener(parameters, Clock(lambda: 1.0, lambda: 5.0, lambda _: None))(False)
assert source.read(0.1).stamp_s == 5.0 and (source.read(0.1).rgb == 7).all()
""",
    "controller network": """
import torch
from genima_core.controller.config import NETWORKS, PRESETS
from genima_core.sim.scene import default_rig
config = PRESETS["linear"].model
network = NETWORKS["linear"](config, default_rig(*config.size))
chunk = network(torch.rand(2, 4, 3, 64, 64), torch.zeros(2, 7), torch.ones(2), torch.zeros(2, config.text_dim))
assert chunk.joints.shape == (2, config.chunk_size, 7)
""",
    "base model": """
from genima_core.diffusion.config import PRESETS
assert PRESETS["sd-2.1"].family == "sd" and PRESETS["sd-2.1"].base.endswith("2-1-base")
""",
    "node": """
from genima_ros.graph import graph
from genima_ros.nodes.solved_node import SolvedNode
assert "solved" in {process.name for process in graph.processes("sim", graph.parse_arguments("sim", []))}
""",
}


def additions() -> dict[str, list[tuple[str, str, str]]]:
    """Heading of a section to its blocks: language, path, text."""
    sections = re.split(r"^## ", DOCUMENT.read_text(), flags=re.MULTILINE)[1:]
    return {section.partition("\n")[0]: BLOCK.findall(section) for section in sections}


def named() -> dict[str, tuple[str, int]]:
    """Addition to the heading of its section, and the number of files that the table says."""
    rows = re.findall(r"^\| \[([^]]+)\]\(#([\w-]+)\) \| (\d+) \|", DOCUMENT.read_text(), re.MULTILINE)
    headings = {heading.lower().replace(" ", "-"): heading for heading in additions()}
    return {name: (headings[anchor], int(count)) for name, anchor, count in rows}


@pytest.fixture
def tree(tmp_path) -> Path:
    """The sources without tests."""
    for name in ("genima_core", "genima_ros", "config"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "checkpoints").symlink_to(ROOT / "checkpoints")
    shutil.copy(ROOT / "package.xml", tmp_path)
    return tmp_path


def apply(tree: Path, language: str, path: str, text: str) -> None:
    file = tree / path
    if language != "diff":
        assert not file.exists(), f"{path} is there already"
        file.write_text(text)
        return
    lines = text.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    after = "".join(line[1:] for line in lines if line[0] in " +")
    source = file.read_text()
    assert source.count(before) == 1, f"{path} does not hold once:\n{before}"
    file.write_text(source.replace(before, after))


def test_the_table_is_complete():
    assert {name: count <= LARGEST[name] for name, (_, count) in named().items()} == dict.fromkeys(LARGEST, True)
    assert {heading for heading, _ in named().values()} == set(additions())


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=needs_ros if name in ("camera source", "node") else ()) for name in PROBES],
)
def test_an_addition_works_and_touches_as_few_files_as_it_says(name, tree):
    heading, count = named()[name]
    blocks = additions()[heading]
    assert len({path for _, path, _ in blocks}) == count
    for block in blocks:
        apply(tree, *block)
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}
    result = subprocess.run(
        [sys.executable, "-c", PROBES[name]], cwd=tree, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-2000:]
