"""The launch files against `graph`: with stand-ins for launch and launch_ros, and for real where they are installed."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

pytest.importorskip("rclpy")

from genima_ros.graph import graph
from genima_ros.graph.modes import MODES

pytestmark = pytest.mark.ros

LAUNCH = Path(__file__).parents[2] / "launch"
FILES = sorted(path for path in LAUNCH.glob("*.launch.py") if path.name != "calibrate.launch.py")
"""Those that start a graph; the other one is tested in test_camera_frames.py."""


class Action(SimpleNamespace):
    def __init__(self, *positional, **named) -> None:
        super().__init__(positional=positional, **named)


class Configuration(Action):
    def perform(self, context: dict) -> str:
        return context[self.positional[0]]


@pytest.fixture
def stand_ins(monkeypatch):
    """Modules that record what would be launched."""
    for name, members in {
        "launch": {"LaunchDescription": Action},
        "launch.actions": dict.fromkeys(
            ("DeclareLaunchArgument", "ExecuteProcess", "OpaqueFunction", "SetEnvironmentVariable"), Action
        ),
        "launch.substitutions": {"LaunchConfiguration": Configuration},
        "launch_ros": {},
        "launch_ros.actions": {"Node": Action},
    }.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "genima_ros.graph.launching", raising=False)
    yield
    sys.modules.pop("genima_ros.graph.launching", None)


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem.replace(".", "_"), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GRAPHS = {
    "genima": ("sim", "teleop_sim", "real", "teleop_real"),
    "sim": ("sim",),
    "teleop": ("teleop_real", "teleop_sim"),
}
"""Launch file to the graphs that it starts, the default first."""


def test_the_launch_files_are_these():
    assert [path.name for path in FILES] == [f"{name}.launch.py" for name in GRAPHS]


@pytest.mark.parametrize(("name", "mode"), [(name, mode) for name, modes in GRAPHS.items() for mode in modes])
def test_launch_files_start_the_graph(stand_ins, name, mode):
    actions = load(LAUNCH / f"{name}.launch.py").generate_launch_description().positional[0]
    declared = {action.positional[0]: action for action in actions if hasattr(action, "default_value")}
    assert set(declared) - {"mode"} == {argument.name for mode in GRAPHS[name] for argument in MODES[mode].arguments}
    given = {"execution": "async"} | ({"arm": "fr3"} if mode.endswith("real") else {"seed": "7"})
    context = {name: action.default_value for name, action in declared.items()} | given
    if "mode" in declared:
        assert declared["mode"].default_value == GRAPHS[name][0]
        context["mode"] = mode
    nodes = next(action for action in actions if hasattr(action, "function")).function(context)
    expected = graph.processes(mode, graph.argument_values(mode, given))
    assert [node.executable for node in nodes] == [process.executable for process in expected]
    for node, process in zip(nodes, expected, strict=True):
        assert node.package == "genima_ros"
        assert node.parameters[: len(process.parameter_files)] == [str(file) for file in process.parameter_files]
        assert (node.parameters[len(process.parameter_files) :] or [{}])[0] == process.parameters
        assert node.additional_env == process.environment
        assert node.respawn == process.respawn
        assert node.remappings == list(process.remappings)
        assert node.prefix == (f"nice -n {process.niceness}" if process.niceness else None)


def test_rviz_is_started_where_asked(stand_ins):
    actions = load(LAUNCH / "sim.launch.py").generate_launch_description().positional[0]
    context = {action.positional[0]: action.default_value for action in actions if hasattr(action, "default_value")}
    started = next(action for action in actions if hasattr(action, "function")).function(context | {"rviz": "true"})
    assert started[-1].cmd[0] == "rviz2"
    assert Path(started[-1].cmd[2]).is_file()
    assert started[-1].cmd[3:] == ["-f", "panda_link0"]


@pytest.mark.skipif(importlib.util.find_spec("launch_ros") is None, reason="launch_ros is not installed")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_launch_files_are_accepted_by_launch(path):
    from launch import LaunchContext
    from launch.actions import OpaqueFunction

    context = LaunchContext()
    context.launch_configurations["arm"] = "fr3"  # without effect in simulation
    nodes = []
    for entity in load(path).generate_launch_description().entities:
        result = entity.visit(context)
        if isinstance(entity, OpaqueFunction):
            nodes = result
    assert len(nodes) == len(MODES[GRAPHS[path.name.partition(".")[0]][0]].nodes)
