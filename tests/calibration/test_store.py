from dataclasses import replace

import numpy as np
import pytest
import yaml

from genima_core.arm import FR3
from genima_core.calibration.store import Calib, check_intrinsics, find_doubt, placed
from genima_core.cameras import PinholeCamera
from genima_core.geometry import invert

FOREIGN = """\
parameters:
  name: wrist
  calibration_type: eye_in_hand
  robot_base_frame: panda_link0
  robot_effector_frame: panda_link8
  tracking_base_frame: wrist_color_optical_frame
  tracking_marker_frame: charuco_board
  freehand_robot_movement: true
  move_group_namespace: /
  move_group: manipulator
transform:
  translation: {x: 0.1, y: 0.0, z: 0.05}
  rotation: {x: 0.0, y: 0.0, z: 0.0, w: 1.0}
"""


def write(path, change=lambda data: None):
    data = yaml.safe_load(FOREIGN)
    change(data)
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.mark.parametrize("name", ["wrist", "front"])
def test_a_calib_survives_its_file(rig, tmp_path, name):
    Calib.of(rig[name], FR3).save(tmp_path / f"{name}.calib")
    loaded = Calib.load(tmp_path / f"{name}.calib")
    np.testing.assert_allclose(loaded.T_mount_cam(), rig[name].T_mount_cam, atol=1e-9)
    assert loaded.mount == rig[name].mount
    assert loaded.robot_effector_frame == "fr3_hand"


def test_the_file_has_easy_handeye2s_layout(rig, tmp_path):
    Calib.of(rig["front"]).save(tmp_path / "front.calib")
    written = yaml.safe_load((tmp_path / "front.calib").read_text())
    expected = yaml.safe_load(FOREIGN)
    assert {key: set(value) for key, value in written.items()} == {key: set(value) for key, value in expected.items()}
    assert written["parameters"]["calibration_type"] == "eye_on_base"
    assert list(written["transform"]["rotation"]) == ["x", "y", "z", "w"]


def test_a_calibration_of_the_flange_is_turned_into_the_hand_by_hand(tmp_path):
    # The hand is turned by -45 degrees: a camera 0.1 m along the flange's x axis lies at 45 degrees in its frame.
    T_hand_cam = Calib.load(write(tmp_path / "wrist.calib")).T_mount_cam()
    half = 0.1 * np.sqrt(0.5)
    np.testing.assert_allclose(T_hand_cam[:3, 3], [half, half, 0.05], atol=1e-12)


def test_a_calibration_of_the_tcp(tmp_path):
    path = write(tmp_path / "c", lambda d: d["parameters"].update(robot_effector_frame="panda_hand_tcp"))
    np.testing.assert_allclose(Calib.load(path).T_mount_cam()[:3, 3], [0.1, 0.0, 0.05 + 0.1034], atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d["parameters"].pop("robot_base_frame"),
            "is not a .calib file of easy_handeye2: parameters .* robot_base_frame",
        ),
        (
            lambda d: d["transform"]["rotation"].pop("w"),
            "rotation is .0.0, 0.0, 0.0, None.; it needs 4 finite numbers",
        ),
        (lambda d: d.pop("transform"), "the file needs a value for parameter transform"),
        (lambda d: d.update(parameters=[1]), "parameters of the file is .1.; it needs names"),
        (lambda d: d["transform"]["rotation"].update(w=0.9), "norm 0.9"),
        (
            lambda d: d["transform"]["rotation"].update(w=float("nan")),
            "'w' in 'rotation' .* needs a finite number",
        ),
        (lambda d: d["transform"]["translation"].update(x="left"), "'x' in 'translation' .* is 'left'"),
        (lambda d: d["parameters"].update(calibration_type="eye_to_hand"), "valid are 'eye_in_hand', 'eye_on_base'"),
    ],
)
def test_broken_files_are_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message) as error:
        Calib.load(write(tmp_path / "broken.calib", change))
    assert "broken.calib" in str(error.value)


def test_what_is_no_yaml_is_refused(tmp_path):
    (tmp_path / "x.calib").write_text("{: [")
    with pytest.raises(ValueError, match="not YAML"):
        Calib.load(tmp_path / "x.calib")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tracking_base_frame": "camera_link"}, "not an optical frame"),
        ({"robot_effector_frame": "tool0"}, "known are"),
        ({"calibration_type": "eye_on_base", "robot_base_frame": "world"}, "link0"),
    ],
)
def test_frames_whose_place_is_unknown_are_refused(tmp_path, values, message):
    calib = Calib.load(write(tmp_path / "c", lambda d: d["parameters"].update(values)))
    with pytest.raises(ValueError, match=message):
        calib.T_mount_cam()


def test_placing_cameras_changes_only_these_and_the_fingerprint(rig):
    T = rig["front"].T_mount_cam.copy()
    T[0, 3] += 0.01
    after = placed(rig, {"front": ("base", T)})
    assert after.fingerprint() != rig.fingerprint()
    np.testing.assert_array_equal(after["front"].T_mount_cam, T)
    assert all(after[name] is rig[name] for name in rig.names if name != "front")
    assert after["front"].intrinsics == rig["front"].intrinsics


def test_another_mount_or_camera_is_refused(rig):
    with pytest.raises(ValueError, match="the rig has it on the base"):
        placed(rig, {"front": ("hand", np.eye(4))})
    with pytest.raises(KeyError, match="no camera 'top'"):
        placed(rig, {"top": ("base", np.eye(4))})


def test_intrinsics_may_be_resized_but_not_others(rig):
    ours = rig["front"].intrinsics
    check_intrinsics(rig, {"front": ours.resize(1280, 960)})
    cropped = ours.crop(80, 0, 480, 480)
    with pytest.raises(ValueError, match="480x480 .*the rig has 640x480"):
        check_intrinsics(rig, {"front": cropped})
    with pytest.raises(ValueError, match="not the same picture resized"):
        check_intrinsics(rig, {"front": PinholeCamera(640, 480, 1.1 * ours.fx, 1.1 * ours.fy, ours.cx, ours.cy)})


def test_inverse_calibrations_differ(rig):
    # Guards against publishing the pose the wrong way round: the front camera stands in front of the base.
    assert Calib.of(rig["front"]).T_robot_cam[0, 3] == pytest.approx(1.6)
    assert invert(rig["front"].T_mount_cam)[0, 3] != pytest.approx(1.6)


@pytest.mark.parametrize("name", ["front", "wrist"])
def test_where_no_camera_of_the_cell_stands_is_doubted(rig, name):
    """What happens to poses between programs; the inverse of a camera on the hand is like itself."""
    camera, turned = rig[name], np.diag([-1.0, 1.0, -1.0, 1.0])
    centimetres = camera.T_mount_cam.copy()
    centimetres[:3, 3] *= 100
    for T_mount_cam, words in (
        (np.eye(4), "is the identity"),
        (centimetres, "are its numbers in m"),
        (camera.T_mount_cam @ turned, "would not see the arm"),
        *([(invert(camera.T_mount_cam), "would not see the arm")] if name == "front" else []),
    ):
        assert words in find_doubt(replace(camera, T_mount_cam=T_mount_cam), rig.arm)
    assert all(find_doubt(camera, rig.arm) == "" for camera in rig.cameras)
