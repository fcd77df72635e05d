"""easy_handeye2 with the right frames; launch and launch_ros are stand-ins."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from genima_ros.graph.handeye import handeye_arguments

FILE = Path(__file__).parents[2] / "launch" / "calibrate.launch.py"


def test_easy_handeye2_gets_the_frames_of_the_camera(rig):
    assert handeye_arguments(rig, "wrist", "panda", "board") == {
        "name": "wrist",
        "calibration_type": "eye_in_hand",
        "robot_base_frame": "panda_link0",
        "robot_effector_frame": "panda_hand",
        "tracking_base_frame": "wrist_color_optical_frame",
        "tracking_marker_frame": "board",
        "move_group": "panda_arm",
        "move_group_namespace": "/",
    }
    assert handeye_arguments(rig, "front", "panda", "board")["calibration_type"] == "eye_on_base"
    with pytest.raises(KeyError, match="no camera 'top'"):
        handeye_arguments(rig, "top", "panda", "board")


class Action(SimpleNamespace):
    def __init__(self, *positional, **named) -> None:
        super().__init__(positional=positional, **named)


class Configuration(Action):
    def perform(self, context: dict) -> str:
        return context[self.positional[0]]


class PackageNotFoundError(KeyError):
    pass


@pytest.fixture
def launch_file(monkeypatch, tmp_path):
    """The launch file as a module, where only a package "easy_handeye2" below `share` may be found."""
    share = tmp_path / "share"

    def find(package: str) -> str:
        if not (share / package).is_dir():
            raise PackageNotFoundError(package)
        return str(share / package)

    modules = {
        "launch": {"LaunchDescription": Action},
        "launch.actions": dict.fromkeys(
            ("DeclareLaunchArgument", "IncludeLaunchDescription", "OpaqueFunction"), Action
        ),
        "launch.launch_description_sources": {"PythonLaunchDescriptionSource": Action},
        "launch.substitutions": {"LaunchConfiguration": Configuration},
        "launch_ros": {},
        "launch_ros.actions": {"Node": Action},
        "ament_index_python": {},
        "ament_index_python.packages": {
            "PackageNotFoundError": PackageNotFoundError,
            "get_package_share_directory": find,
        },
    }
    for name, members in modules.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location("calibrate_launch", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.share = share
    return module


def started(launch_file, rig, tmp_path, **given) -> list:
    rig.save(tmp_path / "rig.json")
    actions = launch_file.generate_launch_description().positional[0]
    declared = {action.positional[0]: action.default_value for action in actions if hasattr(action, "default_value")}
    assert declared["rig"] is None, "it must be given"
    return actions[-1].function(declared | {"rig": str(tmp_path / "rig.json")} | given)


def test_the_frames_alone(launch_file, rig, tmp_path):
    [node] = started(launch_file, rig, tmp_path)
    assert (node.package, node.executable) == ("genima_ros", "rig_node")
    assert node.parameters == [{"rig": str(tmp_path / "rig.json"), "arm": "panda", "leave_out": [""]}]


def test_easy_handeye2_for_one_camera(launch_file, rig, tmp_path):
    (launch_file.share / "easy_handeye2").mkdir(parents=True)
    node, included = started(launch_file, rig, tmp_path, camera="front", arm="fr3")
    assert node.parameters[0]["leave_out"] == ["front"]
    assert included.positional[0].positional == (str(launch_file.share / "easy_handeye2/launch/calibrate.launch.py"),)
    assert dict(included.launch_arguments)["robot_effector_frame"] == "fr3_hand"


def test_a_missing_easy_handeye2_is_said(launch_file, rig, tmp_path):
    with pytest.raises(RuntimeError, match="easy_handeye2 is not installed.*genima calibrate collect"):
        started(launch_file, rig, tmp_path, camera="front")
