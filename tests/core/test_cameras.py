import dataclasses
import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genima_core.cameras import CameraRig, PinholeCamera

CAMERA = PinholeCamera(96, 64, 70.0, 75.0, 50.2, 30.7)
points = st.tuples(st.floats(-0.3, 0.3), st.floats(-0.2, 0.2), st.floats(0.5, 3.0)).map(np.array)


def picture_of(point_cam: np.ndarray, camera: PinholeCamera, sigma_px: float = 3.0) -> np.ndarray:
    """A bright spot where the camera sees the point; (H, W) float."""
    u, v = camera.project(point_cam)
    columns, rows = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    return np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / (2 * sigma_px**2))


def centroid(picture: np.ndarray) -> np.ndarray:
    """Pixel (2,) u, v."""
    columns, rows = np.meshgrid(np.arange(picture.shape[1]), np.arange(picture.shape[0]))
    return np.array([(picture * columns).sum(), (picture * rows).sum()]) / picture.sum()


@given(points)
def test_projection_is_the_intrinsic_matrix(point_cam):
    homogeneous = CAMERA.K @ point_cam
    np.testing.assert_allclose(CAMERA.project(point_cam), homogeneous[:2] / homogeneous[2])


@given(points)
def test_a_ray_goes_to_what_is_seen(point_cam):
    np.testing.assert_allclose(CAMERA.rays(CAMERA.project(point_cam)), point_cam / point_cam[2], atol=1e-12)


def test_nothing_behind_the_camera_is_seen():
    uv = CAMERA.project(np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.1, 0.1, -1.0]]))
    np.testing.assert_array_equal(np.isnan(uv).all(axis=1), [False, True, True])
    np.testing.assert_array_equal(CAMERA.contains(uv), [True, False, False])


def test_the_image_ends_half_a_pixel_outside_the_outer_pixel_centres():
    inside = [[-0.5, -0.5], [95.4, 63.4]]
    outside = [[-0.6, 0.0], [95.5, 0.0], [0.0, 63.5]]
    assert CAMERA.contains(np.array(inside)).all()
    assert not CAMERA.contains(np.array(outside)).any()


@given(points, st.integers(0, 20), st.integers(0, 10))
def test_a_crop_moves_the_pixels(point_cam, left, top):
    cropped = CAMERA.crop(left, top, 60, 40)
    np.testing.assert_allclose(cropped.project(point_cam), CAMERA.project(point_cam) - [left, top])


@pytest.mark.parametrize(
    ("size", "interpolation"), [((48, 32), cv2.INTER_AREA), ((32, 16), cv2.INTER_AREA), ((192, 160), cv2.INTER_LINEAR)]
)
def test_a_resized_picture_shows_what_the_resized_camera_says(size, interpolation):
    point_cam = np.array([0.04, -0.03, 1.0])
    resized = cv2.resize(picture_of(point_cam, CAMERA), size, interpolation=interpolation)
    np.testing.assert_allclose(centroid(resized), CAMERA.resize(*size).project(point_cam), atol=0.05)


@given(points, st.integers(8, 200), st.integers(8, 200))
def test_resizing_there_and_back_changes_nothing(point_cam, width, height):
    back = CAMERA.resize(width, height).resize(CAMERA.width, CAMERA.height)
    np.testing.assert_allclose(back.project(point_cam), CAMERA.project(point_cam))


def test_field_of_view():
    camera = PinholeCamera.from_fov(64, 48, np.deg2rad(50.0))
    assert camera.fovy_rad == pytest.approx(np.deg2rad(50.0))
    assert camera.resize(128, 96).fovy_rad == pytest.approx(np.deg2rad(50.0))
    top_edge = np.array([0.0, -np.tan(np.deg2rad(25.0)), 1.0])
    np.testing.assert_allclose(camera.project(top_edge), [31.5, -0.5])


@pytest.mark.parametrize("rectangle", [(-1, 0, 10, 10), (90, 0, 10, 10), (0, 60, 10, 5), (0, 0, 0, 4)])
def test_a_crop_outside_the_image_is_refused(rectangle):
    with pytest.raises(ValueError, match="leaves the 96x64 image"):
        CAMERA.crop(*rectangle)


def test_a_camera_without_size_is_refused():
    with pytest.raises(ValueError, match="size of 1 to 8192 pixels"):
        PinholeCamera(0, 10, 1.0, 1.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="size of 1 to 8192 pixels"):
        PinholeCamera(10, 10, float("nan"), 1.0, 0.0, 0.0)


def test_mounts(rig):
    T_base_hand = np.eye(4)
    T_base_hand[:3, 3] = [0.5, 0.1, 0.4]
    np.testing.assert_allclose(rig["wrist"].T_base_cam(T_base_hand)[:3, 3], [0.5, 0.15, 0.4])
    np.testing.assert_array_equal(rig["front"].T_base_cam(T_base_hand), rig["front"].T_mount_cam)


def test_a_rig_survives_its_file(rig, tmp_path):
    rig.save(tmp_path / "rig.json")
    loaded = CameraRig.load(tmp_path / "rig.json")
    assert loaded.names == rig.names == ("wrist", "front", "right_shoulder", "left_shoulder")
    assert loaded.fingerprint() == rig.fingerprint()
    for before, after in zip(rig.cameras, loaded.cameras, strict=True):
        assert after.intrinsics == before.intrinsics
        assert (after.mount, after.target_radius_m) == (before.mount, before.target_radius_m)
        np.testing.assert_array_equal(after.T_mount_cam, before.T_mount_cam)


def test_the_fingerprint_notices_a_moved_camera_but_no_rounding(rig):
    def moved(by: float) -> CameraRig:
        T = rig.cameras[1].T_mount_cam.copy()
        T[0, 3] += by
        front = dataclasses.replace(rig.cameras[1], T_mount_cam=T)
        return CameraRig((rig.cameras[0], front, *rig.cameras[2:]))

    assert moved(1e-9).fingerprint() == rig.fingerprint()
    assert moved(1e-3).fingerprint() != rig.fingerprint()


def test_resizing_a_rig(rig):
    assert rig.resize(32, 24).size == (32, 24)
    assert rig.resize(32, 24).names == rig.names


def test_damaged_rig_files_are_named(rig, tmp_path):
    path = tmp_path / "rig.json"
    with pytest.raises(FileNotFoundError, match="rig.json"):
        CameraRig.load(path)
    incomplete = rig.to_dict()
    del incomplete["cameras"][0]["mount"]
    for text in ("{", "{}", json.dumps(incomplete)):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"rig\.json is (damaged|not a camera rig)"):
            CameraRig.load(path)


def test_impossible_rigs_are_refused(rig):
    many = tuple(dataclasses.replace(rig.cameras[0], name=f"camera_{i}") for i in range(7))
    assert CameraRig(many[:6]).names[5] == "camera_5"
    for cameras in ((), many, (rig.cameras[1], *rig.cameras[1:])):
        with pytest.raises(ValueError, match="1 to 6 cameras with different names"):
            CameraRig(cameras)
    with pytest.raises(ValueError, match="one image size"):
        CameraRig((dataclasses.replace(rig.cameras[0], intrinsics=CAMERA), *rig.cameras[1:]))
    with pytest.raises(ValueError, match="'gripper'; valid are 'base' and 'hand'"):
        dataclasses.replace(rig.cameras[0], mount="gripper")
    with pytest.raises(ValueError, match="T_mount_cam of camera 'wrist' is not a pose"):
        dataclasses.replace(rig.cameras[0], T_mount_cam=2 * np.eye(4))
    with pytest.raises(KeyError, match="no camera 'overhead'; the rig has wrist, front"):
        rig["overhead"]
