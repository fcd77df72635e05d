"""Quality is measured on streams whose flaws are known."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genima_core.arm import PANDA
from genima_core.data.bags import messages, stamps
from genima_core.data.bags.meter import MOVED_RAD, QualityMeter
from genima_core.data.bags.quality import Quality, QualityBounds, suspect

FPS = 30.0
PERIOD_NS = round(1e9 / FPS)
JOINT_PERIOD_NS = 10_000_000
BEGUN_NS = 1_700_000_000_000_000_000
CAMERAS = ("wrist", "front")
EXPECTED = (*(f"camera/{name}" for name in CAMERAS), "joint_states", "joint_commands")
SECONDS = 4
FRAMES = round(SECONDS * FPS)


class Episode:
    """A good one, which tests spoil: capture times of each stream, and pictures by camera and index."""

    def __init__(self, rng: np.random.Generator) -> None:
        frames = BEGUN_NS + PERIOD_NS // 2 + PERIOD_NS * np.arange(FRAMES)
        joints = BEGUN_NS + JOINT_PERIOD_NS * np.arange(100 * SECONDS)
        self.captured = {
            "camera/wrist": frames,
            "camera/front": frames + 3_000_000,
            "joint_states": joints,
            "joint_commands": joints,
        }
        self.delays_ns = dict.fromkeys(self.captured, 2_000_000)
        self.pictures = {
            role: rng.integers(30, 200, (FRAMES, 16, 16, 3), dtype=np.uint8)
            for role in self.captured
            if role.startswith("camera/")
        }
        self.q = np.linspace(0.0, 1.0, 100 * SECONDS)

    def quality(self, expected=EXPECTED) -> Quality:
        meter = QualityMeter(FPS, expected, PANDA.joint_names)
        events = [
            (int(captured_ns), role, k)
            for role, stream in self.captured.items()
            for k, captured_ns in enumerate(stream)
        ]
        for order, (captured_ns, role, k) in enumerate(sorted(events, key=lambda event: event[::2])):
            del order
            data, image = b"", None
            if role == "joint_states":
                data = joint_state(self.q[min(k, len(self.q) - 1)])
            elif role in self.pictures:
                image = image_message(self.pictures[role][min(k, FRAMES - 1)])
            meter.add(role, data, captured_ns, captured_ns + self.delays_ns[role], image)
        return meter.result(BEGUN_NS, BEGUN_NS + SECONDS * 10**9)


def image_message(picture: np.ndarray):
    height, width, _ = picture.shape
    return messages.typestore().types["sensor_msgs/msg/Image"](
        header(), height, width, "rgb8", 0, 3 * width, picture.ravel()
    )


def header():
    types = messages.typestore().types
    return types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](0, 0), "")


def joint_state(q: float) -> bytes:
    kind = messages.typestore().types["sensor_msgs/msg/JointState"]
    return messages.serialize(
        kind(header(), list(PANDA.joint_names), np.full(7, q), np.zeros(7), np.zeros(0)), "sensor_msgs/msg/JointState"
    )


@pytest.fixture
def episode(rng) -> Episode:
    return Episode(rng)


def reasons(quality: Quality) -> str:
    return "; ".join(suspect(quality, QualityBounds()))


def test_a_good_episode_is_not_suspect(episode):
    quality = episode.quality()
    assert suspect(quality, QualityBounds()) == ()
    assert quality.frames_expected == 2 * FRAMES
    assert quality.frames_lost == 0
    assert quality.skew_ms_max == pytest.approx(3.0)
    assert quality.joint_skew_ms_max <= 5.0
    assert quality.cameras["wrist"].rate_hz == pytest.approx(FPS, rel=1e-3)


def test_numbers_are_ready_for_json(episode):
    import json

    episode.captured["camera/front"] = np.zeros(0, np.int64)
    content = json.loads(json.dumps(episode.quality().to_dict(), allow_nan=False))
    assert {"frames_expected", "frames_lost", "skew_ms_p50", "skew_ms_p99", "skew_ms_max"} <= set(content)


def test_dropped_frames_are_counted_and_named(episode):
    episode.captured["camera/front"] = np.delete(episode.captured["camera/front"], [10, 11, 12, 50, 80])
    quality = episode.quality()
    assert quality.cameras["front"].lost == 5
    assert quality.frames_expected == 2 * FRAMES
    assert f"front dropped 5 of {FRAMES} frames" in reasons(quality)
    assert "wrist" not in reasons(quality)


@given(st.lists(st.integers(1, 98), max_size=30, unique=True), st.integers(0, 2**32 - 1))
def test_losses_are_counted_exactly_whatever_the_jitter(gone, seed):
    jitter = np.random.default_rng(seed).uniform(-0.24, 0.24, 100) * PERIOD_NS
    captured_ns = (PERIOD_NS * np.arange(100) + jitter).astype(np.int64)
    assert stamps.count_lost(np.delete(captured_ns, gone), PERIOD_NS) == len(gone)


@given(st.integers(0, 99), st.floats(0.0, 8.0))
def test_a_frame_that_is_only_late_is_not_lost(late, by):
    """What follows waits behind it, and then comes at once."""
    captured_ns = PERIOD_NS * np.arange(120.0)
    captured_ns[late:] = np.maximum(captured_ns[late:], captured_ns[late] + by * PERIOD_NS)
    captured_ns += 1000.0 * np.arange(120)
    assert stamps.count_lost(captured_ns.astype(np.int64), PERIOD_NS) == 0


@given(st.floats(0.96, 1.2))
def test_a_camera_with_another_clock_loses_nothing(rate):
    captured_ns = (PERIOD_NS / rate * np.arange(1000)).astype(np.int64)
    assert stamps.count_lost(captured_ns, PERIOD_NS) == 0


@given(
    st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=50),
    st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=50),
)
def test_distances_are_to_the_nearest(wanted, captured):
    found = np.abs(stamps.distances_ns(np.array(wanted), np.array(captured)))
    assert (found == np.abs(np.subtract.outer(wanted, captured)).min(axis=1)).all()


def test_a_camera_that_comes_late_or_stops_lost_those_frames(episode):
    wrist, front = episode.captured["camera/wrist"], episode.captured["camera/front"]
    episode.captured |= {"camera/wrist": wrist[30:], "camera/front": front[:-60]}
    quality = episode.quality()
    assert "wrist came 1.0 s late" in reasons(quality)
    assert "front stopped 2.0 s before the end" in reasons(quality)
    assert abs(quality.cameras["wrist"].lost - 30) <= 1
    assert abs(quality.cameras["front"].lost - 60) <= 1


def test_a_missing_stream_is_named(episode):
    episode.captured |= {"camera/front": np.zeros(0, np.int64), "joint_commands": np.zeros(0, np.int64)}
    quality = episode.quality()
    assert "front sent no image" in reasons(quality)
    assert "no commands were recorded" in reasons(quality)
    assert quality.cameras["front"].lost == quality.cameras["front"].expected == FRAMES
    assert suspect(quality, replace(QualityBounds(), commands=False)) != suspect(quality, QualityBounds())


def test_a_slow_camera_is_named_with_its_rate(episode):
    episode.captured["camera/front"] = episode.captured["camera/front"][::2]
    assert "front ran at 15.0 Hz instead of 30" in reasons(episode.quality())


def test_cameras_and_joints_that_are_apart(episode):
    episode.captured["joint_states"] = episode.captured["joint_states"][::8]  # 80 ms
    episode.captured["camera/front"] = episode.captured["camera/front"][::5]  # 167 ms
    found = reasons(episode.quality())
    assert "images are up to" in found
    assert "cameras are up to" in found


def test_stamps_of_another_clock(episode):
    episode.delays_ns["camera/front"] = 700_000_000
    episode.captured["camera/front"] = episode.captured["camera/front"] - 700_000_000
    assert reasons(episode.quality()) == "front: stamps are 0.7 s behind this machine's clock"


def test_pictures_that_come_late_are_not_apart_from_the_joints(episode):
    episode.delays_ns["camera/front"] = 150_000_000  # the first ones were taken before the first joint state came
    episode.captured["camera/front"] = episode.captured["camera/front"] - 150_000_000
    assert not reasons(episode.quality())


def test_an_arm_whose_hand_speaks_for_itself_is_judged_alone():
    meter = QualityMeter(FPS, ("joint_states",), ("a",))
    for k in range(300):
        at_ns = k * 10_000_000
        if not 100 <= k < 150:
            meter.add("joint_states", b"..a..", at_ns, at_ns)
        meter.add("joint_states", b"..finger..", at_ns + 1, at_ns + 1)
    assert meter.result(0, 3 * 10**9).streams["joint_states"].gap_s == pytest.approx(0.51)


def test_frames_that_overtake_each_other_are_not_lost():
    meter = QualityMeter(FPS, ("camera/front",))
    for k in (0, 2, 1, 3, 4, 5):
        meter.add("camera/front", b"", round(k * 1e9 / FPS), round(k * 1e9 / FPS))
    assert meter.result(0, round(6e9 / FPS)).frames_lost == 0


def test_joint_gaps_and_clocks_that_go_back(episode):
    joints = np.delete(episode.captured["joint_states"], slice(100, 130))
    front = episode.captured["camera/front"].copy()
    front[60:] -= 500_000_000
    episode.captured["joint_states"] = joints
    found = reasons(episode.quality())
    assert "the arm's joint states were silent for 0.31 s" in found
    meter = QualityMeter(FPS, ("camera/front",))
    for captured_ns, received_ns in zip(front, episode.captured["camera/front"], strict=True):
        meter.add("camera/front", b"", int(captured_ns), int(received_ns))
    found = reasons(meter.result(BEGUN_NS, BEGUN_NS + SECONDS * 10**9))
    assert "front: the clock went back 1 times" in found


def test_the_same_picture_is_frozen_only_while_the_arm_moves(episode):
    episode.pictures["camera/front"][40:80] = episode.pictures["camera/front"][40]
    quality = episode.quality()
    assert 30 < quality.cameras["front"].frozen < 40
    assert "images show the same picture while the arm moved" in reasons(quality)
    episode.q = np.linspace(0.0, 0.9 * MOVED_RAD, 100 * SECONDS)
    assert episode.quality().cameras["front"].frozen == 0


def test_repeated_stamps(episode):
    front = episode.captured["camera/front"].copy()
    front[1::2] = front[::2]
    episode.captured["camera/front"] = front
    assert episode.quality().cameras["front"].repeated == FRAMES // 2
    assert "have the stamp of the one before" in reasons(episode.quality())


@pytest.mark.parametrize(("value", "what"), [(0, "black"), (255, "overexposed")])
def test_dark_and_bright_images(episode, value, what):
    episode.pictures["camera/wrist"][10:30] = value
    quality = episode.quality()
    assert getattr(quality.cameras["wrist"], what) == 20
    assert f"wrist: 20 of {FRAMES} images are {what}" in reasons(quality)


def test_a_camera_that_changes_its_size(episode, rng):
    meter = QualityMeter(FPS, ("camera/front",))
    for k, size in enumerate((16, 16, 32)):
        captured_ns = BEGUN_NS + k * PERIOD_NS
        meter.add(
            "camera/front",
            b"",
            captured_ns,
            captured_ns,
            image_message(rng.integers(30, 200, (size, size, 3), dtype=np.uint8)),
        )
    assert "front changed its size: 16x16, 32x32" in reasons(meter.result(BEGUN_NS, BEGUN_NS + 10**8))


def test_jpegs_are_judged_like_their_originals(episode, rng):
    picture = rng.integers(30, 200, (48, 64, 3), dtype=np.uint8)
    meter = QualityMeter(FPS, ("camera/front",))
    for k in range(3):
        jpeg = messages.to_jpeg(image_message(picture * (k > 0)), 95)
        meter.add("camera/front", b"", BEGUN_NS + k * PERIOD_NS, BEGUN_NS + k * PERIOD_NS, jpeg)
    front = meter.result(BEGUN_NS, BEGUN_NS + 10**8).cameras["front"]
    assert front.sizes == ("64x48",)
    assert front.black == 1
    assert front.unreadable == 0


def test_an_episode_of_zero_length_is_suspect():
    quality = QualityMeter(FPS, EXPECTED).result(BEGUN_NS, BEGUN_NS)
    assert "it lasted 0.0 s" in reasons(quality)
    assert quality.frames_expected == 0
