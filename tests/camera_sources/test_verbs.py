import json
import sys

import cv2
import pytest

from genima_core.camera_sources.lens import Lens
from genima_ros.cli import cameras as verbs
from genima_ros.cli import main as cli

from .fake_realsense import FakeDevice, FakeRealSense, FakeSensor, frame_queue


class Streaming(FakeSensor):
    """Sends a picture whenever it is asked for one; `silent`: none."""

    silent = False

    def start(self, queue: frame_queue) -> None:
        super().start(queue)
        take, numbers = queue.try_wait_for_frame, iter(range(1000))

        def send_and_take(timeout_ms: int) -> tuple:
            if not self.silent:
                self.send(next(numbers), 0.0)
            return take(timeout_ms)

        queue.try_wait_for_frame = send_and_take


@pytest.fixture
def connected(monkeypatch) -> list[FakeDevice]:
    found = [FakeDevice("222"), FakeDevice("111", "2.1")]
    for device in found:
        device.sensor = Streaming()
    monkeypatch.setattr(verbs, "import_realsense", lambda: FakeRealSense(*found))
    return found


def test_it_lists_and_saves_a_picture_of_each(connected, tmp_path, capsys):
    assert cli.run(["cameras", "--save", str(tmp_path / "pictures"), "--json", str(tmp_path / "cameras.json")]) == 0
    shown = capsys.readouterr().out
    assert "222" in shown
    assert "64x48 @ 15, 30" in shown
    assert "111 is connected by USB 2.1" in shown
    rows = json.loads((tmp_path / "cameras.json").read_text())["cameras"]
    assert [(row["serial"], row["usb2"], row["problem"]) for row in rows] == [("111", True, ""), ("222", False, "")]
    picture = cv2.imread(str(tmp_path / "pictures" / "222" / "picture.png"))
    lens = Lens.load(tmp_path / "pictures" / "222" / "intrinsics.json")
    assert (lens.camera.height, lens.camera.width, 3) == picture.shape


def test_a_camera_without_a_picture_is_told_and_the_others_are_saved(connected, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(verbs, "WITHIN_S", 0.0)
    connected[0].sensor.busy = "Device or resource busy"
    assert cli.run(["cameras", "--save", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert "222: no picture: " in shown
    assert "busy" in shown
    assert "111: no picture: nothing arrived within" in shown


def test_no_camera_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(verbs, "import_realsense", FakeRealSense)
    assert cli.run(["cameras"]) == 1
    assert capsys.readouterr().err.startswith("genima: no RealSense camera is connected; ")


def test_no_pyrealsense2_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyrealsense2", None)
    assert cli.run(["cameras"]) == 1
    assert "pip install '.[realsense]'" in capsys.readouterr().err
