"""Episodes are written as they arrive, judged when they end, and kept whatever breaks."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genima_core.data.bags import messages
from genima_core.data.bags.episode_info import EpisodeInfo, folder_of, next_number, number_of
from genima_core.data.bags.meter import quality_of_bag
from genima_core.data.bags.reader import open_bag
from genima_core.data.bags.recording import UNFINISHED, EpisodeRecorder, Message, RecordingConfig

IMAGE, JPEG, TEXT = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "std_msgs/msg/String"
JOINT_STATE = "sensor_msgs/msg/JointState"
BEGUN_NS = 1_700_000_000_000_000_000
PERIOD_NS = 33_333_333
CONFIG = RecordingConfig(reserve_mb=0.0)
STREAMS = {"camera/front": "/front/color/image_raw", "joint_states": "/joint_states", "instruction": "/instruction"}
INFO = EpisodeInfo(task="push_button", instruction="push it", streams=STREAMS)
ROOT = Path(__file__).parents[3]


def quality_of(folder):
    bag = open_bag(folder)
    return quality_of_bag(bag, bag.info)


def image(k: int, size: int = 32) -> Message:
    picture = np.random.default_rng(k).integers(30, 200, (size, size, 3), dtype=np.uint8)
    stamp_ns = BEGUN_NS + k * PERIOD_NS
    message = messages.typestore().types[IMAGE](header(stamp_ns), size, size, "rgb8", 0, 3 * size, picture.ravel())
    return Message("/front/color/image_raw", IMAGE, messages.serialize(message, IMAGE), stamp_ns + 10**6, stamp_ns)


def joint_state(k: int) -> Message:
    stamp_ns = BEGUN_NS + k * PERIOD_NS // 3
    message = messages.typestore().types[JOINT_STATE](
        header(stamp_ns), list(INFO.arm.joint_names), np.full(7, 0.01 * k), np.zeros(7), np.zeros(0)
    )
    return Message("/joint_states", JOINT_STATE, messages.serialize(message, JOINT_STATE), stamp_ns + 10**6, stamp_ns)


def text(words: str, at_ns: int) -> Message:
    data = messages.serialize(messages.typestore().types[TEXT](words), TEXT)
    return Message("/instruction", TEXT, data, at_ns, at_ns)


def header(stamp_ns: int):
    types = messages.typestore().types
    return types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 10**9)), "front")


def feed(recorder: EpisodeRecorder, frames: int) -> int:
    """Adds so many images and three times the joint states; when the last of them came."""
    for k in range(frames):
        recorder.add(image(k))
        for j in range(3):
            recorder.add(joint_state(3 * k + j))
    return BEGUN_NS + frames * PERIOD_NS


def start(folder: Path, config: RecordingConfig = CONFIG, **more) -> EpisodeRecorder:
    return EpisodeRecorder(folder, INFO, ("camera/front", "joint_states"), config, BEGUN_NS, **more)


def test_what_came_is_in_the_bag(tmp_path):
    latched = text("push the red one", 5)
    recorder = start(tmp_path / "episode_000000", latched=[latched])
    recorder.relabel("success")
    assert EpisodeInfo.load(recorder.folder).label == "success"  # at once: a killed recorder loses no label
    info = recorder.finish(feed(recorder, 30), "push the red one")
    assert info == EpisodeInfo.load(recorder.folder)
    assert (info.label, info.instruction, info.suspect) == ("success", "push the red one", ())
    bag = open_bag(recorder.folder)
    stored = list(bag.messages())
    assert bag.finished
    assert {name: topic.count for name, topic in bag.topics.items()} == {
        "/front/color/image_raw/compressed": 30,
        "/joint_states": 90,
        "/instruction": 1,
    }
    assert stored[0].topic == "/instruction"
    assert (stored[0].received_ns, stored[0].published_ns) == (BEGUN_NS, 5)
    assert [m.data for m in stored if m.topic == "/joint_states"] == [joint_state(k).data for k in range(90)]
    first = next(m for m in stored if m.type == JPEG)
    assert (first.received_ns, first.published_ns) == (BEGUN_NS + 10**6, BEGUN_NS)
    assert messages.header_stamp_ns(first.data, JPEG) == BEGUN_NS
    assert info.streams["camera/front"] == "/front/color/image_raw/compressed"


def test_raw_images_are_stored_byte_by_byte(tmp_path):
    recorder = start(tmp_path / "e", replace(CONFIG, images="raw"))
    recorder.finish(feed(recorder, 3))
    stored = [m.data for m in open_bag(recorder.folder).messages({"/front/color/image_raw"})]
    assert stored == [image(k).data for k in range(3)]


def test_an_image_that_cannot_be_read_is_kept_as_it_came(tmp_path):
    recorder = start(tmp_path / "e")
    broken = messages.typestore().types[IMAGE](header(BEGUN_NS), 2, 2, "32FC1", 0, 4, np.zeros(8, np.uint8))
    message = image(0)._replace(data=messages.serialize(broken, IMAGE))
    recorder.add(message)
    info = recorder.finish(BEGUN_NS + 10**9)
    assert [m.data for m in open_bag(recorder.folder).messages()] == [message.data]
    assert any("32FC1" in reason for reason in info.suspect)


@pytest.mark.parametrize("images", ["jpeg", "raw"])
def test_bytes_that_are_no_image_are_counted_and_the_recording_goes_on(tmp_path, images):
    recorder = start(tmp_path / "e", replace(CONFIG, images=images))
    recorder.add(image(0))
    for data in (b"", b"\x00\x01\x00\x00", b"\xff" * 50, image(1).data[:60], image(1).data[:-1]):
        recorder.add(image(1)._replace(data=data))
    info = recorder.finish(feed(recorder, 30))
    assert recorder.problem == ""
    front = info.quality["cameras"]["front"]
    assert (front["messages"], front["unreadable"]) == (36, 5)
    assert any("front: 5 images cannot be read" in reason for reason in info.suspect)
    assert sum(topic.count for topic in open_bag(recorder.folder).topics.values()) == 36 + 90
    again = quality_of(recorder.folder).cameras["front"]
    assert again.unreadable == (5 if images == "raw" else 0)  # what cannot be compressed lies on the camera's own topic


def test_the_quality_of_the_bag_is_the_one_measured_on_the_way(tmp_path):
    recorder = start(tmp_path / "e")
    info = recorder.finish(feed(recorder, 40))
    again = quality_of(recorder.folder).to_dict()
    for key in ("frames_expected", "frames_lost", "skew_ms_p99", "joint_skew_ms_p99", "joint_skew_ms_max"):
        assert again[key] == info.quality[key]
    assert again["cameras"]["front"]["rate_hz"] == info.quality["cameras"]["front"]["rate_hz"]


def test_an_existing_folder_is_not_touched(tmp_path):
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "precious").write_text("x")
    with pytest.raises(FileExistsError):
        start(tmp_path / "e")
    assert [p.name for p in (tmp_path / "e").iterdir()] == ["precious"]


def test_discarding_removes_it_running_or_finished(tmp_path):
    running, finished = start(tmp_path / "a"), start(tmp_path / "b")
    feed(running, 3)
    running.discard()
    finished.finish(feed(finished, 3))
    finished.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_label_can_be_given_later(tmp_path):
    recorder = start(tmp_path / "e")
    recorder.finish(feed(recorder, 3))
    recorder.relabel("failure")
    assert EpisodeInfo.load(recorder.folder).label == "failure"
    assert EpisodeInfo.load(recorder.folder).quality == recorder.info.quality


def test_too_little_space_stops_it_and_keeps_what_there_is(tmp_path):
    asked = threading.Event()

    def free(_: Path) -> int:
        asked.set()
        return 10**6

    recorder = start(tmp_path / "e", replace(CONFIG, reserve_mb=500.0), flush_s=0.0, free=free)
    ended_ns = feed(recorder, 5)
    while not recorder.problem:
        asked.wait()
    info = recorder.finish(ended_ns)
    assert "500 MB" in info.suspect[0]
    assert open_bag(recorder.folder).finished


def test_minutes_left_are_told(tmp_path):
    recorder = start(tmp_path / "e", replace(CONFIG, reserve_mb=1.0), flush_s=0.0, free=lambda _: 61 * 10**6)
    ended_ns = feed(recorder, 5)
    while recorder.minutes_left is None:
        recorder.add(joint_state(15))
    assert recorder.minutes_left > 0
    recorder.finish(ended_ns)


def test_a_full_queue_is_counted_and_makes_it_suspect(tmp_path):
    recorder = start(tmp_path / "e", replace(CONFIG, queue_mb=0.0))
    for k in range(2000):
        recorder.add(image(0, 8)._replace(received_ns=BEGUN_NS + k))
    info = recorder.finish(BEGUN_NS + 10**9)
    stored = open_bag(recorder.folder).topics["/front/color/image_raw/compressed"].count
    assert recorder.overflow == info.quality["overflow"] == 2000 - stored > 0
    assert any("queue" in reason for reason in info.suspect)


def child(script: str, *arguments: object) -> subprocess.Popen:
    """Runs a script that can use this module's names."""
    lines = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom test_recording import *\n"
    return subprocess.Popen(
        [sys.executable, "-c", lines + textwrap.dedent(script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_kill_9_leaves_all_that_was_flushed(tmp_path):
    """The child says how many images were there when the writer last flushed."""
    process = child(
        """
        recorder = start(Path(sys.argv[1]), flush_s=0.0)
        for k in range(10**6):
            recorder.add(image(k))
            recorder.add(joint_state(k))
            while recorder.waiting_mb > 0:
                pass
            if k % 10 == 9:
                size = recorder.written_mb
                while recorder.written_mb == size:  # the next flush, which writes nothing else than these
                    recorder.add(joint_state(k))
                print(k + 1, flush=True)
        """,
        tmp_path / "e",
    )
    for _ in range(3):
        told = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    bag = open_bag(tmp_path / "e")
    assert not bag.finished
    assert sum(m.type == JPEG for m in bag.messages()) >= told
    assert bag.info.suspect == (UNFINISHED,)
    assert bag.info.instruction == "push it"
    assert quality_of(tmp_path / "e").cameras["front"].messages >= told


def test_a_disk_error_stops_it_and_keeps_what_was_written(tmp_path):
    """A limit of the file size gives the error that a full disk gives, in the midst of a write."""
    process = child(
        """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        recorder = start(Path(sys.argv[1]), flush_s=0.0)
        k = 0
        while not recorder.problem:
            recorder.add(image(k, 64))
            k += 1
        info = recorder.finish(BEGUN_NS + k * PERIOD_NS)
        print(info.suspect[0], flush=True)
        """,
        tmp_path / "e",
    )
    told, _ = process.communicate()
    assert process.returncode == 0
    assert "writing stopped" in told
    assert "make space" in told
    bag = open_bag(tmp_path / "e")
    stored = sum(1 for _ in bag.messages())
    assert stored > 10
    assert "writing stopped" in bag.info.suspect[0]


def test_numbers_go_on_after_what_is_there(tmp_path):
    assert next_number(tmp_path / "none") == next_number(tmp_path) == 0
    for name in ("episode_000002", "episode_000007", "notes", "episode_x"):
        (tmp_path / name).mkdir()
    assert next_number(tmp_path) == 8
    assert number_of(folder_of(tmp_path, 8)) == 8


def test_the_verdict_is_one_line(tmp_path):
    recorder = start(tmp_path / "episode_000003")
    recorder.finish(feed(recorder, 30))
    assert recorder.verdict == "episode 3: 1.0 s, 30 frames a camera, ok"
    recorder.info = replace(recorder.info, suspect=("a", "b"))
    assert recorder.verdict.endswith("suspect: a; b")
