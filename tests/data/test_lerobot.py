"""Data sets of others: what is found by name, how pictures and grippers are mapped, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genima_core.cameras import CameraRig, PinholeCamera
from genima_core.data import layout
from genima_core.data.dataset import Dataset
from genima_core.importers.lerobot import Options, convert_lerobot

from . import lerobot_source as source
from . import synthetic


@pytest.fixture
def rig(tmp_path) -> Path:
    camera = PinholeCamera(source.WIDTH, source.HEIGHT, 50.0, 50.0, 23.5, 15.5)
    made = synthetic.rig()
    CameraRig(tuple(replace(c, intrinsics=camera) for c in made.cameras)).save(tmp_path / "rig.json")
    return tmp_path / "rig.json"


def convert(root: Path, rig: Path | None, **options) -> Dataset:
    out = root.with_name("converted")
    convert_lerobot(root, out, Options(rig=rig, **{"cameras": source.MAPPED, **options}), show_progress=False)
    return Dataset(out)


def test_numbers_and_pictures_are_those_of_the_episode(tmp_path, rig):
    dataset = convert(source.write(tmp_path / "set"), rig)
    assert (len(dataset), dataset.fps, dataset.lengths) == (3, source.FPS, (10, 14, 12))
    assert dataset.tasks == dataset.instructions == ("do 0", "do 1", "do 0")
    for index, T in enumerate(dataset.lengths):
        episode, wanted = dataset.episode(index), source.rows(index, T, 1.0)
        np.testing.assert_allclose(
            np.column_stack([episode.q, episode.gripper]), wanted["observation.state"], atol=1e-6
        )
        np.testing.assert_allclose(
            np.column_stack([episode.action_q, episode.action_gripper]), wanted["action"], atol=1e-6
        )
        np.testing.assert_allclose(episode.stamps_s, np.arange(T) / source.FPS, atol=1e-9)
        for frames in episode.images.values():
            assert np.abs(frames.astype(int) - source.pictures(index, T)).mean() < 6


def test_pictures_are_cropped_and_resized_and_the_rig_with_them(tmp_path, rig):
    dataset = convert(source.write(tmp_path / "set"), rig, crop="square", size=16, task="stack")
    assert dataset.rig.size == (16, 16)
    assert dataset.rig.cameras[0].intrinsics.fx == 25.0
    assert dataset.tasks == ("stack",) * 3


def test_a_rig_of_two_cameras_takes_two(tmp_path, rig):
    four = CameraRig.load(rig)
    CameraRig((four["front"], four["wrist"])).save(rig)
    dataset = convert(source.write(tmp_path / "set"), rig, cameras=source.MAPPED.partition(",right")[0])
    assert dataset.rig.names == tuple(dataset.episode(0).images) == ("front", "wrist")


def test_an_interrupted_conversion_goes_on(tmp_path, rig, monkeypatch):
    root = source.write(tmp_path / "set")
    with monkeypatch.context() as patch:
        patch.setattr("genima_core.importers.lerobot.LeRobot.episode", stopped(1))
        with pytest.raises(KeyboardInterrupt):
            convert(root, rig)
    assert len(Dataset(tmp_path / "converted")) == 1
    assert len(convert(root, rig)) == 3
    with pytest.raises(ValueError, match="gripper_open 1.0, not 0.5: choose another folder"):
        convert(root, rig, gripper_open=0.5)


def stopped(at: int):
    from genima_core.importers.lerobot import LeRobot

    original = LeRobot.episode

    def episode(self, index):
        if index == at:
            raise KeyboardInterrupt
        return original(self, index)

    return episode


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([*(f"panda_joint{i}" for i in range(1, 8)), "panda_finger_joint1"], True),
        ([*(f"fr3_joint{i}.pos" for i in range(1, 8)), "gripper.pos"], True),
        ({"motors": [*(f"joint_positions_{i}" for i in range(7)), "gripper_position"]}, True),
        ({"axes": ["x", "y", "z", "roll", "pitch", "yaw", "grip_speed", "gripper"]}, False),
        ([*(f"joint_{i}" for i in range(6)), "joint_5", "gripper"], False),
        ([*(f"joint_{i}.vel" for i in range(7)), "gripper"], False),
        ([f"main_{i}" for i in range(8)], False),
    ],
)
def test_joints_are_found_by_their_names(tmp_path, rig, names, found):
    root = source.write(tmp_path / "set", names=names)
    if found:
        assert len(convert(root, rig)) == 3
    else:
        with pytest.raises(ValueError, match="observation.state: .*needed are 7 joint angles and a gripper"):
            convert(root, rig)


def test_a_gripper_in_metres_is_an_opening(tmp_path, rig):
    root = source.write(tmp_path / "set", opened=0.08)
    with pytest.raises(ValueError, match="reach 0.08, and --gripper-open is 1: .*such as 0.08"):
        convert(root, rig)
    assert convert(root, rig, gripper_open=0.08).episode(0).gripper.tolist() == [1.0] * 5 + [0.0] * 5
    with pytest.raises(ValueError, match="reach from 0 to 0.08, which --gripper-closed 0 --gripper-open 0.01"):
        convert_lerobot(root, tmp_path / "other", Options(rig=rig, cameras=source.MAPPED, gripper_open=0.01))


def test_a_gripper_that_counts_the_other_way_round(tmp_path, rig):
    dataset = convert(source.write(tmp_path / "set"), rig, gripper_closed=1.0, gripper_open=0.0)
    assert dataset.episode(0).gripper.tolist() == [0.0] * 5 + [1.0] * 5


def test_failures_are_left_out_unless_asked_for(tmp_path, rig, capsys):
    done = [False] * 10 + [False] * 13 + [True] + [True] * 12
    root = source.write(tmp_path / "set", extra={"next.success": done})
    assert convert(root, rig).successes == (True, True)
    assert "left out episode_000000: a failed demonstration" in capsys.readouterr().out
    convert_lerobot(root, tmp_path / "all", Options(rig=rig, cameras=source.MAPPED, include_failures=True))
    assert Dataset(tmp_path / "all").successes == (False, True, True)


def test_what_cannot_be_a_franka_is_refused_by_name(tmp_path, rig):
    with pytest.raises(ValueError, match="was recorded with a xarm7; the rig is of a panda"):
        convert(source.write(tmp_path / "set", robot="xarm7"), rig)
    path = tmp_path / "set" / layout.INFO
    info = json.loads(path.read_text())
    path.write_text(json.dumps({**info, "robot_type": None}))
    assert len(convert(tmp_path / "set", rig)) == 3


def test_cameras_and_rigs_that_do_not_fit_are_named(tmp_path, rig):
    root = source.write(tmp_path / "set")
    with pytest.raises(ValueError, match="no camera 'wrist' for the rig's 'wrist'; .*say --cameras wrist=obs"):
        convert(root, rig, cameras=None)
    with pytest.raises(ValueError, match="a camera of --cameras is 'side'; valid are wrist, front"):
        convert(root, rig, cameras="side=top")
    with pytest.raises(ValueError, match="give --rig"):
        convert(root, None)
    synthetic.rig(32).save(tmp_path / "small.json")
    with pytest.raises(ValueError, match="wrist_left are 48x32, the rig's camera wrist has 32x32"):
        convert(root, tmp_path / "small.json")


def test_joints_in_degrees_are_refused(tmp_path, rig, monkeypatch):
    wide = {name: np.degrees(value) for name, value in source.rows(0, 10, 1.0).items()}
    wide = {name: np.column_stack([value[:, :7], np.ones(10)]) for name, value in wide.items()}
    monkeypatch.setattr(source, "rows", lambda *_: wide)
    with pytest.raises(ValueError, match="observation.state are .* beyond the limits of panda in rad.* in degrees"):
        convert(source.write(tmp_path / "set", lengths=(10,)), rig)


def test_an_older_version_is_told_how_to_upgrade(tmp_path, rig):
    root = source.write(tmp_path / "set")
    path = root / layout.INFO
    path.write_text(json.dumps({**json.loads(path.read_text()), "codebase_version": "v2.1"}))
    with pytest.raises(ValueError, match="version v2.1, not v3.0; .*convert_dataset_v21_to_v30 --repo-id set --root"):
        convert(root, rig)


def test_a_damaged_episode_is_left_out(tmp_path, rig, capsys):
    root = source.write(tmp_path / "set")
    (root / "videos/observation.images.wrist_left/chunk-000/file-000.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match="nothing of .*could be converted: episode_000000: video .*is damaged"):
        convert(root, rig)
