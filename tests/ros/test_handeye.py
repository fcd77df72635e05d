"""easy_handeye2 gets the frames of our rig and arm; test_launching.py has the launch file."""

import pytest

from genima_core.arm import FR3, PANDA
from genima_ros.graph.handeye import handeye_arguments


def test_easy_handeye2_gets_the_frames_of_the_camera(rig):
    assert handeye_arguments(rig, "wrist", PANDA, "board") == {
        "name": "wrist",
        "calibration_type": "eye_in_hand",
        "robot_base_frame": "panda_link0",
        "robot_effector_frame": "panda_hand",
        "tracking_base_frame": "wrist_color_optical_frame",
        "tracking_marker_frame": "board",
        "move_group": "panda_arm",
        "move_group_namespace": "/",
    }
    assert handeye_arguments(rig, "front", FR3, "board")["calibration_type"] == "eye_on_base"
    with pytest.raises(KeyError, match="no camera 'top'"):
        handeye_arguments(rig, "top", PANDA, "board")
    assert handeye_arguments(rig, "wrist", FR3, "board")["robot_effector_frame"] == "fr3_hand"
