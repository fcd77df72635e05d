import array

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rclpy")

from sensor_msgs.msg import Image, JointState

from genima_core.arm import PANDA
from genima_core.cameras import PinholeCamera
from genima_core.streaming.states import Reason, Refusal
from genima_core.types import ActionChunk, Target
from genima_ros.messages import conversions

pytestmark = pytest.mark.ros

FINGERS = ("panda_finger_joint1", "panda_finger_joint2")


def make_chunk(K: int = 20) -> ActionChunk:
    rng = np.random.default_rng(K)
    return ActionChunk(rng.normal(size=(K, 7)), rng.integers(0, 2, K).astype(float), 0.05, start_s=101.3, stamp_s=101.1)


@given(height=st.integers(1, 20), width=st.integers(1, 20), stamp_s=st.floats(0, 2e9))
def test_rgb_survives_the_wire(height, width, stamp_s):
    rgb = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    message = conversions.rgb_to_image(rgb, stamp_s, "front")
    assert (conversions.image_to_rgb(message) == rgb).all()
    assert conversions.seconds(message.header.stamp) == pytest.approx(stamp_s, abs=1e-6)


def test_rgb8_is_not_copied():
    message = conversions.rgb_to_image(np.zeros((2, 2, 3), np.uint8), 0.0)
    image = conversions.image_to_rgb(message)
    message.data[0] = 7
    assert image[0, 0, 0] == 7
    assert not image.flags.writeable


@pytest.mark.parametrize(
    ("encoding", "code"), [("bgr8", cv2.COLOR_RGB2BGR), ("rgba8", cv2.COLOR_RGB2RGBA), ("bgra8", cv2.COLOR_RGB2BGRA)]
)
def test_other_encodings_become_rgb(encoding, code):
    rgb = np.random.default_rng(1).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    assert (conversions.image_to_rgb(make_image(cv2.cvtColor(rgb, code), encoding)) == rgb).all()


COLOUR = np.array([200, 120, 40], np.uint8)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_patterns_have_their_colours(pattern, depth):
    """A sensor of one colour: each pixel has the channel that the pattern's name says of its place."""
    place = np.array(["rgb".index(letter) for letter in pattern]).reshape(2, 2)
    mosaic = COLOUR[np.tile(place, (4, 6))][..., None]
    if depth == 16:
        mosaic = mosaic.astype("<u2") * 257
    rgb = conversions.image_to_rgb(make_image(mosaic, f"bayer_{pattern}{depth}"))
    assert rgb.shape == (8, 12, 3) and (rgb == COLOUR).all()


@pytest.mark.parametrize("order", ["<u2", ">u2"])
@pytest.mark.parametrize(("encoding", "channels"), [("rgb16", [0, 1, 2]), ("bgr16", [2, 1, 0]), ("mono16", [0])])
def test_16_bits_keep_the_upper_ones(encoding, channels, order):
    rgb = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    message = make_image((rgb[..., channels].astype(np.uint16) * 257 + 60).astype(order), encoding)
    message.is_bigendian = order == ">u2"
    expected = rgb if len(channels) == 3 else np.repeat(rgb[..., :1], 3, axis=2)
    assert (conversions.image_to_rgb(message) == expected).all()


def test_mono8_becomes_grey():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    assert (conversions.image_to_rgb(make_image(grey, "mono8")) == np.repeat(grey, 3, axis=2)).all()


def test_padded_rows_are_cut_off():
    message = make_image(np.full((2, 3, 3), 9, np.uint8), "rgb8", padding=5)
    assert conversions.image_to_rgb(message).shape == (2, 3, 3)
    assert (conversions.image_to_rgb(message) == 9).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoding": "16UC1"}, "encoding '16UC1'; readable are rgb8.*bayer_rggb8.*mono16"),
        ({"data": array.array("B", bytes(5))}, "has 5 bytes"),
        ({"data": array.array("B")}, "has 0 bytes"),
        ({"width": 7}, "step"),
        ({"height": 0}, "no pixels"),
    ],
)
def test_broken_images_are_refused(change, words):
    message = conversions.rgb_to_image(np.zeros((2, 3, 3), np.uint8), 0.0)
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(ValueError, match=words):
        conversions.image_to_rgb(message)


def test_camera_info_survives_the_wire():
    camera = PinholeCamera(64, 48, 70.0, 71.0, 31.0, 23.5)
    assert conversions.camera_info_to_camera(conversions.camera_to_camera_info(camera, 1.0)) == camera


def test_distortion_is_refused():
    message = conversions.camera_to_camera_info(PinholeCamera(64, 48, 70.0, 71.0, 31.0, 23.5), 1.0)
    message.d = [0.1, 0.0, 0.0, 0.0, 0.0]
    with pytest.raises(ValueError, match="rectified"):
        conversions.camera_info_to_camera(message)


def test_joints_are_found_by_name(rng):
    names = [*PANDA.joint_names, *FINGERS]
    order = rng.permutation(len(names))
    positions = rng.normal(size=len(names))
    message = conversions.to_joint_state([names[i] for i in order], positions[order], 0.0, positions[order] * 2)
    assert conversions.positions_by_name(message, PANDA.joint_names) == pytest.approx(positions[:7])


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (JointState(), "lacks panda_joint1"),
        (JointState(name=[f"fr3_joint{i}" for i in range(1, 8)], position=[0.0] * 7), "it has fr3_joint1"),
        (JointState(name=list(PANDA.joint_names), position=[0.0] * 6), "names 7 joints but has 6 positions"),
        (
            JointState(name=list(PANDA.joint_names), position=[0.0] * 6 + [float("nan")]),
            "nan rad for panda_joint7",
        ),
    ],
)
def test_broken_joint_states_are_refused(message, words):
    with pytest.raises(ValueError, match=words):
        conversions.positions_by_name(message, PANDA.joint_names)


def test_gripper_opening_is_the_share_of_the_width():
    message = conversions.to_joint_state(FINGERS, [0.02, 0.03], 0.0)
    assert conversions.gripper_opening(message, PANDA.gripper) == pytest.approx(0.625)


@pytest.mark.parametrize("K", [2, 20])
def test_chunk_survives_the_wire(K):
    chunk = make_chunk(K)
    back = conversions.read_chunk(conversions.chunk_to_trajectory(chunk, PANDA), PANDA)
    assert back.positions == pytest.approx(chunk.positions)
    assert back.gripper == pytest.approx(chunk.gripper)
    assert (back.dt_s, back.start_s, back.stamp_s) == pytest.approx((chunk.dt_s, chunk.start_s, chunk.stamp_s))


NAMES = (*PANDA.joint_names, "gripper")


def changed(**changes):
    """A good chunk's message with other names, points or times."""
    message = conversions.chunk_to_trajectory(
        ActionChunk(np.tile(PANDA.home, (5, 1)), np.ones(5), 0.05, 1.0, 1.0), PANDA
    )
    message.joint_names = list(changes.get("names", message.joint_names))
    for (k, i), value in changes.get("values", {}).items():
        message.points[k].positions[i] = value
    for k, time_s in changes.get("times_s", {}).items():
        message.points[k].time_from_start = conversions.to_duration(time_s)
    message.points = message.points[: changes.get("count", 5)]
    return message


@pytest.mark.parametrize(
    ("kind", "words", "given"),
    [
        (Reason.NAMES, "fr3_joint1", {"names": (*(f"fr3_joint{i}" for i in range(1, 8)), "gripper")}),
        (Reason.NAMES, "lacks panda_joint7", {"names": NAMES[:6]}),
        (Reason.NAMES, "repeats panda_joint1", {"names": ("panda_joint1", *NAMES)}),
        (Reason.NAMES, "unknown elbow", {"names": (*NAMES, "elbow")}),
        (Reason.SIZE, "40000 joints", {"names": [f"joint{i}" for i in range(40_000)]}),
        (Reason.SHAPE, "have 8 positions", {"names": NAMES[:7]}),
        (Reason.SIZE, "2 to 10000", {"count": 1}),
        (Reason.SIZE, "2 to 10000", {"count": 0}),
        (Reason.NAN, "Action 2", {"values": {(2, 3): np.nan}}),
        (Reason.NAN, "inf", {"values": {(2, 7): np.inf}}),
        (Reason.TIMES, "do not increase", {"times_s": {2: 0.0}}),
        (Reason.TIMES, "constant", {"times_s": {4: 0.3}}),
        (Reason.TIMES, "seconds", {"times_s": {k: 50.0 * k for k in range(5)}}),
        (Reason.TIMES, "seconds", {"times_s": {k: 1e-9 * k for k in range(5)}}),
    ],
)
def test_a_bad_chunk_is_refused_with_a_reason(kind, words, given):
    refusal = conversions.read_chunk(changed(**given), PANDA)
    assert isinstance(refusal, Refusal) and refusal.kind is kind
    assert words in refusal.text and refusal.text.endswith(".") and len(refusal.text) < 2000


def test_a_text_stays_short_whatever_the_names():
    names = [f"{'long' * 100_000}{i}" for i in range(200)]
    assert len(conversions.read_chunk(changed(names=names), PANDA).text) < 2000


@given(
    K=st.integers(2, 40),
    dt_s=st.floats(1e-3, 10.0),
    jitter=st.floats(0, 0.02),
    gripper=st.booleans(),
    seed=st.integers(0, 99),
)
def test_what_survives_the_wire_is_taken_whatever_its_step(K, dt_s, jitter, gripper, seed):
    rng = np.random.default_rng(seed)
    chunk = ActionChunk(rng.normal(size=(K, 7)), rng.random(K) if gripper else None, dt_s, 101.3, 101.1)
    message = conversions.chunk_to_trajectory(chunk, PANDA)
    for k, point in enumerate(message.points):
        point.time_from_start = conversions.to_duration(k * dt_s + rng.uniform(0, jitter * dt_s))
    back = conversions.read_chunk(message, PANDA)
    assert isinstance(back, ActionChunk) or back.kind is Reason.TIMES
    if isinstance(back, ActionChunk):
        assert (back.gripper is None) != gripper and back.positions == pytest.approx(chunk.positions)


@pytest.mark.parametrize(
    ("kind", "words", "given"),
    [
        (Reason.NAMES, "lacks panda_joint1", {"name": ["other", *NAMES[1:7]]}),
        (Reason.NAMES, "lacks", {"name": []}),
        (Reason.SIZE, "201 joints", {"name": [str(i) for i in range(201)]}),
        (Reason.SHAPE, "7 joints", {"position": PANDA.home[:6].tolist()}),
        (Reason.SHAPE, "velocities", {"velocity": [0.0]}),
        (Reason.NAN, "panda_joint3", {"position": np.where(np.arange(7) == 2, np.nan, PANDA.home).tolist()}),
        (Reason.NAN, "panda_joint1", {"velocity": [np.inf] * 7}),
    ],
)
@pytest.mark.parametrize("read", [conversions.read_joint_state, conversions.read_target])
def test_a_bad_joint_state_or_target_is_refused_with_a_reason(read, kind, words, given):
    message = JointState(**{"name": list(PANDA.joint_names), "position": PANDA.home.tolist(), **given})
    refusal = read(message, PANDA)
    assert isinstance(refusal, Refusal) and refusal.kind is kind
    assert words in refusal.text and refusal.text.endswith(".")


@pytest.mark.parametrize("dq", [None, np.arange(7.0)])
@pytest.mark.parametrize("width_m", [None, 0.03])
def test_a_target_survives_the_wire(dq, width_m):
    message = conversions.target_to_joint_state(Target(PANDA.home, dq, 5.0, width_m), PANDA, 105.0)
    back = conversions.read_target(message, PANDA, lambda stamp_s: stamp_s - 100.0)
    assert np.array_equal(back.q, PANDA.home) and back.stamp_s == pytest.approx(5.0) and back.width_m == width_m
    assert back.dq is None if dq is None else np.array_equal(back.dq, dq)


@pytest.mark.parametrize("finger_m", [np.nan, np.inf, 40.0, -0.02])
def test_impossible_fingers_are_refused_where_they_matter(finger_m):
    message = conversions.to_joint_state((*PANDA.joint_names, *FINGERS), [*PANDA.home, finger_m, 0.0], 0.0)
    assert isinstance(conversions.read_joint_state(message, PANDA, gripper=True), Refusal)
    assert conversions.read_joint_state(message, PANDA).width_m is None


def test_the_fingers_tell_the_width():
    message = conversions.to_joint_state((*PANDA.joint_names, *FINGERS), [*PANDA.home, 0.01, 0.02], 0.0)
    assert conversions.read_joint_state(message, PANDA, gripper=True).width_m == pytest.approx(0.03)
    assert conversions.read_width(message, PANDA) == pytest.approx(0.03)


def make_image(pixels: np.ndarray, encoding: str, padding: int = 0) -> Image:
    height, width, _ = pixels.shape
    rows = np.concatenate([pixels.reshape(height, -1).view(np.uint8), np.zeros((height, padding), np.uint8)], axis=1)
    return Image(
        height=height,
        width=width,
        encoding=encoding,
        step=rows.shape[1],
        data=array.array("B", rows.tobytes()),
    )
