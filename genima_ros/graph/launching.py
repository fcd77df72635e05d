"""`graph` as launch_ros actions; all decisions are made there, this only translates."""

import os

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from genima_ros.graph import graph
from genima_ros.graph.modes import get_mode
from genima_ros.graph.processes import node_environment

MODE = "mode"
"""Launch argument that chooses the graph, where the launch file does not."""


def describe(*modes: str) -> LaunchDescription:
    """The launch description of a graph, or, of several, of the one that the argument ``mode`` names (the first)."""
    declared = (
        [DeclareLaunchArgument(MODE, default_value=modes[0], choices=list(modes), description="which nodes to start")]
        if len(modes) > 1
        else []
    )
    arguments = {argument.name: argument for name in modes for argument in get_mode(name).arguments}
    declared += [
        DeclareLaunchArgument(
            argument.name,
            default_value="" if argument.default is None else str(argument.default),
            description=argument.help,
        )
        for argument in arguments.values()
    ]
    # A process that waits for work must not spin: see `processes.node_environment`.
    waiting = SetEnvironmentVariable("OMP_WAIT_POLICY", node_environment(os.environ)["OMP_WAIT_POLICY"])
    return LaunchDescription([*declared, waiting, OpaqueFunction(function=lambda context: _actions(context, modes))])


def _actions(context, modes: tuple[str, ...]) -> list:
    mode = LaunchConfiguration(MODE).perform(context) if len(modes) > 1 else modes[0]
    given = {
        argument.name: LaunchConfiguration(argument.name).perform(context) for argument in get_mode(mode).arguments
    }
    values = graph.argument_values(mode, given)
    actions = [Node(**node_arguments(process)) for process in graph.processes(mode, values)]
    if values["rviz"]:
        actions.append(ExecuteProcess(cmd=graph.rviz_command(values), output="log"))
    return actions


def node_arguments(process: graph.NodeProcess) -> dict:
    """Keyword arguments of `launch_ros.actions.Node`."""
    return {
        "package": graph.PACKAGE,
        "executable": process.executable,
        "output": "screen",
        "emulate_tty": True,
        "parameters": [*map(str, process.parameter_files), *([dict(process.parameters)] if process.parameters else [])],
        "remappings": list(process.remappings),
        "respawn": process.respawn,
        "respawn_delay": 1.0,
        "additional_env": dict(process.environment),
        "prefix": f"nice -n {process.niceness}" if process.niceness else None,
    }
