from pathlib import Path

import cv2
import numpy as np
import pytest

from genima_core.camera_sources.playback import Playback, play_folder, play_video

from .scripted import LENS, Clock


def save_pictures(folder: Path, count: int, size: tuple[int, int] = (64, 48)) -> Path:
    """Pictures whose red is 10, 20, ... and whose blue is 200."""
    folder.mkdir(exist_ok=True)
    for i in range(count):
        rgb = np.full((size[1], size[0], 3), (10 * (i + 1), 0, 200), np.uint8)
        cv2.imwrite(str(folder / f"{i:03}.png"), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    return folder


def play_pictures(folder: Path, clock: Clock, fps: float = 10.0) -> Playback:
    return play_folder(folder, fps, LENS, clock)


def play_film(path: Path, clock: Clock) -> Playback:
    return play_video(path, LENS, clock)


def test_a_folder_is_played_over_and_over_at_its_rate(tmp_path):
    clock = Clock()
    source = play_pictures(save_pictures(tmp_path / "pictures", 3), clock)
    start_s, frames = clock.ros_s(), [source.read(0.2) for _ in range(7)]
    assert [f.rgb[0, 0].tolist() for f in frames] == [[10 * (i % 3 + 1), 0, 200] for i in range(7)]
    assert [f.number for f in frames] == list(range(1, 8))
    assert [f.stamp_s - start_s for f in frames] == pytest.approx([0.1 * i for i in range(7)], abs=1e-6)


def test_it_gives_nothing_before_the_time(tmp_path):
    clock = Clock()
    source = play_pictures(save_pictures(tmp_path / "pictures", 2), clock)
    source.read(0.05)
    before_s = clock.now_s
    assert source.read(0.05) is None
    assert clock.now_s - before_s == pytest.approx(0.05)


def test_a_slow_reader_gets_pictures_of_now(tmp_path):
    clock = Clock()
    source = play_pictures(save_pictures(tmp_path / "pictures", 3), clock)
    source.read(0.2)
    clock.wait(5.0)
    late = source.read(0.2)
    assert (late.number, late.stamp_s) == (2, clock.ros_s())


def test_a_video_has_its_own_rate(tmp_path):
    video = pytest.importorskip("genima_core.data.video", reason="needs PyAV")
    shades = np.array([40, 120, 200], np.uint8)
    pictures = np.broadcast_to(shades[:, None, None, None], (3, 48, 64, 3))
    video.encode(tmp_path / "film.mp4", pictures, 20)
    clock = Clock()
    source = play_film(tmp_path / "film.mp4", clock)
    start_s, frames = clock.ros_s(), [source.read(0.2) for _ in range(5)]
    assert [float(f.rgb.mean()) for f in frames] == pytest.approx([40, 120, 200, 40, 120], abs=3)
    assert [f.stamp_s - start_s for f in frames] == pytest.approx([0.05 * i for i in range(5)], abs=1e-6)
    source.close()


def test_what_is_no_source_is_explained(tmp_path):
    clock = Clock()
    with pytest.raises(FileNotFoundError, match="does not exist"):
        play_pictures(tmp_path / "none", clock)
    with pytest.raises(ValueError, match=r"no pictures.*\.png"):
        play_pictures(tmp_path, clock)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"broken\.png"):
        play_pictures(tmp_path, clock)
    with pytest.raises(FileNotFoundError, match="no video"):
        play_film(tmp_path / "none.mp4", clock)
    with pytest.raises(ValueError, match="cannot be read as a video"):
        play_film(tmp_path / "broken.png", clock)


def test_pictures_of_another_size_than_the_intrinsics_are_refused(tmp_path):
    with pytest.raises(ValueError, match="32x24.*64x48"):
        play_pictures(save_pictures(tmp_path / "pictures", 1, (32, 24)), Clock())


def test_a_picture_that_breaks_later_is_an_error_of_that_moment(tmp_path):
    folder = save_pictures(tmp_path / "pictures", 2)
    source: Playback = play_pictures(folder, Clock())
    (folder / "001.png").unlink()
    source.read(0.2)
    with pytest.raises(FileNotFoundError, match=r"001\.png"):
        source.read(0.2)
