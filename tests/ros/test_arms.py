from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import yaml

from genima_core.panda import ARM_LIMITS, JOINT_NAMES, narrow_limits
from genima_core.streaming.config import StreamerConfig
from genima_ros.graph.arms import absolute, load_arm, parameters_of, remappings_of

FOLDER = Path(__file__).parents[2] / "config" / "arms"
ARMS = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def test_the_arms_that_people_have_are_there():
    assert ARMS == ["fr3", "panda", "sim"]


@pytest.mark.parametrize("name", ARMS)
def test_a_shipped_arm_suits_the_streamer(name):
    arm = load_arm(name, FOLDER)
    values = parameters_of(arm)
    names = ("arm", "joint_names", "receiver_follows_horizon")
    config = StreamerConfig(
        **{key: tuple(values[key]) if isinstance(values[key], list) else values[key] for key in names}
    )
    assert config.limits is ARM_LIMITS[arm.model] or asdict(config.limits).keys() == asdict(ARM_LIMITS["fr3"]).keys()
    np.testing.assert_array_equal(config.limits.upper, ARM_LIMITS[arm.model].upper)


def test_names_are_put_into_the_namespace_of_the_driver():
    arm = load_arm("fr3", FOLDER)
    assert remappings_of(arm, "/left/")["joint_states"] == "/left/franka/joint_states"
    assert remappings_of(arm, "")["robot_state"] == "/franka_robot_state_broadcaster/robot_state"
    assert set(remappings_of(arm, "", "leader/")) == {"leader/joint_states", "leader/gripper/joint_states"}
    assert absolute("left", "/everywhere") == "/everywhere"


@pytest.mark.parametrize("name", ["fr3", "panda"])
def test_the_controller_of_an_arm_is_set_up_for_it(name):
    arm = load_arm(name, FOLDER)
    sections = yaml.safe_load((FOLDER.parent / "controllers" / f"{name}_joint_trajectory.yaml").read_text())
    controller, _, topic = arm.command_topic.partition("/")
    assert topic == "joint_trajectory"
    assert set(sections) == {"controller_manager", controller}
    assert controller in sections["controller_manager"]["ros__parameters"]
    values = sections[controller]["ros__parameters"]
    assert tuple(values["joints"]) == tuple(values["gains"]) == arm.joint_names
    held = {key: bounds for key, bounds in values["constraints"].items() if isinstance(bounds, dict)}
    assert tuple(held) == arm.joint_names
    # The streamer notices an arm that does not follow before its controller gives up.
    assert min(bounds["trajectory"] for bounds in held.values()) > StreamerConfig().max_deviation_rad
    # The controller is activated last, when joint states and the arm's state are there again.
    assert not arm.recovery.controllers or arm.recovery.controllers[-1] == controller


def change(tmp_path, **changes) -> str:
    data = yaml.safe_load((FOLDER / "fr3.yaml").read_text())
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(data | changes))
    return str(path)


def test_a_file_of_ones_own(tmp_path):
    narrow = [1.0] * 7
    arm = load_arm(change(tmp_path, velocity_limits=narrow), FOLDER)
    assert parameters_of(arm)["velocity_limits"] == narrow
    assert arm.joint_names[0] == "fr3_joint1"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "ur5"}, "'ur5'; valid are 'panda', 'fr3'"),
        ({"joint_names": list(JOINT_NAMES[:6])}, "seven joints are needed"),
        ({"joint_names": ["a"] * 7}, "no name twice"),
        ({"colour": "white"}, "no parameter colour; valid are model"),
        (
            {"upper_position_limits": [3.0] * 7},
            "upper position limit of joint 1 is 3, wider than the fr3's own of 2.7437",
        ),
        ({"lower_position_limits": [-2.0] * 6}, "seven numbers"),
        ({"velocity_limits": [1.0, 1.0, 1.0, 1.0, 1.0, 9.0, 1.0]}, "velocity limit of joint 6 is 9"),
        ({"velocity_limits": [float("nan")] * 7}, "seven numbers"),
        ({"velocity_limits": [0.0] * 7}, "nothing is left of joint 1"),
        ({"command": "joint_state"}, "receiver_follows_horizon"),
        ({"joint_states": ""}, "joint_states is empty"),
        ({"recovery": {"kind": "action"}}, "give both, or none"),
        ({"recovery": {"hardware": "x"}}, "controller_manager"),
        ({"recovery": ["x"]}, "needs a mapping"),
        ({"gripper": {"kind": "franka_hand"}}, "has no action"),
        ({"gripper": {"kind": "gripper_command", "action": "a"}}, "has no joints"),
        ({"gripper": {"kind": "none"}, "finger_names": ["a", "b"]}, r"finger_names: \[\] to an arm with a fixed tool"),
        ({"gripper": {"kind": "suction"}}, "'suction'; valid are 'franka_hand'"),
    ],
)
def test_what_is_wrong_with_an_arm_is_explained(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words) as caught:
        load_arm(change(tmp_path, **changes), FOLDER)
    assert "mine.yaml" in str(caught.value)


@pytest.mark.parametrize(("text", "words"), [("a: [", "is not YAML"), ("just text", "must hold names")])
def test_what_is_no_arm_is_explained(tmp_path, text, words):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ValueError, match=words):
        load_arm(str(tmp_path / "a.yaml"), FOLDER)


def test_limits_become_narrower_only():
    limits = narrow_limits("panda", upper=(1.0, 1.0, 1.0, -0.5, 1.0, 1.0, 1.0))
    assert (limits.upper <= ARM_LIMITS["panda"].upper).all()
    np.testing.assert_array_equal(limits.lower, ARM_LIMITS["panda"].lower)
    for arm, limits in ARM_LIMITS.items():
        narrow_limits(arm, limits.lower, limits.upper, limits.velocity)
        with pytest.raises(ValueError, match="wider"):
            narrow_limits(arm, limits.lower - 1e-6)
        with pytest.raises(ValueError, match="wider"):
            StreamerConfig(arm=arm, velocity_limits=tuple(limits.velocity * 1.01))
