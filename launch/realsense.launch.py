"""ros2 launch genima_ros realsense.launch.py wrist:=SERIAL front:=SERIAL right_shoulder:=SERIAL left_shoulder:=SERIAL

Each camera under realsense-ros, colour only, with the topics that config/cameras_realsense_ros.yaml names. Its own
frames are not published: they are called like those that the rig node gives the calibrated cameras.
"""

from functools import partial

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from genima_ros.graph.launching import command_line

CAMERAS = ("wrist", "front", "right_shoulder", "left_shoulder")
PROFILE = "640,480,30"


def generate_launch_description():
    what = "its serial number; none for no such camera"
    cameras = [DeclareLaunchArgument(name, default_value="", description=what) for name in CAMERAS]
    profile = DeclareLaunchArgument("profile", default_value=PROFILE, description="width,height,rate")
    return LaunchDescription([*cameras, profile, OpaqueFunction(function=camera_nodes)])


def camera_nodes(context) -> list:
    if unknown := sorted(command_line(context).keys() - {*CAMERAS, "profile"}):
        raise ValueError(f"no argument {', '.join(unknown)}; valid are {', '.join(CAMERAS)}, profile")
    serials = {name: LaunchConfiguration(name).perform(context) for name in CAMERAS}
    if not any(serials.values()):
        given = ", ".join(f"{name}:=..." for name in CAMERAS)
        raise ValueError(f"no serial number; give {given}: genima cameras lists them")
    shared = {
        "enable_depth": False,
        "rgb_camera.color_profile": LaunchConfiguration("profile").perform(context),
        "publish_tf": False,
    }
    camera = partial(Node, package="realsense2_camera", executable="realsense2_camera_node", namespace="camera")
    return [
        # The underscore keeps the number a text.
        camera(name=name, output="screen", parameters=[{"camera_name": name, "serial_no": f"_{serial}", **shared}])
        for name, serial in serials.items()
        if serial
    ]
