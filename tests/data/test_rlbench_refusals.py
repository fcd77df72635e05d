"""Bad recordings of RLBench: nothing is written, and the message says what and where."""

import pickle
import re
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from genima_core.cameras import CameraRig
from genima_core.data.dataset import Dataset

from ..mutants.mutations import huge_png
from . import rlbench_source, synthetic
from .rlbench_source import episode_folder, run


def edited(change):
    return lambda root: rlbench_source.write_variation(root, edit=lambda rows: [change(row) for row in rows])


def set_misc(name, value):
    return edited(lambda row: row["misc"].update({name: value}))


def other_robot(row):
    row["joint_positions"][1:4] *= -1


def shaken(rows):
    for t, row in enumerate(rows):
        row["misc"]["front_camera_extrinsics"][0, 3] += 0.01 * t


def half_a_file(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGED = {
    "camera": (
        (lambda e: shutil.rmtree(e / "front_rgb")),
        r"episode1 has no pictures of camera 'front' \(front_rgb\); it has those of left_shoulder, right_shoul",
    ),
    "count": (
        (lambda e: (e / "front_rgb/5.png").unlink()),
        "front_rgb holds 5 pictures, but the episode has 6 observations",
    ),
    "size": (
        (lambda e: cv2.imwrite(str(e / "front_rgb/0.png"), np.zeros((8, 8, 3), np.uint8))),
        "differ in size .*front 8x8",
    ),
    "half a pickle": (
        (lambda e: half_a_file(e / "low_dim_obs.pkl")),
        r"episode1/low_dim_obs\.pkl is damaged: .*; record the episode again or remove",
    ),
    "empty pickle": ((lambda e: (e / "low_dim_obs.pkl").write_bytes(b"")), "is damaged"),
    "no pickle": ((lambda e: (e / "low_dim_obs.pkl").unlink()), "its recording was interrupted"),
    "other pickle": (
        (lambda e: (e / "low_dim_obs.pkl").write_bytes(pickle.dumps([1, 2]))),
        "is not an RLBench demonstration",
    ),
    "other descriptions": (
        (lambda e: (e / "variation_descriptions.pkl").write_bytes(pickle.dumps([]))),
        "not a list of sentences",
    ),
    "half a picture": (lambda e: half_a_file(e / "front_rgb/3.png"), r"episode1/front_rgb/3\.png cannot be decoded"),
    "half of the first picture": (lambda e: half_a_file(e / "wrist_rgb/0.png"), r"wrist_rgb/0\.png cannot be decoded"),
    "another size later on": (
        lambda e: cv2.imwrite(str(e / "front_rgb/3.png"), np.zeros((8, 8, 3), np.uint8)),
        r"3\.png is 8x8; the other pictures are 32x32",
    ),
    "huge": (lambda e: (e / "front_rgb/3.png").write_bytes(huge_png()), "20000x20000 pixels|400000000 pixels"),
}
BAD = {
    "no descriptions": (
        lambda root: (rlbench_source.write_variation(root) / "variation_descriptions.pkl").unlink(),
        r"no variation_descriptions\.pkl",
    ),
    "one row": (lambda root: rlbench_source.write_variation(root, T=1), "holds 1 observations"),
    "six joints": (
        edited(lambda row: row.update(joint_positions=np.zeros(6))),
        r"joint_positions of observation 0 has shape \(6,\), not \(7,\); only RLBench's Panda",
    ),
    "NaN": (edited(lambda row: row.update(joint_positions=np.full(7, np.nan))), "holds NaN"),
    "texts": (edited(lambda row: row.update(joint_positions=["a"] * 7)), "not made of numbers"),
    "objects": (edited(lambda row: row.update(joint_positions=np.array([None] * 7))), "not made of numbers"),
    "opening": (edited(lambda row: row.update(gripper_open=40.0)), "opening is 0 to 40|opening is 40"),
    "no gripper_matrix": (
        edited(lambda row: row.pop("gripper_matrix")),
        "lacks gripper_matrix: record with gripper_matrix=True in RLBench's ObservationConfig",
    ),
    "no camera's data": (
        edited(lambda row: row["misc"].pop("front_camera_extrinsics")),
        "lacks front_camera_extrinsics: record with that camera switched on",
    ),
    "other robot": (
        edited(other_robot),
        r"not of a Panda in RLBench's conventions: the gripper is \d+ mm and .* \(median",
    ),
    "other frames": (edited(lambda row: row.update(gripper_matrix=np.eye(4))), "not of a Panda"),
    "no numbers": (
        edited(lambda row: row.update(gripper_matrix=np.zeros((4, 4)))),
        "gripper_matrix of observation 0 is not a pose",
    ),
    "shaken": (
        lambda root: rlbench_source.write_variation(root, edit=shaken),
        r"camera 'front' is fixed to neither base nor hand: it moves \d+\.\d mm and .* against the base",
    ),
    "not rigid": (
        set_misc("front_camera_extrinsics", np.zeros((4, 4))),
        "front_camera_extrinsics of observation 0 is not a pose",
    ),
    "resized": (
        set_misc("front_camera_intrinsics", np.array([[-50.0, 0, 64], [0, -50, 64], [0, 0, 1]])),
        "was recorded with 128x128 pixels, but its pictures are 32x32",
    ),
    "mirrored": (
        set_misc("front_camera_intrinsics", np.array([[50.0, 0, 16], [0, -50, 16], [0, 0, 1]])),
        "focal lengths 50 and -50",
    ),
    "empty": (lambda root: (root / "open_box/variation0/episodes").mkdir(parents=True), "no episodes of open_box"),
    "something else": (
        lambda root: (root / "letters").mkdir(parents=True),
        "expected are <task>/variation<n>/episodes/episode<i>.* It holds letters",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_recordings_are_refused(case, tmp_path):
    make, message = BAD[case]
    make(tmp_path / "source")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run(tmp_path / "source", tmp_path / "set")
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_episode_is_left_out_and_the_others_are_not(case, tmp_path, capsys):
    change, message = DAMAGED[case]
    rlbench_source.write_variation(tmp_path / "source", episodes=3)
    bad = episode_folder(tmp_path / "source", 1)
    change(bad)
    result = run(tmp_path / "source", tmp_path / "set")
    assert (result["added"], list(result["skipped"])) == (2, ["open_box/variation0/episode1"])
    assert re.search(message, result["skipped"]["open_box/variation0/episode1"])
    assert "left out open_box/variation0/episode1: " in capsys.readouterr().out
    assert len(Dataset(tmp_path / "set")) == 2
    again = run(tmp_path / "source", tmp_path / "set")
    assert (again["added"], again["skipped"]) == (0, result["skipped"])
    shutil.rmtree(bad)  # as the messages advise
    assert run(tmp_path / "source", tmp_path / "set")["skipped"] == {}


def test_episodes_with_other_cameras_are_not_mixed(tmp_path):
    rig = synthetic.rig()
    front = rig["front"]
    T = front.T_mount_cam.copy()
    T[0, 3] += 0.02
    moved = CameraRig((rig.cameras[0], replace(front, T_mount_cam=T), *rig.cameras[2:]))
    rlbench_source.write_variation(tmp_path / "source", "open_box")
    run(tmp_path / "source", tmp_path / "set")
    rlbench_source.write_variation(tmp_path / "source", "push_buttons", rig=moved)
    left_out = run(tmp_path / "source", tmp_path / "set")["skipped"]
    assert "camera 'front' is 20.0 mm and 0.0" in left_out["push_buttons/variation0/episode0"]
    rlbench_source.write_variation(tmp_path / "large", "open_box", rig=synthetic.rig(64))
    rlbench_source.write_variation(tmp_path / "large", "push_buttons")
    left_out = run(tmp_path / "large", tmp_path / "other")["skipped"]
    assert left_out["push_buttons/variation0/episode0"].startswith(
        "its pictures are 32x32, those of most episodes 64x64"
    )
