"""A graph as launch_ros actions; all decisions are made in `graph`, this only translates."""

import os
import sys
import time
from pathlib import Path
from typing import Any

from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
    TimerAction,
)
from launch.launch_context import LaunchContext
from launch.launch_description import LaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from genima_core.cameras import CameraRig
from genima_ros.arms import find_arm
from genima_ros.graph.domain import current_domain, node_environment, remove_abandoned
from genima_ros.graph.graph import (
    RESPAWN_AFTER_S,
    GraphDescription,
    NodeProcess,
    argument_values,
    describe_graph,
    find_rig,
)
from genima_ros.graph.handeye import handeye_arguments, handeye_launch_file
from genima_ros.graph.modes import get_mode
from genima_ros.share import PACKAGE

MODE = "mode"
"""Launch argument that chooses the graph, where the launch file does not."""


def describe(*modes: str) -> LaunchDescription:
    """The launch description of a graph, or, of several, of the one that the argument ``mode`` names (the first)."""
    declared = []
    if len(modes) > 1:
        what = "which nodes to start"
        declared.append(DeclareLaunchArgument(MODE, default_value=modes[0], choices=list(modes), description=what))
    for argument in {argument.name: argument for name in modes for argument in get_mode(name).arguments}.values():
        default = "" if argument.default is None else str(argument.default)
        declared.append(DeclareLaunchArgument(argument.name, default_value=default, description=argument.help))
    return LaunchDescription([*declared, OpaqueFunction(function=lambda context: _actions(context, modes))])


def _actions(context: LaunchContext, modes: tuple[str, ...]) -> list[Any]:
    mode = LaunchConfiguration(MODE).perform(context) if len(modes) > 1 else modes[0]
    arguments = get_mode(mode).arguments
    given = {argument.name: LaunchConfiguration(argument.name).perform(context) for argument in arguments}
    # What was typed counts also where the graph has no argument of the name: then it is refused.
    given |= {name: value for name, value in command_line(context).items() if name != MODE}
    description = describe_graph(mode, argument_values(mode, given))
    remove_abandoned()
    environment = node_environment(os.environ)
    added = {name: value for name, value in environment.items() if name not in os.environ}
    os.environ.update(added)  # of this process as well, which waits for the nodes
    return [
        *(SetEnvironmentVariable(name, value) for name, value in added.items()),
        *map(node_action, description.processes),
        say_when_ready(description),
        *([ExecuteProcess(cmd=list(description.rviz), output="log")] if description.rviz else []),
    ]


def command_line(context: LaunchContext) -> dict[str, str]:
    """Arguments that were typed for our launch file: `ros2 launch` passes unknown ones on without a word.

    None where another launch file includes ours: the command line is that one's.
    """
    file = Path(context.get_locals_as_dict().get("current_launch_file_path", "")).name
    if not (file and any(Path(word).name == file for word in sys.argv)):
        return {}
    words = [word.partition(":=") for word in context.argv]
    return {name: value for name, separator, value in words if separator}


def node_action(process: NodeProcess) -> Node:
    """A node that is started again as `genima up` does it; where the graph cannot do without it, the launch ends."""
    began_s = time.monotonic()

    def on_exit(event: Any, context: LaunchContext) -> Any:
        if context.is_shutdown:
            return None
        get_logger(process.name).warning(process.after_end(event.returncode, time.monotonic() - began_s))
        again = OpaqueFunction(function=lambda context: [node_action(process)])
        return TimerAction(period=RESPAWN_AFTER_S, actions=[again])

    return Node(
        package=PACKAGE,
        executable=process.executable,
        exec_name=process.name,
        output="screen",
        emulate_tty=True,
        parameters=[*map(str, process.parameter_files), *([dict(process.parameters)] if process.parameters else [])],
        remappings=list(process.remappings),
        on_exit=on_exit,
        additional_env=dict(process.environment),
        prefix=f"nice -n {process.niceness}" if process.niceness else None,
    )


def start_handeye(context: LaunchContext) -> list[Any]:
    """easy_handeye2 for the camera that is to be calibrated; nothing if no camera is named, or there is no rig."""
    given_rig, camera, arm, marker_frame = (
        LaunchConfiguration(name).perform(context) for name in ("rig", "camera", "arm", "marker_frame")
    )
    if not camera or (path := find_rig(given_rig)) is None:
        return []
    given = handeye_arguments(CameraRig.load(path), camera, find_arm(arm).arm, marker_frame)
    source = PythonLaunchDescriptionSource(str(handeye_launch_file()))
    return [IncludeLaunchDescription(source, launch_arguments=list(given.items()))]


def say_when_ready(description: GraphDescription) -> ExecuteProcess:
    """A process that says when every node is ready, and the next step; where it gives up, the launch ends."""

    def on_exit(event: Any, context: LaunchContext) -> None:
        if event.returncode and not context.is_shutdown:
            raise RuntimeError("not all nodes are ready; see the lines above")

    text = description.ready_text(current_domain())
    command = [sys.executable, "-m", "genima_ros.clients.observer", text, *description.names]
    return ExecuteProcess(cmd=command, name="genima", output="screen", emulate_tty=True, on_exit=on_exit)
