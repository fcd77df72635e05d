"""One of each kind of file that is read, and what reads it."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml

from genima_core.arm import PANDA
from genima_core.calibration.board import Board
from genima_core.calibration.samples import SampleSet
from genima_core.calibration.simulated import board_for, simulate
from genima_core.calibration.solution import load_solutions, save_solutions, solve
from genima_core.calibration.store import Calib
from genima_core.camera_sources.lens import Lens
from genima_core.cameras import CameraRig, PinholeCamera
from genima_core.checkpoint import Checkpoint
from genima_core.config import from_overrides
from genima_core.controller.policy import Controller
from genima_core.data.bags.conversion import convert_recordings
from genima_core.data.bags.episodes import Options
from genima_core.data.bags.reader import open_bag
from genima_core.data.bags.writer import repair
from genima_core.data.dataset import Dataset, DatasetWriter
from genima_core.data.origin import Origin, resume
from genima_core.diffusion.agent import DiffusionAgent
from genima_core.diffusion.building import load_base
from genima_core.importers.agents import Options as AgentOptions
from genima_core.importers.agents import convert_agent
from genima_core.importers.lerobot import Options as LeRobotOptions
from genima_core.importers.lerobot import convert_lerobot
from genima_core.importers.rlbench.conversion import Options as RLBenchOptions
from genima_core.importers.rlbench.conversion import convert_rlbench
from genima_core.importers.robobase import convert_controller
from genima_core.pixels import read_picture
from genima_core.sim.scene import default_rig
from genima_core.training.config import Training
from genima_core.training.run import Run

from ..controller import published
from ..data import lerobot_source, rlbench_source, synthetic
from ..data.bags import recorded
from ..diffusion.bases import save_base

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "checkpoints" / "demo"


@dataclass(frozen=True)
class Source:
    """A folder with files, and what reads them; results go into another folder."""

    make: Callable[[Path], None]
    read: Callable[[Path, Path], object]
    files: tuple[str, ...]
    """Which of the files are changed; patterns."""
    share: int = 1
    """How many of the mutants it gets: slow readers fewer."""


def _rig(folder: Path) -> None:
    synthetic.rig().save(folder / "rig.json")


def _calibration(folder: Path) -> None:
    rig = default_rig(256, 256)
    _samples(rig, 3).save(folder)
    Calib.of(rig["front"]).save(folder / "front.calib")
    Lens(PinholeCamera(64, 48, 60.0, 60.0, 31.5, 23.5)).save(folder / "lens.json")


def _samples(rig: CameraRig, count: int) -> SampleSet:
    board = Board()
    return simulate(PANDA, rig["front"], board, board_for(rig["front"], board), np.random.default_rng(0), count)


def _solution(folder: Path) -> None:
    rig = default_rig(256, 256)
    save_solutions({"front": solve(rig["front"], _samples(rig, 6))}, folder / "solution.json")


def _read_calibration(folder: Path, out: Path) -> None:
    Calib.load(folder / "front.calib").T_mount_cam()
    Lens.load(folder / "lens.json")
    samples = SampleSet.load(folder)
    for name in samples.cameras:
        samples.seen_by(name)


def _checkpoint(folder: Path) -> None:
    for name in ("checkpoint.json", "rig.json", "gate.json"):
        shutil.copy(DEMO / name, folder)
    for name in ("diffusion", "controller"):
        (folder / name).mkdir()


def _copy(name: str) -> Callable[[Path], None]:
    return lambda folder: shutil.copytree(DEMO / name, folder, dirs_exist_ok=True)


def _bag(folder: Path) -> None:
    recorded.write(folder / "episode_0", recorded.Plan(seconds=0.5))
    recorded.write(folder / "episode_1", recorded.Plan(seconds=0.5))


def _read_bag(folder: Path, out: Path) -> None:
    assert convert_recordings(folder, out / "set", Options(), show_progress=False)["episodes"] >= 1
    try:
        list(open_bag(folder / "episode_0").messages())
    finally:
        repair(folder / "episode_0")


def _dataset(folder: Path) -> None:
    with DatasetWriter(folder, synthetic.rig()) as writer:
        Origin("collected", {"seed": 1}).save(folder)
        for seed in (0, 1):
            writer.add(synthetic.episode(seed))


def _read_dataset(folder: Path, out: Path) -> None:
    resume(folder, Origin("collected", {"seed": 1}))
    dataset = Dataset(folder)
    dataset.fingerprint()
    for index in range(len(dataset)):
        dataset.episode(index)


def _rlbench(folder: Path) -> None:
    rlbench_source.write_variation(folder, episodes=2)


def _read_rlbench(folder: Path, out: Path) -> None:
    options = RLBenchOptions(cameras=synthetic.rig().names)
    assert convert_rlbench(folder, out / "set", options, show_progress=False)["episodes"] >= 1


def _robobase(folder: Path) -> None:
    config = published.SPEECHLESS
    published.write(folder, published.state_dict(config), published.settings(config))


def _lerobot(folder: Path) -> None:
    lerobot_source.write(folder / "set", lengths=(6, 5))
    rig = default_rig(lerobot_source.WIDTH, lerobot_source.HEIGHT)
    rig.save(folder / "rig.json")


def _read_lerobot(folder: Path, out: Path) -> None:
    options = LeRobotOptions(rig=folder / "rig.json", cameras=lerobot_source.MAPPED)
    assert convert_lerobot(folder / "set", out / "set", options, show_progress=False)["episodes"] >= 1


def _sqlite(folder: Path) -> None:
    recorded.write(folder / "mcap", recorded.Plan(seconds=0.5))
    recorded.as_sqlite3(folder / "mcap", folder / "bag")
    shutil.copy(folder / "mcap/episode.json", folder / "bag")
    shutil.rmtree(folder / "mcap")


def _read_sqlite(folder: Path, out: Path) -> None:
    assert convert_recordings(folder / "bag", out / "set", Options(), show_progress=False)["episodes"] == 1


def _released(folder: Path) -> None:
    base = save_base(folder / "base", "sd")
    load_base("sd", str(base)).controlnet.save_pretrained(folder / "agent", safe_serialization=False)
    (folder / "agent/config.yaml").write_text(yaml.safe_dump(published.settings(published.SPEECHLESS)))


def _read_released(folder: Path, out: Path) -> None:
    convert_agent(folder / "agent", out / "agent", AgentOptions(base=str(folder / "base")))


def _training(folder: Path) -> None:
    run = Run(Training(folder, folder), {"model": torch.nn.Linear(2, 2)}, {}, 5)
    run.advance({"loss": 1.0})
    run._save()


def _picture(folder: Path) -> None:
    for ending in ("png", "jpg"):
        cv2.imwrite(str(folder / f"picture.{ending}"), np.full((48, 64, 3), 90, np.uint8))


def _arms(folder: Path) -> None:
    for path in (ROOT / "config" / "arms").glob("*.yaml"):
        shutil.copy(path, folder)


def _read_arms(folder: Path, out: Path) -> None:
    from genima_ros.arms import find_arm

    for path in folder.iterdir():
        find_arm(str(path))


def _parameters(folder: Path) -> None:
    shutil.copy(ROOT / "config" / "real.yaml", folder)


def _read_parameters(folder: Path, out: Path) -> None:
    from genima_core.files import read_yaml

    for section in read_yaml(folder / "real.yaml").values():
        if isinstance(section, dict):
            from_overrides(Lens, section, "a node", strict=False)


SOURCES = {
    "rig": Source(_rig, lambda folder, out: CameraRig.load(folder / "rig.json"), ("rig.json",), 4),
    "calibration": Source(_calibration, _read_calibration, ("*",), 6),
    "solution": Source(
        _solution,
        lambda folder, out: load_solutions(folder / "solution.json"),
        ("solution.json",),
        2,
    ),
    "checkpoint": Source(_checkpoint, lambda folder, out: Checkpoint.open(folder), ("*.json",), 4),
    "controller": Source(_copy("controller"), lambda folder, out: Controller.load(folder), ("**/*",), 3),
    "agent": Source(_copy("diffusion"), lambda folder, out: DiffusionAgent.load(folder), ("**/*",), 2),
    "bag": Source(_bag, _read_bag, ("episode_0/*",), 4),
    "dataset": Source(_dataset, _read_dataset, ("**/*",), 6),
    "rlbench": Source(
        _rlbench, _read_rlbench, ("**/episode0/*.pkl", "**/variation0/*.pkl", "**/episode0/wrist_rgb/*"), 4
    ),
    "robobase": Source(
        _robobase,
        lambda folder, out: convert_controller(folder / "latest.pt", out / "controller", synthetic.rig()),
        ("*",),
        1,
    ),
    "lerobot": Source(_lerobot, _read_lerobot, ("set/**/*",), 5),
    "sqlite": Source(_sqlite, _read_sqlite, ("bag/*",), 2),
    "released": Source(_released, _read_released, ("**/*",), 3),
    "training": Source(
        _training,
        lambda folder, out: Run(Training(folder, folder), {"model": torch.nn.Linear(2, 2)}, {}, 5, writes=False),
        ("training.pt",),
        2,
    ),
    "pictures": Source(
        _picture,
        lambda folder, out: [read_picture(path) for path in folder.iterdir()],
        ("*",),
        2,
    ),
    "arms": Source(_arms, _read_arms, ("*.yaml",), 4),
    "parameters": Source(_parameters, _read_parameters, ("real.yaml",), 2),
}
