"""The launch files against `graph`: with stand-ins for launch and launch_ros, and for real where they are installed."""

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import yaml

pytest.importorskip("rclpy")

from genima_ros.graph import graph
from genima_ros.graph.modes import MODES

pytestmark = pytest.mark.ros

LAUNCH = Path(__file__).parents[2] / "launch"
GRAPHS = {
    "genima": tuple(MODES),
    "sim": ("sim",),
    "teleop": ("teleop_real", "teleop_sim"),
    "calibrate": ("calibrate",),
}
"""Launch file to the graphs that it starts, the default first."""
STARTED = [(name, mode) for name, modes in GRAPHS.items() for mode in modes]


class Action(SimpleNamespace):
    def __init__(self, *positional, **named) -> None:
        super().__init__(positional=positional, **named)

    def add_action(self, action: "Action") -> None:
        self.positional[0].append(action)


class Configuration(Action):
    def perform(self, context: "Context") -> str:
        return context.values[self.positional[0]]


class Context:
    """What an OpaqueFunction gets; `words` are of the command line of `ros2 launch genima_ros <file>`."""

    def __init__(self, values: dict, file: str = "", words: tuple[str, ...] = ()) -> None:
        self.values, self.argv, self.is_shutdown = values, list(words), False
        self._file = file

    def get_locals_as_dict(self) -> dict[str, str]:
        return {"current_launch_file_path": self._file}


class PackageNotFoundError(KeyError):
    pass


@pytest.fixture
def stand_ins(monkeypatch, tmp_path):
    """Modules that record what would be launched; the only package is "easy_handeye2", once its folder is made."""
    said: list[str] = []

    def find(package: str) -> str:
        if not (tmp_path / package).is_dir():
            raise PackageNotFoundError(package)
        return str(tmp_path / package)

    actions = (
        "DeclareLaunchArgument",
        "ExecuteProcess",
        "IncludeLaunchDescription",
        "OpaqueFunction",
        "SetEnvironmentVariable",
        "TimerAction",
    )
    for name, members in {
        "launch": {"LaunchDescription": Action},
        "launch.actions": dict.fromkeys(actions, Action),
        "launch.launch_context": {"LaunchContext": Context},
        "launch.launch_description": {"LaunchDescription": Action},
        "launch.launch_description_sources": {"PythonLaunchDescriptionSource": Action},
        "launch.logging": {"get_logger": lambda name: SimpleNamespace(info=said.append, warning=said.append)},
        "launch.substitutions": {"LaunchConfiguration": Configuration},
        "launch_ros": {},
        "launch_ros.actions": {"Node": Action},
        "ament_index_python": {},
        "ament_index_python.packages": {
            "PackageNotFoundError": PackageNotFoundError,
            "get_package_share_directory": find,
        },
    }.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "genima_ros.graph.launching", raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    yield said
    sys.modules.pop("genima_ros.graph.launching", None)


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem.replace(".", "_"), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def actions_of(name: str) -> list[Action]:
    return load(LAUNCH / f"{name}.launch.py").generate_launch_description().positional[0]


def started(name: str, given: dict, words: tuple[str, ...] = ()) -> list[Action]:
    """What the launch file starts with these values of its arguments."""
    actions = actions_of(name)
    defaults = {action.positional[0]: action.default_value for action in actions if hasattr(action, "default_value")}
    context = Context(defaults | given, str(LAUNCH / f"{name}.launch.py"), words)
    return [result for action in actions if hasattr(action, "function") for result in action.function(context)]


def nodes(actions: list[Action]) -> list[Action]:
    return [action for action in actions if hasattr(action, "executable")]


def given_for(mode: str, rig_file: Path) -> dict[str, str]:
    return {
        "calibrate": {"arm": "fr3", "rig": str(rig_file)},
        "real": {"arm": "fr3", "execution": "async"},
        "teleop_real": {"arm": "fr3", "execution": "async"},
    }.get(mode, {"seed": "7", "execution": "async"})


@pytest.fixture
def rig_file(rig, tmp_path) -> Path:
    rig.save(tmp_path / "rig.json")
    return tmp_path / "rig.json"


def test_the_launch_files_are_these():
    assert {path.name for path in LAUNCH.glob("*.launch.py")} == {
        f"{name}.launch.py" for name in (*GRAPHS, "realsense")
    }


@pytest.mark.parametrize(("name", "mode"), STARTED)
def test_launch_files_start_the_graph(stand_ins, rig_file, name, mode):
    declared = {a.positional[0]: a for a in actions_of(name) if hasattr(a, "default_value")}
    assert set(declared) - {"mode"} == {argument.name for mode in GRAPHS[name] for argument in MODES[mode].arguments}
    if "mode" in declared:
        assert declared["mode"].default_value == GRAPHS[name][0]
    given = given_for(mode, rig_file)
    launched = nodes(started(name, given | {"mode": mode}))
    expected = graph.processes(mode, graph.argument_values(mode, given))
    assert [node.exec_name for node in launched] == [process.name for process in expected]
    for node, process in zip(launched, expected, strict=True):
        assert (node.package, node.executable) == ("genima_ros", process.executable)
        assert node.parameters[: len(process.parameter_files)] == [str(file) for file in process.parameter_files]
        assert (node.parameters[len(process.parameter_files) :] or [{}])[0] == process.parameters
        assert node.additional_env == process.environment
        assert node.remappings == list(process.remappings)
        assert node.prefix == (f"nice -n {process.niceness}" if process.niceness else None)


def test_nodes_find_each_other_as_under_genima_up(stand_ins, monkeypatch):
    for name in ("ROS_AUTOMATIC_DISCOVERY_RANGE", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    set_ = dict(action.positional for action in started("sim", {}) if len(action.positional) == 2)
    assert set_["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST" and set_["OMP_WAIT_POLICY"] == "PASSIVE"


def test_rviz_is_started_where_asked(stand_ins, monkeypatch):
    monkeypatch.setattr(graph.shutil, "which", lambda name: f"/usr/bin/{name}")
    command = started("sim", {"rviz": "true"})[-1].cmd
    assert command[0] == "rviz2" and Path(command[2]).is_file() and command[3:] == ["-f", "panda_link0"]


@pytest.mark.parametrize(
    ("given", "words", "said"),
    [
        ({"checkpoint": "/nowhere"}, (), "/nowhere is not a complete checkpoint"),
        ({"rviz": "true"}, (), "rviz2 is not installed: apt install ros-jazzy-rviz2"),
        ({}, ("gat:=true",), "no argument gat for sim; valid are task"),
        ({}, ("mode:=sim", "arm:=fr3"), "no argument arm for sim"),
        ({"seed": "seven"}, (), "seed:=seven is not valid"),
    ],
)
def test_what_is_wrong_ends_the_launch_before_anything_starts(stand_ins, monkeypatch, given, words, said):
    monkeypatch.setattr(graph.shutil, "which", lambda name: None)
    monkeypatch.delitem(os.environ, "ROS_DISTRO", raising=False)
    monkeypatch.setattr(sys, "argv", ["ros2", "launch", "genima_ros", "genima.launch.py", *words])
    with pytest.raises((ValueError, OSError, RuntimeError), match=said):
        started("genima", given, words)


def test_arguments_of_a_launch_file_that_includes_ours_are_its_own(stand_ins, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ros2", "launch", "cell.launch.py", "lights:=on"])
    assert nodes(started("genima", {}, ("lights:=on",)))


def node_of(name: str) -> Action:
    return next(node for node in nodes(started("sim", {})) if node.exec_name == name)


def test_a_node_that_may_die_is_started_again(stand_ins):
    markers = node_of("markers")
    again = markers.on_exit(SimpleNamespace(returncode=-9), Context({}))
    assert again.period == graph.RESPAWN_AFTER_S
    [node] = again.actions[0].function(Context({}))
    assert node.executable == "markers_node"
    assert stand_ins[-1] == "ended with signal SIGKILL; starting it again in 1 s"


@pytest.mark.parametrize(("name", "status"), [("streamer", -9), ("streamer", 0), ("markers", 1)])
def test_what_the_graph_cannot_do_without_ends_the_launch(stand_ins, name, status):
    """And so does what ends by itself soon after its start."""
    node, event = node_of(name), SimpleNamespace(returncode=status)
    with pytest.raises(RuntimeError, match=f"node {name} ended with .*; its last lines are above"):
        node.on_exit(event, Context({}))
    ending = Context({})
    ending.is_shutdown = True
    assert node.on_exit(event, ending) is None


def test_a_process_says_when_all_is_ready(stand_ins):
    actions = started("sim", {})
    said = next(action for action in actions if getattr(action, "name", "") == "genima")
    nodes_of_sim = [node.name for node in MODES["sim"].nodes if node.condition is None]
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    text = f"ready: {', '.join(nodes_of_sim)} (ROS domain {domain}); Ctrl-C ends them"
    assert said.cmd[2:] == ["genima_ros.clients.observer", text, *nodes_of_sim]
    assert said.on_exit(SimpleNamespace(returncode=0), Context({})) is None
    with pytest.raises(RuntimeError, match="not all nodes are ready"):
        said.on_exit(SimpleNamespace(returncode=1), Context({}))


def test_calibration_leaves_the_cameras_frame_to_easy_handeye2(stand_ins, rig_file, tmp_path):
    given = {"arm": "fr3", "rig": str(rig_file), "camera": "front"}
    with pytest.raises(RuntimeError, match="easy_handeye2 is not installed.*genima calibrate collect"):
        started("calibrate", given)
    (tmp_path / "easy_handeye2").mkdir()
    actions = started("calibrate", given)
    included = actions[-1]
    assert included.positional[0].positional == (str(tmp_path / "easy_handeye2/launch/calibrate.launch.py"),)
    assert dict(included.launch_arguments)["robot_effector_frame"] == "fr3_hand"
    rig_node, board = nodes(actions)
    assert rig_node.parameters[-1] == {"rig": str(rig_file), "arm": "fr3", "leave_out": ["front"]}
    assert board.parameters[-1] == {"camera": "front", "marker_frame": "charuco_board"}


def test_calibration_takes_the_rig_of_the_cell(stand_ins, rig, tmp_path, monkeypatch):
    """calibration/rig.json, where `rig:=` is left out, for our nodes and for easy_handeye2 alike."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "easy_handeye2").mkdir()
    assert all("launch_arguments" not in vars(a) for a in started("calibrate", {"arm": "fr3", "camera": "front"}))
    rig.save(tmp_path / "calibration" / "rig.json")
    actions = started("calibrate", {"arm": "fr3", "camera": "front"})
    assert dict(actions[-1].launch_arguments)["name"] == "front"
    assert nodes(actions)[0].parameters[-1]["rig"] == str(tmp_path / "calibration" / "rig.json")


def test_realsense_cameras_have_the_names_and_topics_of_their_file(stand_ins):
    """Its own frames would collide with the rig node's, and serial numbers are texts."""
    cameras = nodes(started("realsense", {"wrist": "0123", "front": "456"}))
    topics = [f"/{camera.namespace}/{camera.name}/color/image_raw" for camera in cameras]
    file = yaml.safe_load((LAUNCH.parent / "config" / "cameras_realsense_ros.yaml").read_text())
    assert topics == [file[f"camera_{camera.name}"]["ros__parameters"]["topic"] for camera in cameras]
    assert cameras[0].parameters == [
        {
            "camera_name": "wrist",
            "serial_no": "_0123",
            "enable_depth": False,
            "rgb_camera.color_profile": "640,480,30",
            "publish_tf": False,
        }
    ]


@pytest.mark.parametrize(
    ("words", "said"), [((), "no serial number; give wrist:="), (("fornt:=1",), "no argument fornt")]
)
def test_wrong_realsense_arguments_are_refused(stand_ins, monkeypatch, words, said):
    monkeypatch.setattr(sys, "argv", ["ros2", "launch", "genima_ros", "realsense.launch.py", *words])
    with pytest.raises(ValueError, match=said):
        started("realsense", {}, words)


def test_launch_files_need_little_of_their_interpreter():
    """`ros2` runs in the system's Python, which has what package.xml names and not what the nodes need."""
    code = """
import sys
class Only:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("cv2", "mujoco", "rich", "ruckig", "torch", "tyro"):
            raise ImportError(f"{name} is not there")
sys.meta_path.insert(0, Only())
import genima_ros.graph.graph, genima_ros.graph.processes, genima_ros.graph.handeye
import genima_ros.clients.observer
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=LAUNCH.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


real_launch = pytest.mark.skipif(importlib.util.find_spec("launch_ros") is None, reason="launch_ros is not installed")


@real_launch
@pytest.mark.parametrize("name", GRAPHS)
def test_launch_files_are_accepted_by_launch(name, rig_file):
    from launch import LaunchContext
    from launch.actions import OpaqueFunction
    from launch_ros.actions import Node

    mode = GRAPHS[name][0]
    context, given = LaunchContext(), given_for(mode, rig_file)
    context.launch_configurations.update(given)
    found: list = []
    for entity in load(LAUNCH / f"{name}.launch.py").generate_launch_description().entities:
        result = entity.visit(context)
        if isinstance(entity, OpaqueFunction):
            found += [action for action in result or [] if isinstance(action, Node)]
    assert len(found) == len(graph.processes(mode, graph.argument_values(mode, given)))


@real_launch
@pytest.mark.parametrize("until", ["INFO rig ", "genima calibrate collect"])
def test_calibration_runs_under_launch_until_ctrl_c(rig_file, until):
    code = """
import sys
from launch import LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
service = LaunchService()
service.include_launch_description(IncludeLaunchDescription(
    PythonLaunchDescriptionSource(sys.argv[1]), launch_arguments=[("arm", "fr3"), ("rig", sys.argv[2])]))
sys.exit(service.run())
"""
    launch = subprocess.Popen(
        [sys.executable, "-c", code, str(LAUNCH / "calibrate.launch.py"), str(rig_file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Tests that run in the background of a shell inherit that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    said = []
    for line in launch.stdout:  # to the end of all that write to it
        said.append(line)
        if until in line and not any(until in earlier for earlier in said[:-1]):  # launch minds a second one
            launch.send_signal(signal.SIGINT)
    assert launch.wait() == 0, said
    assert any("process has finished cleanly" in line for line in said), said
    assert until == "INFO rig " or any("ready: rig" in line for line in said), said
