from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from genima_core.arm import PANDA
from genima_core.sim.collision import ClearanceModel
from genima_core.sim.margins import Margins
from genima_core.streaming.config import StreamerConfig
from genima_ros.arms import absolute, arm_argument, find_arm

FOLDER = Path(__file__).parents[2] / "config" / "arms"
ARMS = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def test_the_arms_that_people_have_are_there():
    assert ARMS == ["fr3", "fr3_fci", "panda", "panda_fci", "sim"]


@pytest.mark.parametrize("name", ARMS)
def test_a_shipped_arm_is_read(name):
    setup = find_arm(name)
    assert setup.arm.name == ("panda" if name == "sim" else name.removesuffix("_fci"))
    assert setup.gripper_has_node is (name in ("fr3", "panda"))
    assert arm_argument(name) == name


def test_names_are_put_into_the_namespace_of_the_driver():
    arm = find_arm("fr3")
    assert arm.remappings("/left/")["joint_states"] == "/left/franka/joint_states"
    assert arm.remappings("")["robot_state"] == "/franka_robot_state_broadcaster/robot_state"
    assert set(arm.remappings("", "leader/")) == {"leader/joint_states", "leader/gripper/joint_states"}
    assert absolute("left", "/everywhere") == "/everywhere"


@pytest.mark.parametrize("name", ["fr3", "panda"])
def test_the_controller_of_an_arm_is_set_up_for_it(name):
    arm = find_arm(name)
    file = yaml.safe_load((FOLDER.parent / "controllers" / f"{name}_joint_trajectory.yaml").read_text())
    assert list(file) == ["/**"], "in any namespace"
    sections = file["/**"]
    controller, _, topic = arm.driver.command_topic.partition("/")
    assert topic == "joint_trajectory"
    assert set(sections) == {"controller_manager", controller}
    kind = sections["controller_manager"]["ros__parameters"][controller]["type"]
    assert kind == "joint_trajectory_controller/JointTrajectoryController"
    values = sections[controller]["ros__parameters"]
    assert tuple(values["joints"]) == tuple(values["gains"]) == arm.arm.joint_names
    held = {key: bounds for key, bounds in values["constraints"].items() if isinstance(bounds, dict)}
    assert tuple(held) == arm.arm.joint_names
    # The streamer notices an arm that does not follow before its controller gives up.
    assert min(bounds["trajectory"] for bounds in held.values()) > StreamerConfig().max_deviation_rad
    # The controller is activated last, when joint states and the arm's state are there again.
    assert arm.driver.recovery.controllers[-1] == controller
    assert arm.driver.joint_states == "franka/joint_states", "the merged ones come at 30 Hz"


def change(tmp_path, **changes) -> str:
    data = yaml.safe_load((FOLDER / "fr3.yaml").read_text())
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(data | changes))
    return str(path)


def test_a_file_of_ones_own(tmp_path):
    narrow = [1.0] * 7
    arm = find_arm(change(tmp_path, velocity_limits=narrow))
    assert arm.arm.limits.velocity.tolist() == narrow
    assert arm.arm.joint_names[0] == "fr3_joint1"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"arm": "ur5"}, "no arm 'ur5'; valid are panda, fr3"),
        ({"arm": {"name": "mine"}}, "needs a value for parameter joint_names"),
        ({"colour": "white"}, "no parameter colour; valid are node, joint_states"),
        (
            {"upper_position_limits": [3.0] * 7},
            "upper position limit of joint 1 is 3, wider than the fr3's 2.7437",
        ),
        ({"lower_position_limits": [-2.0] * 6}, "seven numbers"),
        ({"velocity_limits": [1.0, 1.0, 1.0, 1.0, 1.0, 9.0, 1.0]}, "velocity limit of joint 6 is 9"),
        ({"velocity_limits": [float("nan")] * 7}, "needs a finite number"),
        ({"velocity_limits": [0.0] * 7}, "nothing is left of joint 1"),
        ({"command": "joint_state"}, "receiver_follows_horizon"),
        ({"joint_states": ""}, "joint_states is empty"),
        ({"recovery": {"kind": "action"}}, "give both, or none"),
        ({"recovery": {"hardware": "x"}}, "controller_manager"),
        ({"recovery": ["x"]}, "needs names with values"),
        ({"gripper": {"kind": "franka_hand"}}, "has no action"),
        ({"gripper": {"kind": "gripper_command", "action": "a"}}, "moves one joint"),
        ({"gripper": {"kind": "gripper_command", "action": "a", "joints": []}}, "has no joints"),
        ({"gripper": ["x"]}, "needs names with values"),
        ({"gripper": {"kind": "suction"}}, "'suction'; valid are 'franka_hand'"),
    ],
)
def test_what_is_wrong_with_an_arm_is_explained(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words) as caught:
        find_arm(change(tmp_path, **changes))
    assert "mine.yaml" in str(caught.value)


@pytest.mark.parametrize(("text", "words"), [("a: [", "is not YAML"), ("just text", "must hold names")])
def test_what_is_no_arm_is_explained(tmp_path, text, words):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ValueError, match=words):
        find_arm(str(tmp_path / "a.yaml"))


def test_a_fixed_tool_needs_nothing_else(tmp_path):
    setup = find_arm(change(tmp_path, gripper={"kind": "none"}))
    assert setup.gripper_has_node and setup.arm.gripper.to_opening(0.05) == 0.0


def test_an_arm_may_be_described_in_its_file(tmp_path):
    """With capsules it is checked for collisions, too; nothing else of the code knows its name."""
    arm = PANDA.to_dict() if isinstance(PANDA.to_dict(), dict) else replace(PANDA, name="mine").to_dict()
    capsules = [{"link": i, "start_m": [0, 0, -0.05], "end_m": [0, 0, 0.05], "radius_m": 0.05} for i in range(1, 8)]
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"arm": {**arm, "name": "mine", "meshes": "", "capsules": capsules}}))
    setup = find_arm(str(path))
    assert setup.arm.name == "mine" and len(setup.arm.shapes) == 7
    assert arm_argument(str(path)) == str(path)
    assert ClearanceModel(setup.arm, Margins()).check(setup.arm.home) is None
