import numpy as np
import pytest

from genima_core.camera_sources import realsense
from genima_core.camera_sources.lens import Lens
from genima_core.camera_sources.realsense import Profile, RealSenseConfig, SensorSource, open_realsense
from genima_core.camera_sources.source import SourceLost
from genima_core.cameras import PinholeCamera

from .fake_realsense import FakeDevice, FakeRealSense, distortion, option, timestamp_domain

NOW_S = 1.7e9


def open_one(
    rs: FakeRealSense,
    serial: str = "222",
    profile: str = "64x48x30",
    lens: Lens | None = None,
    reset: bool = False,
    **fixed: float,
) -> SensorSource:
    return open_realsense(rs, RealSenseConfig(serial, Profile.parse(profile), **fixed), lens, lambda: NOW_S, reset)


@pytest.fixture
def device() -> FakeDevice:
    return FakeDevice("222")


@pytest.fixture
def rs(device) -> FakeRealSense:
    return FakeRealSense(FakeDevice("111", "2.1"), device)


def test_it_opens_the_camera_with_the_serial_number(rs, device):
    source = open_one(rs)
    assert str((device.sensor.playing.width(), device.sensor.playing.fps())) == "(64, 30)"
    device.sensor.send(7, 1e3 * (NOW_S - 0.02))
    frame = source.read(0.1)
    assert (frame.number, frame.timing, frame.rgb.shape) == (7, "device", (48, 64, 3))
    assert frame.stamp_s == pytest.approx(NOW_S - 0.02, abs=1e-6)
    assert source.read(0.1) is None
    source.close()
    assert device.sensor.playing is None


def test_the_newest_pictures_wait_for_a_busy_reader(rs, device):
    source = open_one(rs)
    for number in range(10):
        device.sensor.send(number, 1e3 * NOW_S + number)
    assert [source.read(0.1).number for _ in range(2)] == [8, 9]


def test_an_unknown_serial_number_lists_those_that_are_there(rs):
    with pytest.raises(SourceLost, match=r"'333'.*D415 111, USB 2\.1; Intel RealSense D415 222, USB 3\.2"):
        open_one(rs, "333")
    with pytest.raises(SourceLost, match="connected are: none"):
        open_one(FakeRealSense())


def test_a_profile_that_it_lacks_lists_the_nearest(rs):
    with pytest.raises(ValueError, match=r"no colour profile 64x48x60; the nearest are 64x48x30, 64x48x15"):
        open_one(rs, profile="64x48x60")


def test_a_camera_in_use_says_so(rs, device):
    device.sensor.busy = "xioctl(VIDIOC_S_FMT) failed, errno=16 Last Error: Device or resource busy"
    with pytest.raises(SourceLost, match=r"222.*busy.*another program"):
        open_one(rs)


def test_unplugged_it_is_lost_and_comes_back(rs, device):
    source = open_one(rs)
    device.connected = False
    with pytest.raises(SourceLost, match="unplugged"):
        source.read(0.1)
    for reset in (False, True):
        with pytest.raises(SourceLost, match="there is no camera"):
            open_one(rs, reset=reset)
    device.connected = True
    with pytest.raises(SourceLost, match="restarts"):
        open_one(rs, reset=True)
    assert device.resets == 1
    open_one(rs)


def test_exposure_and_white_balance_are_fixed(rs, device):
    open_one(rs, exposure_us=8000.0, gain=64.0, white_balance_k=4600.0)
    options = device.sensor.options
    assert (options[option.exposure], options[option.gain], options[option.white_balance]) == (8000.0, 64.0, 4600.0)
    assert options[option.enable_auto_exposure] == options[option.enable_auto_white_balance] == 0.0
    open_one(rs)
    assert options[option.enable_auto_exposure] == options[option.enable_auto_white_balance] == 1.0
    assert options[option.auto_exposure_priority] == 0.0


@pytest.mark.parametrize("fixed", [{"exposure_us": 20000.0}, {"gain": -1.0}, {"white_balance_k": float("nan")}])
def test_values_out_of_range_are_refused(rs, fixed):
    with pytest.raises(ValueError, match=r"valid for this camera are \d+ to \d+"):
        open_one(rs, **fixed)


def test_an_option_that_it_lacks_is_refused(rs, device):
    device.sensor.lacks = {option.exposure, option.auto_exposure_priority}
    open_one(rs)
    with pytest.raises(ValueError, match="no exposure_us"):
        open_one(rs, exposure_us=100.0)


def test_intrinsics_of_another_size_are_refused(rs):
    lens = Lens(PinholeCamera(640, 480, 600.0, 600.0, 319.5, 239.5))
    with pytest.raises(ValueError, match="64x48.*640x480"):
        open_one(rs, lens=lens)


def test_ones_own_intrinsics_replace_the_cameras(rs):
    lens = Lens(PinholeCamera(64, 48, 61.0, 61.0, 32.0, 24.0), "plumb_bob", (0.1, 0.0, 0.0, 0.0, 0.0))
    assert open_one(rs, lens=lens).lens == lens


def test_a_distortion_that_is_unknown_is_refused(rs, device):
    for profile in device.sensor.profiles:
        profile.model, profile.coeffs = distortion.kannala_brandt4, [0.1] * 5
    with pytest.raises(ValueError, match="kannala_brandt4"):
        open_one(rs)


def test_usb_2_is_a_warning(rs):
    assert "USB 3 port" in open_one(rs, "111").warning
    assert open_one(rs).warning == ""


def test_host_time_is_told(rs, device):
    source = open_one(rs)
    device.sensor.send(1, 1e3 * NOW_S, timestamp_domain.system_time)
    assert source.read(0.1).timing == "host"


def test_a_clock_that_is_not_global_is_set_by_the_shortest_delay(device):
    """Pictures are taken every 33 ms by a clock that started with the camera, and arrive 20 to 60 ms later."""
    rng = np.random.default_rng(0)
    now_s = 0.0
    config = RealSenseConfig("222", Profile(64, 48, 30))
    source, boot_s, errors_s = open_realsense(FakeRealSense(device), config, None, lambda: now_s), NOW_S - 500.0, []
    for number in range(200):
        taken_s = NOW_S + number / 30
        now_s = taken_s + rng.uniform(0.02, 0.06)
        device.sensor.send(number, 1e3 * (taken_s - boot_s), timestamp_domain.hardware_clock)
        frame = source.read(0.1)
        assert frame.timing == "estimated"
        errors_s.append(frame.stamp_s - taken_s)
    assert max(errors_s[50:]) - min(errors_s[50:]) < 0.002
    assert max(errors_s[50:]) < 0.022


def test_a_missing_pyrealsense2_names_what_to_install(monkeypatch):
    def missing(name: str) -> None:
        raise ImportError("libusb-1.0.so.0: cannot open shared object file")

    monkeypatch.setattr(realsense.importlib, "import_module", missing)
    with pytest.raises(RuntimeError, match=r"libusb-1\.0\.so\.0.*\.\[realsense\].*apt-get install libusb-1\.0-0"):
        realsense.import_realsense()


def test_frames_of_librealsense_itself(rng):
    rs = pytest.importorskip("pyrealsense2", reason="feeds a software_device", exc_type=ImportError)
    device = rs.software_device()
    sensor = device.add_sensor("RGB Camera")
    intrinsics = rs.intrinsics()
    intrinsics.width, intrinsics.height = 64, 48
    intrinsics.fx, intrinsics.fy, intrinsics.ppx, intrinsics.ppy = 60.0, 61.0, 31.5, 23.5
    intrinsics.model, intrinsics.coeffs = rs.distortion.inverse_brown_conrady, [0.1, -0.05, 0.001, 0.002, 0.0]
    stream = rs.video_stream()
    stream.type, stream.fmt, stream.index, stream.uid = rs.stream.color, rs.format.rgb8, 0, 1
    stream.width, stream.height, stream.fps, stream.bpp, stream.intrinsics = 64, 48, 30, 3, intrinsics
    profile = sensor.add_video_stream(stream)
    source = SensorSource(rs, device, sensor, profile, None, lambda: NOW_S)
    assert source.lens.camera == PinholeCamera(64, 48, 60.0, 61.0, 31.5, 23.5)
    assert source.lens.coefficients == pytest.approx((0.1, -0.05, 0.001, 0.002, 0.0))
    taken = []
    for number in range(5):
        pixels = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        frame = rs.software_video_frame()
        frame.profile, frame.frame_number = profile.as_video_stream_profile(), number
        frame.stride, frame.bpp = 3 * 64, 3
        frame.timestamp, frame.domain = 1e3 * (NOW_S + number / 30), rs.timestamp_domain.global_time
        frame.pixels = pixels
        sensor.on_video_frame(frame)
        taken.append((pixels, source.read(1.0)))
    assert [got.number for _, got in taken] == list(range(5))
    assert all((pixels == got.rgb).all() for pixels, got in taken)
    assert [got.stamp_s - NOW_S for _, got in taken] == pytest.approx([i / 30 for i in range(5)], abs=1e-5)
    assert {got.timing for _, got in taken} == {"device"}
    assert source.read(0.01) is None
    source.close()
