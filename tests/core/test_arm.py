import json
from dataclasses import replace

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from genima_core.arm import ARMS, FR3, FRAMES, PANDA, Arm, Gripper, frame_index
from genima_core.arm_description import arm_from

configurations = arrays.arrays(float, 7, elements=st.floats(0.0, 1.0)).map(
    lambda x: PANDA.limits.lower + x * (PANDA.limits.upper - PANDA.limits.lower)
)


def test_the_arm_stretched_upwards():
    """At q = 0 every length is read off the vendor's drawing."""
    poses = PANDA.forward_kinematics(np.zeros(7))
    tcp = poses[frame_index("tcp")]
    np.testing.assert_allclose(tcp[:3, 3], [0.088, 0.0, 0.333 + 0.316 + 0.384 - 0.107 - 0.1034], atol=1e-12)
    np.testing.assert_allclose(tcp[:3, 2], [0.0, 0.0, -1.0], atol=1e-12)
    np.testing.assert_allclose(poses[frame_index("joint4"), :3, 3], [0.0825, 0.0, 0.649], atol=1e-12)


def test_the_ready_pose_points_straight_down():
    """Franka's ready pose: the hand before the base, fingers down, hand axes along the base's."""
    T_base_tcp = PANDA.frame_pose(PANDA.home, "tcp")
    np.testing.assert_allclose(T_base_tcp[:3, 3], [0.3069, 0.0, 0.4869], atol=1e-3)
    np.testing.assert_allclose(T_base_tcp[:3, :3], np.diag([1.0, -1.0, -1.0]), atol=1e-5)


def test_home_lies_within_the_limits():
    assert np.all(PANDA.home > PANDA.limits.lower)
    assert np.all(PANDA.home < PANDA.limits.upper)


@given(configurations)
def test_every_frame_is_a_rotation_at_link_distance(q):
    poses = PANDA.forward_kinematics(q)
    R = poses[:, :3, :3]
    np.testing.assert_allclose(R @ np.swapaxes(R, -1, -2), np.broadcast_to(np.eye(3), R.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(R), 1.0)
    lengths = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    np.testing.assert_allclose(
        lengths, [0.0, 0.316, 0.0825, np.hypot(0.0825, 0.384), 0.0, 0.088, 0.107, 0.1034], atol=1e-12
    )


@given(configurations, st.integers(1, 7), st.floats(-1.0, 1.0))
def test_a_joint_turns_its_frame_about_its_own_z_axis(q, joint, angle):
    turned = q.copy()
    turned[joint - 1] += angle
    R_before = PANDA.frame_pose(q, f"joint{joint}")[:3, :3]
    R_after = PANDA.frame_pose(turned, f"joint{joint}")[:3, :3]
    np.testing.assert_allclose(R_before.T @ R_after, Rotation.from_rotvec([0, 0, angle]).as_matrix(), atol=1e-9)


@given(configurations, st.sampled_from(FRAMES))
def test_jacobian_agrees_with_differences(q, frame):
    J = PANDA.jacobian(q, frame)
    step = 1e-6
    for i in range(7):
        plus, minus = (PANDA.frame_pose(q + sign * step * np.eye(7)[i], frame) for sign in (1.0, -1.0))
        linear = (plus[:3, 3] - minus[:3, 3]) / (2 * step)
        angular = Rotation.from_matrix(plus[:3, :3] @ minus[:3, :3].T).as_rotvec() / (2 * step)
        np.testing.assert_allclose(J[:, i], [*linear, *angular], atol=1e-7)


def test_forward_kinematics_of_stacks(rng):
    q = rng.uniform(PANDA.limits.lower, PANDA.limits.upper, size=(3, 2, 7))
    stacked = PANDA.forward_kinematics(q)
    assert stacked.shape == (3, 2, 9, 4, 4)
    np.testing.assert_allclose(stacked[2, 1], PANDA.forward_kinematics(q[2, 1]))
    assert PANDA.target_poses(q).shape == (3, 2, 4, 4, 4)
    np.testing.assert_array_equal(PANDA.target_poses(q)[..., 3, :, :], PANDA.frame_pose(q, "tcp"))


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match=r"\(6,\).*needs \(\.\.\., 7\)"):
        PANDA.forward_kinematics(np.zeros(6))
    with pytest.raises(ValueError, match="'elbow'.*joint4"):
        PANDA.frame_pose(PANDA.home, "elbow")


def description(**changes) -> dict:
    """The FR3 in plain numbers, under another name."""
    numbers = replace(FR3, name="mine").to_dict()
    assert isinstance(numbers, dict)
    return {**numbers, **changes}


@pytest.mark.parametrize("arm", ARMS.values(), ids=list(ARMS))
def test_a_known_arm_is_written_by_its_name(arm):
    assert arm.to_dict() == arm.name and arm_from(arm.name) is arm


def test_a_description_survives_json():
    arm = replace(FR3, name="mine", gripper=replace(FR3.gripper, max_width_m=0.14))
    again = arm_from(json.loads(json.dumps(arm.to_dict())))
    assert again.to_dict() == arm.to_dict()
    np.testing.assert_array_equal(again.forward_kinematics(again.home), FR3.forward_kinematics(FR3.home))


def urdf(rows: np.ndarray, axis: str = "0 0 1", kind: str = "revolute") -> str:
    """A chain with a fixed joint before each moving one, as vendors' descriptions have them."""
    parts = []
    for i, T in enumerate(rows):
        rpy, xyz = Rotation.from_matrix(T[:3, :3]).as_euler("xyz"), T[:3, 3]
        parts.append(
            f'<joint name="fix{i}" type="fixed"><parent link="l{i}"/><child link="m{i}"/>'
            f'<origin xyz="{xyz[0]} {xyz[1]} {xyz[2]}"/></joint>'
            f'<joint name="j{i}" type="{kind}"><parent link="m{i}"/><child link="l{i + 1}"/>'
            f'<origin rpy="{rpy[0]} {rpy[1]} {rpy[2]}"/><axis xyz="{axis}"/>'
            f'<limit lower="-2" upper="2" velocity="1.5"/></joint>'
        )
    return f"<robot name='r'>{''.join(parts)}</robot>"


def of_urdf(folder, text: str) -> Arm:
    (folder / "arm.urdf").write_text(text)
    return arm_from(
        {
            "name": "mine",
            "joint_names": [f"j{i}" for i in range(7)],
            "urdf": "arm.urdf",
            "acceleration": [10] * 7,
            "jerk": [5000] * 7,
            "home": [0.1] * 7,
            "hand": [0, 0, 0.107, 0, 0, 0],
        },
        folder,
    )


def test_a_urdf_gives_the_same_kinematics(tmp_path):
    arm = of_urdf(tmp_path, urdf(PANDA.links))
    q = np.linspace(-1.0, 1.0, 7)
    np.testing.assert_allclose(arm.forward_kinematics(q)[:7], PANDA.forward_kinematics(q)[:7], atol=1e-9)
    assert arm.limits.velocity.tolist() == [1.5] * 7 and arm.limits.lower.tolist() == [-2.0] * 7


def test_joints_of_a_urdf_turn_about_any_axis(tmp_path):
    """About y with the origin's axes: the same as about z of a frame that is turned."""
    arm = of_urdf(tmp_path, urdf(np.tile(np.eye(4), (7, 1, 1)), axis="0 1 0"))
    q = np.array([0.3, 0, 0, 0, 0, 0, 0])
    hand = arm.frame_pose(q, "hand")
    np.testing.assert_allclose(hand[:3, :3], Rotation.from_rotvec([0, 0.3, 0]).as_matrix(), atol=1e-9)
    np.testing.assert_allclose(hand[:3, 3], 0.107 * np.array([np.sin(0.3), 0, np.cos(0.3)]), atol=1e-9)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<robot", "is not XML"),
        ("<robot name='r'/>", "has no joint j0"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><robot/>", "defines entities"),
        (urdf(PANDA.links).replace('type="fixed"', 'type="prismatic"'), "moves j0"),
        (urdf(PANDA.links).replace('<parent link="l3"/>', '<parent link="other"/>'), "j3 does not follow j2"),
        (urdf(PANDA.links).replace('velocity="1.5"', ""), "velocity is"),
    ],
)
def test_what_is_wrong_with_a_urdf_is_explained(tmp_path, text, words):
    with pytest.raises(ValueError, match=words):
        of_urdf(tmp_path, text)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"joint_names": ["a"] * 7}, "no name twice"),
        ({"joint_names": ["a"]}, "seven joints are needed"),
        ({"lower": [3.0] * 7}, "lower limits must be below"),
        ({"jerk": [0.0] * 7}, "all other limits positive"),
        ({"velocity": ["fast"] * 7}, "needs a float"),
        ({"velocity": [1.0] * 6}, "needs 7 finite numbers"),
        ({"home": [9.0] * 7}, "outside of the arm's position limits"),
        ({"dh": [[0.0, 0.0, 0.0]] * 7}, "has dh and links kinematics"),
        ({"links": []}, "has no kinematics"),
        ({"drawn_frames": ["joint1", "elbow", "hand", "tcp"]}, "four of joint1"),
        ({"capsules": [{"link": 9, "start_m": [0, 0, 0], "end_m": [0, 0, 1], "radius_m": 0.1}]}, "link of 0 to 7"),
        ({"slowing": [[0.3] * 7] * 3}, "slowing"),
        ({"slowing": [[0.0] * 7, [6.0] * 7, [-3.0] * 7, [3.0] * 7]}, "offsets and decelerations must be positive"),
        ({"slowing": [[0.3] * 7, [6.0] * 7, [3.0] * 7, [-3.0] * 7]}, "lowest positions below highest ones"),
        ({"colour": "red"}, "has no parameter colour"),
    ],
)
def test_what_is_wrong_with_a_description_is_explained(changes, words):
    with pytest.raises(ValueError, match=words):
        arm_from(description(**changes))


@pytest.mark.parametrize("value", ["ur5", 3, None])
def test_an_unknown_arm_names_the_known_ones(value):
    with pytest.raises(ValueError, match="valid are panda, fr3"):
        arm_from(value)


@pytest.mark.parametrize("arm", ARMS.values(), ids=list(ARMS))
def test_limits_become_narrower_only(arm):
    limits = arm.limits
    assert arm.narrowed(limits.lower, limits.upper, limits.velocity).limits.upper.tolist() == limits.upper.tolist()
    narrow = arm.narrowed(upper=limits.upper - 0.1)
    assert (narrow.limits.upper < limits.upper).all() and narrow.limits.lower is not None
    for wider in ({"lower": limits.lower - 1e-6}, {"velocity": limits.velocity * 1.01}):
        with pytest.raises(ValueError, match="wider"):
            arm.narrowed(**wider)


def test_a_gripper_knows_its_widths():
    robotiq = Gripper("parallel_gripper_command", ("finger_joint",), 0.0, 0.695, 0.14)
    assert robotiq.to_position(0.14) == 0.0 and robotiq.to_position(0.0) == pytest.approx(0.695)
    assert robotiq.to_width_m(robotiq.to_position(0.05)) == pytest.approx(0.05)
    assert robotiq.to_opening(0.07) == pytest.approx(0.5) and robotiq.to_opening(0.3) == 1.0
    assert Gripper("none").to_opening(0.05) == 0.0
    assert PANDA.gripper.joint_positions(0.5).tolist() == pytest.approx([0.02, 0.02])
    with pytest.raises(ValueError, match="moves one joint"):
        Gripper("gripper_command", ("a", "b"))


def test_drawn_frames_of_joints_may_stay_as_they_are_at_zero(rng):
    """As CoppeliaSim has them: only the joints before turn them."""
    still, q = replace(PANDA, joints_turn=False), rng.uniform(-1, 1, (5, 7)) + PANDA.home
    np.testing.assert_allclose(still.target_poses(q)[..., :3, 3], PANDA.target_poses(q)[..., :3, 3])
    np.testing.assert_allclose(still.target_poses(q)[:, 3], PANDA.target_poses(q)[:, 3])
    for place, joint in enumerate((1, 3, 5)):
        at_zero = q.copy()
        at_zero[:, joint] = 0.0
        np.testing.assert_allclose(still.target_poses(q)[:, place], PANDA.target_poses(at_zero)[:, place], atol=1e-12)
    assert not arm_from(json.loads(json.dumps(still.to_dict()))).joints_turn


def test_an_fr3_must_be_slower_near_its_position_limits():
    """Numbers by the vendor's formula for joint 1, min(2.62, √(2 · 6 · (2.7501 - q)) - 0.3), towards the limit only."""
    q = np.tile(FR3.home, (3, 1))
    q[:, 0] = 2.0, 2.6, FR3.limits.upper[0]
    lowest, highest = FR3.limits.velocity_at(q)
    np.testing.assert_allclose(highest[:, 0], [2.62, 1.0421, 0.0], atol=1e-4)
    np.testing.assert_allclose(lowest[:, 0], -2.62)
    np.testing.assert_allclose(PANDA.limits.velocity_at(q)[1], PANDA.limits.velocity)
    assert FR3.limits.too_fast(q[1], np.full(7, 1.1))[0] and not FR3.limits.too_fast(q[1], np.full(7, -1.1))[0]
    assert FR3.limits.velocity_shares(q[1], np.full(7, 0.521))[0] == pytest.approx(0.5, abs=1e-3)


def test_shares_of_limits_that_fall_are_shares_everywhere():
    q = np.linspace(FR3.limits.lower, FR3.limits.upper, 200)
    shares = FR3.limits.scaled(0.9, 0.8, 0.1)
    np.testing.assert_allclose(shares.velocity_at(q), np.multiply(FR3.limits.velocity_at(q), 0.9), atol=1e-12)
