"""ros2 launch genima_ros calibrate.launch.py rig:=rig.json [camera:=wrist] [arm:=panda] [marker_frame:=charuco_board].

The rig's cameras as frames of TF; with `camera:=`, easy_handeye2 for that one, with the right frames. Afterwards
`genima calibrate install ~/.ros2/easy_handeye2/calibrations/<camera>.calib --rig rig.json`.
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from genima_core.cameras import CameraRig
from genima_ros.graph.handeye import handeye_arguments, handeye_launch_file

ARGUMENTS = {
    "rig": (None, "rig.json with the cameras' names and mounts"),
    "camera": ("", "the camera to calibrate with easy_handeye2; without, only transforms are published"),
    "arm": ("panda", "prefix of the arm's frames: panda or fr3"),
    "marker_frame": ("charuco_board", "frame of the board that a marker detector publishes"),
}


def generate_launch_description():
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=actions)])


def actions(context) -> list:
    path, camera, arm, marker_frame = (LaunchConfiguration(name).perform(context) for name in ARGUMENTS)
    rig = CameraRig.load(path)
    frames = {"rig": str(Path(path).absolute()), "arm": arm, "leave_out": [camera]}  # easy_handeye2 publishes that one
    started = [Node(package="genima_ros", executable="rig_node", parameters=[frames])]
    if camera:
        given = handeye_arguments(rig, camera, arm, marker_frame)
        started.append(
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(handeye_launch_file())), launch_arguments=list(given.items())
            )
        )
    return started
