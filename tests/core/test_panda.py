import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from genima_core import panda

configurations = arrays.arrays(float, 7, elements=st.floats(0.0, 1.0)).map(
    lambda x: panda.PANDA_LIMITS.lower + x * (panda.PANDA_LIMITS.upper - panda.PANDA_LIMITS.lower)
)


def test_the_arm_stretched_upwards():
    """At q = 0 every length is read off the vendor's drawing."""
    poses = panda.forward_kinematics(np.zeros(7))
    tcp = poses[panda.frame_index("tcp")]
    np.testing.assert_allclose(tcp[:3, 3], [0.088, 0.0, 0.333 + 0.316 + 0.384 - 0.107 - 0.1034], atol=1e-12)
    np.testing.assert_allclose(tcp[:3, 2], [0.0, 0.0, -1.0], atol=1e-12)
    np.testing.assert_allclose(poses[panda.frame_index("joint4"), :3, 3], [0.0825, 0.0, 0.649], atol=1e-12)


def test_the_ready_pose_points_straight_down():
    """Franka's ready pose: the hand before the base, fingers down, hand axes along the base's."""
    T_base_tcp = panda.frame_pose(panda.HOME, "tcp")
    np.testing.assert_allclose(T_base_tcp[:3, 3], [0.3069, 0.0, 0.4869], atol=1e-3)
    np.testing.assert_allclose(T_base_tcp[:3, :3], np.diag([1.0, -1.0, -1.0]), atol=1e-5)


def test_home_lies_within_the_limits():
    assert np.all(panda.HOME > panda.PANDA_LIMITS.lower)
    assert np.all(panda.HOME < panda.PANDA_LIMITS.upper)


@given(configurations)
def test_every_frame_is_a_rotation_at_link_distance(q):
    poses = panda.forward_kinematics(q)
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
    R_before = panda.frame_pose(q, f"joint{joint}")[:3, :3]
    R_after = panda.frame_pose(turned, f"joint{joint}")[:3, :3]
    np.testing.assert_allclose(R_before.T @ R_after, Rotation.from_rotvec([0, 0, angle]).as_matrix(), atol=1e-9)


@given(configurations, st.sampled_from(panda.FRAMES))
def test_jacobian_agrees_with_differences(q, frame):
    J = panda.jacobian(q, frame)
    step = 1e-6
    for i in range(7):
        plus, minus = (panda.frame_pose(q + sign * step * np.eye(7)[i], frame) for sign in (1.0, -1.0))
        linear = (plus[:3, 3] - minus[:3, 3]) / (2 * step)
        angular = Rotation.from_matrix(plus[:3, :3] @ minus[:3, :3].T).as_rotvec() / (2 * step)
        np.testing.assert_allclose(J[:, i], [*linear, *angular], atol=1e-7)


def test_forward_kinematics_of_stacks(rng):
    q = rng.uniform(panda.PANDA_LIMITS.lower, panda.PANDA_LIMITS.upper, size=(3, 2, 7))
    stacked = panda.forward_kinematics(q)
    assert stacked.shape == (3, 2, 9, 4, 4)
    np.testing.assert_allclose(stacked[2, 1], panda.forward_kinematics(q[2, 1]))
    assert panda.target_poses(q).shape == (3, 2, 4, 4, 4)
    np.testing.assert_array_equal(panda.target_poses(q)[..., 3, :, :], panda.frame_pose(q, "tcp"))


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match=r"\(6,\).*needs \(\.\.\., 7\)"):
        panda.forward_kinematics(np.zeros(6))
    with pytest.raises(ValueError, match="'elbow'.*joint4"):
        panda.frame_pose(panda.HOME, "elbow")
