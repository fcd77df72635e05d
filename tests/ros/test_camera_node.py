import os
from itertools import pairwise
from threading import Event, Thread

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

import rclpy
from sensor_msgs.msg import CameraInfo, Image

from genima_core.camera_sources.lens import Lens
from genima_core.camera_sources.source import Clock, Frame, SourceLost
from genima_core.cameras import PinholeCamera
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.status import read_diagnostics
from genima_ros.nodes.camera_node import CameraNode, CameraParameters, make_opener
from genima_ros.nodes.cameras.topic_source import camera_info_to_lens

pytestmark = pytest.mark.ros

NO_TIME = Clock(float, float, float)
LENS = Lens(PinholeCamera(64, 48, 60.0, 60.0, 31.5, 23.5))


class Live:
    """Gives a picture every 20 ms; a test unplugs it, freezes it, and says whose clock stamps its pictures."""

    lens, warning, live, timing = LENS, "", True, "device"
    plugged, frozen = True, False

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.number = self.opened = self.resets = 0

    def __call__(self, reset: bool) -> "Live":
        self.resets += reset
        if not self.plugged:
            raise SourceLost("there is no camera")
        self.opened += 1
        return self

    def read(self, timeout_s: float) -> Frame | None:
        self.clock.wait(0.02)
        if not self.plugged:
            raise SourceLost("unplugged")
        self.number += not self.frozen
        rgb = np.full((48, 64, 3), self.number % 256, np.uint8)
        return Frame(rgb, self.clock.ros_s(), self.number, self.lens, self.timing)

    def close(self) -> None:
        pass


@pytest.fixture
def start(bench):
    """Starts camera nodes, and ends their threads."""
    nodes = []

    def begin(*args, **parameters) -> CameraNode:
        nodes.append(bench.node(CameraNode, *args, parameters={"name": "front", "look_s": 0.0, **parameters}))
        return nodes[-1]

    yield begin
    for node in nodes:
        node.close()


@pytest.fixture
def live(start):
    """A node that reads a `Live`; returns that."""
    made = []

    def begin(**parameters) -> Live:
        def make(_, clock: Clock) -> Live:
            made.append(Live(clock))
            return made[-1]

        start(make, serial="222", freeze_s=0.1, retry_s=0.01, retry_longest_s=0.02, diagnostics_s=0.1, **parameters)
        return made[-1]

    return begin


def values(diagnostics: list) -> dict:
    return read_diagnostics(diagnostics[-1]).get("camera", {}) if diagnostics else {}


def stamps_s(messages: list) -> list[float]:
    return [conversions.seconds(message.header.stamp) for message in messages]


def picture_folder(path, count: int = 3, lens: Lens = LENS):
    path.mkdir()
    lens.save(path / "intrinsics.json")
    for i in range(count):
        bgr = np.full((lens.camera.height, lens.camera.width, 3), (200, 0, 10 * (i + 1)), np.uint8)
        cv2.imwrite(str(path / f"{i}.png"), bgr)
    return path


def test_a_folder_becomes_a_camera_of_the_working_size(bench, start, tmp_path):
    images = bench.listen(interfaces.camera_image("front"))
    infos = bench.listen(interfaces.camera_info("front"))
    start(
        source="folder",
        path=str(picture_folder(tmp_path / "pictures")),
        profile="64x48x50",
        crop="square",
        size="24x24",
    )
    bench.until(lambda: len(images) >= 6 and len(infos) >= 6)
    assert conversions.camera_info_to_camera(infos[0]) == LENS.camera.crop(8, 0, 48, 48).resize(24, 24)
    rgb = conversions.image_to_rgb(images[0])
    assert rgb.shape == (24, 24, 3)
    assert rgb[0, 0, 0] in (10, 20, 30)
    assert rgb[0, 0, 2] == 200
    assert images[0].header.frame_id == infos[0].header.frame_id == "front_color_optical_frame"
    assert set(stamps_s(images)) & set(stamps_s(infos))
    assert stamps_s(images) == sorted(set(stamps_s(images)))
    assert abs(bench.now_s() - stamps_s(images)[-1]) < 30.0


def test_a_video_becomes_a_camera(bench, start, tmp_path):
    video = pytest.importorskip("genima_core.data.video", reason="needs PyAV")
    video.encode(tmp_path / "film.mp4", np.full((5, 48, 64, 3), 120, np.uint8), 50)
    LENS.save(tmp_path / "lens.json")
    images = bench.listen(interfaces.camera_image("front"))
    start(source="video", path=str(tmp_path / "film.mp4"), intrinsics=str(tmp_path / "lens.json"), frame_id="eye")
    bench.until(lambda: len(images) >= 8)
    assert conversions.image_to_rgb(images[0]).mean() == pytest.approx(120, abs=3)
    assert images[0].header.frame_id == "eye"
    assert stamps_s(images) == sorted(set(stamps_s(images)))


def test_distorted_pictures_are_straightened(bench, start, tmp_path):
    lens = Lens(LENS.camera, "inverse_brown_conrady", (0.1, 0.0, 0.0, 0.0, 0.0))
    infos = bench.listen(interfaces.camera_info("front"))
    start(source="folder", path=str(picture_folder(tmp_path / "pictures", lens=lens)))
    bench.until(lambda: infos)
    assert conversions.camera_info_to_camera(infos[0]) == LENS.camera
    assert not any(infos[0].d)


class Driver:
    """Another camera driver, spun by nobody: it only publishes; a thread of its own keeps it going."""

    def __init__(self, info: CameraInfo) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=int(os.environ["ROS_DOMAIN_ID"]))
        self._node = rclpy.create_node("driver", context=self._context)
        self._images = self._node.create_publisher(Image, "/camera/front/color/image_raw", interfaces.RELIABLE)
        self._infos = self._node.create_publisher(CameraInfo, "/camera/front/color/camera_info", interfaces.RELIABLE)
        self._info, self._number, self.frozen, self._ended = info, 0, False, Event()
        self._thread = Thread(target=self._play, daemon=True)
        self._thread.start()

    def _play(self) -> None:
        while not self._ended.wait(0.02):
            self._number += not self.frozen
            now_s = self._node.get_clock().now().nanoseconds * 1e-9
            rgb = np.full((48, 64, 3), self._number % 200, np.uint8)
            self._info.header.stamp = conversions.to_time(now_s)
            self._infos.publish(self._info)
            self._images.publish(conversions.rgb_to_image(rgb, now_s, "driver_frame"))

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)


@pytest.fixture
def drive():
    """Starts drivers, and ends them."""
    drivers = []

    def begin(info: CameraInfo) -> Driver:
        drivers.append(Driver(info))
        return drivers[-1]

    yield begin
    for driver in drivers:
        driver.close()


def distorted_info() -> CameraInfo:
    info = conversions.camera_to_camera_info(LENS.camera, 0.0)
    info.d = [0.1, 0.0, 0.0, 0.0, 0.0]
    return info


def test_another_drivers_topic_becomes_a_camera_of_the_working_size(bench, start, drive):
    drive(distorted_info())
    images, infos = bench.listen(interfaces.camera_image("front")), bench.listen(interfaces.camera_info("front"))
    start(source="topic", topic="/camera/front/color/image_raw", crop="square", size="24x24")
    bench.until(lambda: len(images) >= 6 and infos)
    assert conversions.camera_info_to_camera(infos[0]) == LENS.camera.crop(8, 0, 48, 48).resize(24, 24)
    assert conversions.image_to_rgb(images[0]).shape == (24, 24, 3)
    assert stamps_s(images) == sorted(set(stamps_s(images)))


def test_the_same_pixels_under_new_stamps_are_a_frozen_stream(bench, start, drive):
    driver = drive(distorted_info())
    images, diagnostics = bench.listen(interfaces.camera_image("front")), bench.listen(interfaces.DIAGNOSTICS)
    start(source="topic", topic="/camera/front/color/image_raw", freeze_s=0.2, retry_s=0.01, diagnostics_s=0.1)
    bench.until(lambda: images)
    driver.frozen = True
    bench.until(bench.problem("camera", diagnostics, "frozen"))
    count = len(images)
    driver.frozen = False
    bench.until(lambda: len(images) >= count + 5)
    shades = [int(conversions.image_to_rgb(message)[24, 32, 0]) for message in images]
    assert all(one != other for one, other in pairwise(shades))


def test_of_a_rectified_topic_the_projection_counts():
    info = distorted_info()
    info.p = [50.0, 0.0, 30.0, 0.0, 0.0, 51.0, 20.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert camera_info_to_lens(info, rectified=True) == Lens(PinholeCamera(64, 48, 50.0, 51.0, 30.0, 20.0))
    assert camera_info_to_lens(info).coefficients == (0.1, 0.0, 0.0, 0.0, 0.0)


def test_a_topic_where_nothing_comes_is_explained(start, monkeypatch):
    monkeypatch.setattr("genima_ros.nodes.cameras.topic_source.OPEN_S", 0.1)
    with pytest.raises(OSError, match=r"nothing arrives on /camera/front/color/image_raw and .*camera_info"):
        start(source="topic", topic="/camera/front/color/image_raw")
    with pytest.raises(ValueError, match="full name"):
        start(source="topic", topic="front")


def test_unplugged_and_plugged_in_again_the_same_topic_goes_on(bench, live):
    images, diagnostics = bench.listen(interfaces.camera_image("front")), bench.listen(interfaces.DIAGNOSTICS)
    camera = live()
    bench.until(lambda: len(images) >= 3)
    camera.plugged = False
    bench.until(bench.problem("camera", diagnostics, "there is no camera; it will be opened again"))
    bench.until(lambda: camera.resets >= 1)
    count = len(images)
    camera.plugged = True
    bench.until(lambda: len(images) >= count + 5)
    bench.until(lambda: values(diagnostics).get("connected") == "True" and values(diagnostics)["reopened"] >= 1)
    assert stamps_s(images) == sorted(set(stamps_s(images)))
    assert camera.opened == 2


def test_a_frozen_stream_sends_nothing_and_is_opened_again(bench, live):
    images, diagnostics = bench.listen(interfaces.camera_image("front")), bench.listen(interfaces.DIAGNOSTICS)
    camera = live()
    bench.until(lambda: images)
    camera.frozen = True
    bench.until(bench.problem("camera", diagnostics, "frozen"))
    camera.frozen = False
    count = len(images)
    bench.until(lambda: len(images) >= count + 5)
    shades = [int(message.data[0]) for message in images]
    assert len(set(shades)) == len(shades)
    bench.until(lambda: values(diagnostics)["repeated"] > 0 and values(diagnostics)["frozen"] > 0)


def test_stamps_of_the_host_are_a_warning(bench, live):
    diagnostics = bench.listen(interfaces.DIAGNOSTICS)
    live().timing = "host"
    bench.until(bench.problem("camera", diagnostics, "no time of its own"))


def test_a_warning_of_the_device_is_shown(bench, live):
    diagnostics = bench.listen(interfaces.DIAGNOSTICS)
    live().warning = "is connected by USB 2"
    bench.until(bench.problem("camera", diagnostics, "front: is connected by USB 2"))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_of_its_own_ends_it(bench, live):
    """Rather than that it stays and sends nothing: whoever started it starts it again."""
    live().lens = None
    with pytest.raises(RuntimeError, match="thread that reads front has ended"):
        bench.until(lambda: False)


def test_two_nodes_for_one_camera_are_refused(bench, start, tmp_path):
    folder = str(picture_folder(tmp_path / "pictures"))
    start(source="folder", path=folder)
    with pytest.raises(ValueError, match=r"/front/color/image_raw has a publisher already"):
        start(source="folder", path=folder)
    start(source="folder", path=folder, name="wrist")


def test_it_looks_for_a_node_of_another_process(start, tmp_path):
    """Which it hears of only after a moment."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(os.environ["ROS_DOMAIN_ID"]))
    other = rclpy.create_node("other", context=context)
    interfaces.publish(other, interfaces.camera_image("front"))
    with pytest.raises(ValueError, match="has a publisher already"):
        start(source="folder", path=str(picture_folder(tmp_path / "pictures")), look_s=60.0)
    other.destroy_node()
    rclpy.shutdown(context=context)


def test_a_second_publisher_that_comes_later_is_a_warning(bench, live):
    diagnostics = bench.listen(interfaces.DIAGNOSTICS)
    live()
    interfaces.publish(bench.probe, interfaces.camera_image("front"))
    bench.until(bench.problem("camera", diagnostics, "2 publishers"))


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"name": "", "serial": "1"}, "call the node camera_front"),
        ({"serial": "1", "diagnostics_s": 0.0}, "diagnostics_s"),
        ({"serial": "1", "freeze_s": 0.0}, "freeze_s"),
        ({"serial": "1", "resolution": "640x480"}, "valid are .*name, source"),
    ],
)
def test_wrong_parameters_are_explained(start, parameters, text):
    with pytest.raises(ValueError, match=text):
        start(lambda _, clock: Live(clock), **parameters)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [({"crop": "round"}, "square"), ({"crop": "50,0,48,48"}, "64x48"), ({"size": "256"}, "256x256")],
)
def test_cuts_that_the_camera_lacks_are_explained(start, tmp_path, parameters, text):
    with pytest.raises(ValueError, match=text):
        start(source="folder", path=str(picture_folder(tmp_path / "pictures")), **parameters)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({}, "serial number; genima cameras"),
        ({"serial": "1", "profile": "640x480"}, "640x480x30"),
        ({"serial": "1", "exposure_us": 40000.0}, "longer than the 33333 us"),
        ({"source": "folder"}, "needs a path"),
        ({"source": "video"}, "needs a path"),
        ({"source": "topic"}, "topic is ''; it must be a full name .* such as /camera/front/color/image_raw"),
        ({"source": "webcam"}, "'webcam'; valid are folder, realsense, topic, video"),
    ],
)
def test_what_a_source_lacks_is_explained(parameters, text):
    with pytest.raises(ValueError, match=text):
        make_opener(CameraParameters(name="front", **parameters), NO_TIME)


def test_a_folder_without_intrinsics_is_refused(tmp_path):
    parameters = CameraParameters(name="front", source="folder", path=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"intrinsics\.json"):
        make_opener(parameters, NO_TIME)
