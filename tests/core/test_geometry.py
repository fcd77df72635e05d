import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from genima_core import geometry

coordinates = arrays.arrays(float, 3, elements=st.floats(-10.0, 10.0))


@st.composite
def transforms(draw) -> np.ndarray:
    rotation_vector = draw(arrays.arrays(float, 3, elements=st.floats(-3.0, 3.0)))
    return geometry.make_transform(Rotation.from_rotvec(rotation_vector).as_matrix(), draw(coordinates))


@given(transforms())
def test_inverse_undoes_a_transform(T_a_b):
    np.testing.assert_allclose(T_a_b @ geometry.invert(T_a_b), np.eye(4), atol=1e-12)


def test_inverse_works_on_stacks(rng):
    T = np.stack(
        [geometry.make_transform(Rotation.random(random_state=i).as_matrix(), rng.normal(size=3)) for i in range(6)]
    ).reshape(2, 3, 4, 4)
    np.testing.assert_allclose(geometry.invert(T), np.linalg.inv(T), atol=1e-12)


@given(transforms(), coordinates)
def test_points_move_as_homogeneous_coordinates_do(T_a_b, p_b):
    expected = (T_a_b @ [*p_b, 1.0])[:3]
    np.testing.assert_allclose(geometry.transform_points(T_a_b, p_b), expected, atol=1e-9)
    np.testing.assert_allclose(geometry.transform_points(T_a_b, np.tile(p_b, (2, 5, 1)))[1, 4], expected, atol=1e-9)


@given(transforms())
def test_quaternions_round_trip(T_a_b):
    quat_xyzw = geometry.to_quat_xyzw(T_a_b)
    assert quat_xyzw[3] >= 0
    np.testing.assert_allclose(geometry.from_quat_xyzw(quat_xyzw, T_a_b[:3, 3]), T_a_b, atol=1e-9)
    np.testing.assert_array_equal(geometry.to_quat_wxyz(T_a_b), quat_xyzw[[3, 0, 1, 2]])


def test_a_quarter_turn_about_z():
    T = geometry.from_quat_xyzw(np.array([0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)]), np.zeros(3))
    np.testing.assert_allclose(geometry.transform_points(T, np.array([1.0, 0.0, 0.0])), [0.0, 1.0, 0.0], atol=1e-12)
    assert geometry.rotation_angle(T[:3, :3]) == pytest.approx(np.pi / 2)


@pytest.mark.parametrize("quat_xyzw", [np.zeros(4), np.ones(4), np.full(4, np.nan)])
def test_quaternions_of_another_norm_are_refused(quat_xyzw):
    with pytest.raises(ValueError, match="norm 1"):
        geometry.from_quat_xyzw(quat_xyzw, np.zeros(3))


@given(coordinates, coordinates)
def test_look_at_sees_its_target_in_the_middle_and_up_above(eye, target):
    line = target - eye
    assume(np.linalg.norm(line) > 1e-3)
    assume(np.linalg.norm(np.cross(line, [0.0, 0.0, 1.0])) > 1e-3)
    T_base_cam = geometry.look_at(eye, target)
    T_cam_base = geometry.invert(T_base_cam)
    np.testing.assert_allclose(T_base_cam[:3, :3] @ T_base_cam[:3, :3].T, np.eye(3), atol=1e-9)
    assert np.linalg.det(T_base_cam[:3, :3]) == pytest.approx(1.0)
    np.testing.assert_allclose(geometry.transform_points(T_cam_base, target), [0, 0, np.linalg.norm(line)], atol=1e-7)
    above = geometry.transform_points(T_cam_base, target + [0.0, 0.0, 0.1])
    assert above[1] < 0  # y points down
    assert above[0] == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("target", [(0.0, 0.0, 0.0), (0.0, 0.0, 1.0)])
def test_look_at_refuses_what_has_no_answer(target):
    with pytest.raises(ValueError, match="no camera pose"):
        geometry.look_at(np.zeros(3), np.array(target))


@given(transforms())
def test_opengl_cameras_look_backwards_with_y_up(T_base_cam):
    T_base_gl = geometry.opencv_to_opengl(T_base_cam)
    np.testing.assert_array_equal(T_base_gl[:3, 0], T_base_cam[:3, 0])
    np.testing.assert_array_equal(T_base_gl[:3, 1:3], -T_base_cam[:3, 1:3])
    np.testing.assert_array_equal(T_base_gl[:3, 3], T_base_cam[:3, 3])
