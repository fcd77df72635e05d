"""Recordings as RLBench writes them, with its folders, pickled classes and frames; made, as none can be shipped."""

import pickle
import sys
import types
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from genima_core import geometry
from genima_core.arm import PANDA
from genima_core.cameras import CameraRig
from genima_core.importers.rlbench.conversion import Options, convert_rlbench

from . import synthetic

T_WORLD_BASE = geometry.make_transform(Rotation.from_euler("z", 20, degrees=True).as_matrix(), [-0.268, -0.006, 0.75])
"""RLBench's arm stands on a table; the turn is ours, so that nothing is parallel by chance."""
T_TCP_TIP = geometry.make_transform(np.diag([-1.0, -1.0, 1.0]), [0.0010, 0.0026, 0.0064])
"""Nearly that of RLBench's Panda, so that what is found is not what was known."""
Q_ZERO = np.radians([0.0, 0.0, 0.0, 4.1, 0.0, 0.0, 0.0])
"""By how much the joints are further than the recording says, likewise."""
JOINT5_SHIFT = np.array([0.42e-3, 0.22e-3, -0.45e-3])
"""By how much joints 5 to 7 of RLBench's Panda lie off the vendor's DH parameters, in the frame of link 4."""
DESCRIPTIONS = ["open the box", "grip the lid and lift it"]


@contextmanager
def rlbench_classes():
    """Classes that pickle under RLBench's names; the modules exist only within the context."""
    demo, observation = types.ModuleType("rlbench.demo"), types.ModuleType("rlbench.backend.observation")
    demo.Demo = type("Demo", (), {"__module__": "rlbench.demo"})
    observation.Observation = type("Observation", (), {"__module__": "rlbench.backend.observation"})
    modules = {
        "rlbench": types.ModuleType("rlbench"),
        "rlbench.backend": types.ModuleType("rlbench.backend"),
        "rlbench.demo": demo,
        "rlbench.backend.observation": observation,
    }
    sys.modules.update(modules)
    try:
        yield demo.Demo, observation.Observation
    finally:
        for name in modules:
            del sys.modules[name]


def motion(T: int, seed: int = 0) -> np.ndarray:
    """(T, 7) rad, smooth, all joints move."""
    rng = np.random.default_rng(seed)
    s = np.linspace(0, 1, T)[:, None]
    return PANDA.home + rng.normal(0, 0.05, 7) + s * s * (3 - 2 * s) * rng.normal(0, 0.3, 7)


def observations(q: np.ndarray, gripper: np.ndarray, rig: CameraRig, commands: bool = True) -> list[dict]:
    """The attributes of each row's observation, of an arm at `q` (T, 7) rad in the vendor's convention."""
    rows = []
    for t in range(len(q)):
        misc = {"variation_index": 0}
        for camera in rig.cameras:
            T_world_cam = T_WORLD_BASE @ camera.T_base_cam(hand_pose(q[t])) @ np.diag([-1.0, -1.0, 1.0, 1.0])
            k = camera.intrinsics
            K = np.array([[-k.fx, 0.0, k.width / 2], [0.0, -k.fy, k.height / 2], [0.0, 0.0, 1.0]])
            misc |= {
                f"{camera.name}_camera_extrinsics": T_world_cam,
                f"{camera.name}_camera_intrinsics": K,
                f"{camera.name}_camera_near": 0.01,
            }
        if commands and t > 0:
            misc["joint_position_action"] = np.append(q[t] - Q_ZERO + 0.001, gripper[t])
        T_world_tip = T_WORLD_BASE @ hand_pose(q[t]) @ PANDA.T_hand_tcp @ T_TCP_TIP
        rows.append(
            {
                "front_rgb": None,
                "wrist_depth": None,
                "joint_forces": np.ones(7),
                "joint_positions": q[t] - Q_ZERO,
                "joint_velocities": np.full(7, 0.125),  # wrong, as in many data sets
                "gripper_open": float(gripper[t]),
                "gripper_matrix": T_world_tip,
                "task_low_dim_state": np.arange(3.0),
                "misc": misc,
            }
        )
    return rows


def hand_pose(q: np.ndarray) -> np.ndarray:
    """T_base_hand of RLBench's Panda."""
    T_base_link4 = PANDA.forward_kinematics(np.append(q[:4], np.zeros(3)))[4]
    T_base_hand = PANDA.frame_pose(q, "hand").copy()
    T_base_hand[:3, 3] += T_base_link4[:3, :3] @ JOINT5_SHIFT
    return T_base_hand


def write_episode(folder: Path, rows: list[dict], images: dict[str, np.ndarray], protocol: int = 4) -> None:
    """An episode's folder: pictures (T, H, W, 3) RGB of each camera, and the pickled `Demo`."""
    for name, frames in images.items():
        (folder / f"{name}_rgb").mkdir(parents=True)
        for t, frame in enumerate(frames):
            Image.fromarray(frame).save(folder / f"{name}_rgb/{t}.png")
    with rlbench_classes() as (Demo, Observation):
        demo = Demo()
        demo._observations = [Observation() for _ in rows]
        for observation, row in zip(demo._observations, rows, strict=True):
            vars(observation).update(row)
        demo.random_seed, demo.num_reset_attempts = np.random.RandomState(0).get_state(), 1
        (folder / "low_dim_obs.pkl").write_bytes(pickle.dumps(demo, protocol=protocol))


def write_variation(
    root: Path,
    task: str = "open_box",
    variation: str = "variation0",
    episodes: int = 1,
    T: int = 6,
    rig: CameraRig | None = None,
    edit: Callable[[list[dict]], object] | None = None,
    **options: int | bool,
) -> Path:
    """A variation's folder, with noise for pictures; `edit` changes the rows before they are pickled."""
    rig = rig or synthetic.rig()
    commands = options.pop("commands", True)
    variation_folder = root / task / variation
    for i in range(episodes):
        q, gripper = motion(T, i), (np.arange(T) < T // 2).astype(float)
        rows = observations(q, gripper, rig, commands)
        if edit is not None:
            edit(rows)
        rng = np.random.default_rng(i)
        images = {name: synthetic.frames(rng, T, rig.size[0]) for name in rig.names}
        write_episode(variation_folder / f"episodes/episode{i}", rows, images, **options)
    (variation_folder / "variation_descriptions.pkl").write_bytes(pickle.dumps(DESCRIPTIONS))
    return variation_folder


def run(source: Path, out: Path, **options) -> dict:
    return convert_rlbench(source, out, Options(**options), show_progress=False)


def episode_folder(root: Path, index: int = 0) -> Path:
    return root / f"open_box/variation0/episodes/episode{index}"
