"""Bags as rosbag2 writes them, and what is left of them when the writer dies."""

import os
import random
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader

from genima_core.data.bags import messages
from genima_core.data.bags.reader import open_bag
from genima_core.data.bags.storage import METADATA
from genima_core.data.bags.writer import BagWriter

from . import recorded

STRING = "std_msgs/msg/String"
QOS = "\n".join(
    [
        "- history: keep_last",
        "  depth: 1",
        "  reliability: reliable",
        "  durability: volatile",
        *(f"  {name}: {{sec: 0, nsec: 0}}" for name in ("deadline", "lifespan")),
        "  liveliness: automatic",
        "  liveliness_lease_duration: {sec: 0, nsec: 0}",
        "  avoid_ros_namespace_conventions: false",
    ]
)

CHILD = """
import sys
from pathlib import Path
from genima_core.data.bags import messages
from genima_core.data.bags.writer import BagWriter

text = messages.typestore().types["std_msgs/msg/String"]
writer = BagWriter(Path(sys.argv[1]))
number = 0
while True:
    for _ in range(50):
        data = messages.serialize(text(str(number) + "x" * 200), "std_msgs/msg/String")
        writer.write("/text", "std_msgs/msg/String", data, number, number)
        number += 1
    writer.flush()
    print(number, flush=True)
"""


def test_what_is_written_can_be_read_by_everybody(tmp_path):
    folder = recorded.write(tmp_path / "episode_000000")
    ours = list(open_bag(folder).messages())
    with Reader(folder) as reader:
        theirs = [(c.topic, bytes(data), at_ns) for c, at_ns, data in reader.messages()]
        assert reader.message_count == len(ours) == len(theirs)
        assert reader.ros_distro == "jazzy"
        assert reader.duration == max(m.received_ns for m in ours) - min(m.received_ns for m in ours) + 1
    assert sorted(theirs) == sorted((m.topic, m.data, m.received_ns) for m in ours)
    with AnyReader([folder]) as reader:
        image = next(c for c in reader.connections if c.topic == "/front/color/image_raw/compressed")
        _, _, data = next(reader.messages([image]))
        assert messages.image_to_rgb(reader.deserialize(data, image.msgtype)).shape == (32, 32, 3)
    with open_bag(folder).files[0].open("rb") as file:
        summary = make_reader(file, validate_crcs=True).get_summary()
    assert summary.statistics.message_count == len(ours)
    assert {schema.encoding for schema in summary.schemas.values()} == {"ros2msg"}
    assert {channel.message_encoding for channel in summary.channels.values()} == {"cdr"}


def test_times_and_profiles_are_kept(tmp_path):
    writer = BagWriter(tmp_path / "bag")
    writer.write("/text", STRING, text("a"), 20, 10, QOS)
    writer.close()
    (message,) = open_bag(tmp_path / "bag").messages()
    assert (message.received_ns, message.published_ns) == (20, 10)
    with Reader(tmp_path / "bag") as reader:
        (profile,) = reader.connections[0].ext.offered_qos_profiles
        assert profile.depth == 1


def test_an_empty_bag_is_a_bag(tmp_path):
    BagWriter(tmp_path / "bag").close()
    with Reader(tmp_path / "bag") as reader:
        assert reader.message_count == 0


@pytest.mark.parametrize("compression", ["zstd", "lz4", "none"])
def test_each_compression_can_be_read(tmp_path, compression):
    writer = BagWriter(tmp_path / "bag", compression, chunk_bytes=1000)
    data = text("word " * 1000)
    for i in range(20):
        writer.write("/text", STRING, data, i, i)
    writer.close()
    assert (writer.bytes_written < 20 * len(data) / 4) == (compression != "none")
    with Reader(tmp_path / "bag") as reader:
        assert [bytes(d) for _, _, d in reader.messages()] == 20 * [data]


def test_a_bag_is_never_written_over(tmp_path):
    BagWriter(tmp_path / "bag").close()
    with pytest.raises(FileExistsError):
        BagWriter(tmp_path / "bag")


def test_a_topic_has_one_type(tmp_path):
    writer = BagWriter(tmp_path / "bag")
    writer.write("/text", STRING, text("a"), 0, 0)
    with pytest.raises(ValueError, match=r"/text carries std_msgs/msg/String, not std_msgs/msg/Bool"):
        writer.write("/text", "std_msgs/msg/Bool", b"", 0, 0)
    with pytest.raises(ValueError, match="unknown message type"):
        writer.write("/other", "franka_msgs/msg/Unknown", b"", 0, 0)
    writer.close()
    assert writer.counts == {"/text": 1}


@pytest.mark.parametrize("seed", range(6))
def test_a_killed_writer_leaves_all_that_it_flushed(tmp_path, seed):
    whole = recorded.write(tmp_path / "before")
    before = {path: path.read_bytes() for path in whole.iterdir()}
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / "bag")], stdout=subprocess.PIPE, text=True)
    flushed = 0
    for _ in range(random.Random(seed).randrange(1, 40)):
        flushed = int(child.stdout.readline())
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    for line in child.stdout:  # what it said before it died
        flushed = int(line)
    bag = open_bag(tmp_path / "bag")
    numbers = [int(messages.deserialize(m.data, m.type).data.rstrip("x")) for m in bag.messages()]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= flushed > 0
    assert not bag.finished
    assert {path: path.read_bytes() for path in whole.iterdir()} == before


FULL = """
import sys
from pathlib import Path
from genima_core.data.bags import messages
from genima_core.data.bags.writer import BagWriter

data = messages.serialize(messages.typestore().types["std_msgs/msg/String"]("x" * 1000), "std_msgs/msg/String")
writer = BagWriter(Path(sys.argv[1]), compression="none", chunk_bytes=10000)
written = 0
try:
    for written in range(10**6):
        writer.write("/text", "std_msgs/msg/String", data, written, written)
        if written % 10 == 0:
            writer.flush()
except OSError as error:
    print(written)
for _ in range(2):
    try:
        writer.write("/text", "std_msgs/msg/String", data, 0, 0)
    except OSError as error:
        print(error)
writer.close()
"""


def test_a_full_disk_keeps_what_was_written(tmp_path):
    most = 300_000
    child = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "bag")],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )
    written, *refusals = child.stdout.splitlines()
    assert all("could not be written before" in line for line in refusals) and len(refusals) == 2
    bag = open_bag(tmp_path / "bag")
    assert not bag.finished and not (tmp_path / "bag" / METADATA).exists()
    received = [m.received_ns for m in bag.messages()]
    assert received == list(range(len(received)))
    assert len(received) > int(written) - 30
    assert "cut off" in bag.damage


def text(content: str) -> bytes:
    return messages.serialize(messages.typestore().types[STRING](content), STRING)


def test_stamps_are_read_from_the_bytes():
    stamp_s = 1.7e9 + 0.25
    state = recorded.joint_state(stamp_s, ("a",), np.zeros(1), np.zeros(0))
    data = messages.serialize(state, "sensor_msgs/msg/JointState")
    assert messages.header_stamp_ns(data, "sensor_msgs/msg/JointState") == pytest.approx(stamp_s * 1e9, abs=1000)
    assert messages.header_stamp_ns(data[:8], "sensor_msgs/msg/JointState") is None
    assert messages.header_stamp_ns(text("a"), STRING) is None


def test_pictures_survive_the_coding():
    pixels = recorded.picture(3, 1, (64, 48))
    kind = "sensor_msgs/msg/Image"
    image = recorded.TYPES[kind](recorded.header(5.0), 48, 64, "bgr8", 0, 192, pixels[:, :, ::-1].ravel())
    image = messages.deserialize(messages.serialize(image, kind), kind)
    jpeg = messages.to_jpeg(image, 95)
    assert jpeg.header.stamp.sec == 5
    assert (messages.image_to_rgb(image) == pixels).all()
    assert np.abs(messages.image_to_rgb(jpeg).astype(int) - pixels).mean() < 3


@pytest.mark.parametrize("cut", [0, 3, 9, 30, 100])
def test_bytes_of_another_type_are_refused(cut):
    kind = "sensor_msgs/msg/Image"
    image = recorded.TYPES[kind](recorded.header(5.0), 48, 64, "rgb8", 0, 192, np.zeros(48 * 192, np.uint8))
    with pytest.raises(ValueError, match=f"{cut} bytes are not a {kind}"):
        messages.deserialize(messages.serialize(image, kind)[:cut], kind)


def test_a_damaged_picture_is_refused():
    jpeg = messages.typestore().types[messages.JPEG](recorded.header(5.0), "jpeg", np.arange(9, dtype=np.uint8))
    with pytest.raises(ValueError, match="cannot be decoded"):
        messages.image_to_rgb(jpeg)
