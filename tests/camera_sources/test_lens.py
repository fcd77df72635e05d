import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genima_core.camera_sources.lens import Lens, View, parse_crop, parse_size
from genima_core.cameras import PinholeCamera

CAMERA = PinholeCamera(640, 480, 610.0, 605.0, 322.5, 237.0)
K5 = (0.12, -0.25, 0.001, -0.002, 0.05)
POINTS = np.array([[0.0, 0.0, 1.0], [0.1, -0.05, 1.0], [-0.2, 0.15, 1.0], [0.25, 0.1, 1.0]])


def marked(lens: Lens, points: np.ndarray) -> np.ndarray:
    """A picture with a soft white dot where each point is seen."""
    v, u = np.mgrid[: lens.camera.height, : lens.camera.width]
    picture = np.zeros((lens.camera.height, lens.camera.width))
    for x, y in lens.project(points):
        picture += np.exp(-((u - x) ** 2 + (v - y) ** 2) / (2 * 6.0**2))
    return np.repeat((255 * picture.clip(0, 1)).astype(np.uint8)[..., None], 3, 2)


def centre_near(picture: np.ndarray, uv: np.ndarray, radius: float) -> np.ndarray:
    """Centroid of the brightness around a pixel."""
    v, u = np.mgrid[: picture.shape[0], : picture.shape[1]]
    weight = picture[..., 0].astype(float) * (np.hypot(u - uv[0], v - uv[1]) <= radius)
    return np.array([(u * weight).sum(), (v * weight).sum()]) / weight.sum()


@pytest.mark.parametrize(
    "lens",
    [Lens(CAMERA), Lens(CAMERA, "plumb_bob", K5), Lens(CAMERA, "inverse_brown_conrady", K5)],
    ids=["straight", "plumb_bob", "inverse_brown_conrady"],
)
@pytest.mark.parametrize(
    ("crop", "size"),
    [
        (None, None),
        ((80, 0, 480, 480), None),
        ((80, 0, 480, 480), (256, 256)),
        (None, (320, 240)),
        ((101, 13, 470, 460), (705, 690)),
    ],
)
def test_a_point_stays_on_its_mark(lens, crop, size):
    view = View(lens, crop, size)
    picture = view(marked(lens, POINTS))
    assert picture.shape == (view.camera.height, view.camera.width, 3)
    scale = view.camera.fx / CAMERA.fx
    for uv in view.camera.project(POINTS):
        assert centre_near(picture, uv, 24 * scale) == pytest.approx(uv, abs=0.12 * max(scale, 1.0))


def test_plumb_bob_is_opencvs():
    expected, _ = cv2.projectPoints(POINTS, np.zeros(3), np.zeros(3), CAMERA.K, np.array(K5))
    assert Lens(CAMERA, "plumb_bob", K5).project(POINTS) == pytest.approx(expected[:, 0], abs=1e-6)


@pytest.mark.parametrize("model", ["inverse_brown_conrady", "modified_brown_conrady", "brown_conrady"])
def test_distortion_is_librealsenses(model):
    rs = pytest.importorskip("pyrealsense2", reason="its own projection is compared with ours", exc_type=ImportError)
    from genima_core.camera_sources.realsense import lens_of

    i = rs.intrinsics()
    i.width, i.height, i.fx, i.fy, i.ppx, i.ppy = 640, 480, 610.0, 605.0, 322.5, 237.0
    i.model, i.coeffs = getattr(rs.distortion, model), list(K5)
    expected = [rs.rs2_project_point_to_pixel(i, point.tolist()) for point in POINTS]
    assert lens_of(i).project(POINTS) == pytest.approx(np.array(expected), abs=1e-3)


def test_without_distortion_cut_and_size_nothing_changes(rng):
    picture = rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
    assert (View(Lens(CAMERA))(picture) == picture).all()
    assert View(Lens(CAMERA, "ftheta", (0.0,) * 5)).camera == CAMERA


def test_unknown_distortion_is_refused():
    with pytest.raises(ValueError, match="kannala_brandt4.*plumb_bob"):
        Lens(CAMERA, "kannala_brandt4", K5)
    with pytest.raises(ValueError, match="five"):
        Lens(CAMERA, "plumb_bob", K5[:4])


@given(st.integers(1, 4000), st.integers(1, 4000))
def test_a_square_is_the_largest_in_the_middle(width, height):
    left, top, w, h = parse_crop("square", width, height)
    assert w == h == min(width, height)
    assert 0 <= width - w - 2 * left <= 1
    assert 0 <= height - h - 2 * top <= 1


@pytest.mark.parametrize("text", ["circle", "1,2,3", "1,2,3,x"])
def test_a_crop_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="square"):
        parse_crop(text, 640, 480)


def test_a_crop_that_leaves_the_picture_is_refused():
    with pytest.raises(ValueError, match="640x480"):
        View(Lens(CAMERA), parse_crop("200,0,480,480", 640, 480))


@pytest.mark.parametrize("text", ["256", "0x256", "axb"])
def test_a_size_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="256x256"):
        parse_size(text)


def test_intrinsics_come_back_from_their_file(tmp_path):
    lens = Lens(CAMERA, "inverse_brown_conrady", K5)
    lens.save(tmp_path / "intrinsics.json")
    assert Lens.load(tmp_path / "intrinsics.json") == lens


def test_bad_intrinsics_are_explained(tmp_path):
    path = tmp_path / "intrinsics.json"
    with pytest.raises(FileNotFoundError, match="genima cameras --save"):
        Lens.load(path)
    path.write_text(json.dumps({"width": 640}))
    with pytest.raises(ValueError, match="height"):
        Lens.load(path)
