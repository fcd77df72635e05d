"""What a process sends and listens with: loopback only in the range LOCALHOST, room for images, nothing left behind."""

import fcntl
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from std_msgs.msg import String

from genima_ros.clients.observer import Observer
from genima_ros.graph import domain as transport
from genima_ros.graph.domain import (
    FILES,
    PROFILES,
    RANGE,
    abandoned_segments,
    choose_transport,
    node_environment,
    own_domain,
    remove_abandoned,
)

pytestmark = pytest.mark.ros

TALKER = """
import os
from genima_ros.graph.domain import choose_transport
choose_transport(os.environ, sends_images=True)
import rclpy
from std_msgs.msg import String
rclpy.init()
node = rclpy.create_node("stranger")
publisher = node.create_publisher(String, "hello", 1)
node.create_timer(0.05, lambda: publisher.publish(String(data="hello")))
print(flush=True)
rclpy.spin(node)
"""


@pytest.fixture
def roomy(monkeypatch):
    monkeypatch.setattr(transport, "NEEDED_BYTES", 0)


def chosen(environment: dict[str, str], sends_images: bool = False, shm: Path = Path("/dev/shm")) -> str | None:
    choose_transport(environment, sends_images, shm)
    return Path(environment[PROFILES]).name if PROFILES in environment else None


@pytest.mark.parametrize(("local", "images"), FILES)
def test_the_range_and_images_choose_the_profile(roomy, tmp_path, local, images):
    environment = {RANGE: "LOCALHOST" if local else "SUBNET"}
    assert chosen(environment, images, tmp_path) == FILES[local, images]
    if (file := environment.get(PROFILES)) is None:
        return
    root = ElementTree.parse(file).getroot()
    tags = {element.tag.rpartition("}")[2]: element.text for element in root.iter()}
    assert tags.get("address") == ("127.0.0.1" if local else None)
    assert tags.get("segment_size") == ("16777216" if images else None)


def test_a_child_chooses_anew_and_a_users_file_stays(roomy, tmp_path):
    environment = {RANGE: "LOCALHOST"}
    assert chosen(environment) == "fastdds_loopback.xml"
    assert chosen(environment, True, tmp_path) == "fastdds_loopback_images.xml"
    assert chosen(environment | {RANGE: "SUBNET"}) is None
    assert chosen({PROFILES: "mine.xml", RANGE: "LOCALHOST"}, True, tmp_path) == "mine.xml"
    assert chosen({PROFILES: "config/fastdds.xml"}) == "fastdds.xml"


def test_small_or_missing_shared_memory_is_left_as_it_is(tmp_path, monkeypatch):
    assert chosen({}, True, Path("/nowhere")) is None
    monkeypatch.setattr(transport, "NEEDED_BYTES", 2**80)
    assert chosen({}, True, tmp_path) is None


def received_at(pid: int) -> set[str]:
    """Addresses of the UDP sockets with a port of DDS, on which this process listens."""
    sockets, addresses = open_files(pid), set()
    for line in Path(f"/proc/{pid}/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        address, port = fields[1].split(":")
        if f"socket:[{fields[9]}]" in sockets and 7000 <= int(port, 16) < 32768:  # above: what it sends from
            addresses.add(".".join(str(byte) for byte in reversed(bytes.fromhex(address))))
    return addresses


def open_files(pid: int) -> set[str]:
    targets = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            targets.add(os.readlink(fd))
    return targets


@pytest.mark.parametrize("range_", ["LOCALHOST", "SUBNET"])
def test_a_process_in_the_range_localhost_listens_on_loopback_only(range_):
    """And whichever range another process of the machine has, as the driver of an arm may, they hear each other."""
    environment = node_environment({**os.environ, RANGE: range_})
    talker = subprocess.Popen([sys.executable, "-c", TALKER], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        talker.stdout.readline()
        addresses = received_at(talker.pid)
        assert addresses and (addresses == {"127.0.0.1"}) == (range_ == "LOCALHOST")
        with Observer(int(os.environ["ROS_DOMAIN_ID"])) as observer:
            heard: list = []
            observer.node.create_subscription(String, "hello", heard.append, 1)
            assert observer.spin_until(lambda: heard, 60)
    finally:
        talker.kill()
        talker.wait()


def old(path: Path, size: int = 1000) -> Path:
    path.write_bytes(bytes(size))
    os.utime(path, (0, 0))
    return path


def test_only_what_nobody_holds_is_removed(tmp_path):
    dead, held, young = (tmp_path / f"fastrtps_{i:016x}" for i in range(3))
    for segment in (dead, held, young):
        old(segment)
        old(Path(f"{segment}_el"), 0)
    os.utime(young)
    others = [old(tmp_path / "fastrtps_port7411"), old(tmp_path / "somebody's"), old(tmp_path / "fastrtps_00000000")]
    unlocked = old(tmp_path / f"fastrtps_{9:016x}")  # without a lock file: nothing is known of it
    with Path(f"{held}_el").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert list(abandoned_segments(tmp_path)) == [dead]
        assert remove_abandoned(tmp_path) == 1000
    assert not dead.exists() and not Path(f"{dead}_el").exists()
    assert all(path.exists() for path in (held, young, unlocked, *others))


def test_a_killed_process_leaves_a_segment_that_is_found(monkeypatch):
    monkeypatch.setattr(transport, "YOUNG_S", 0.0)
    with own_domain() as domain:  # in which nobody else has segments
        talker = subprocess.Popen(
            [sys.executable, "-c", TALKER], env=node_environment(os.environ, domain), stdout=subprocess.PIPE, text=True
        )
        try:
            talker.stdout.readline()
            paths = {Path(target.removesuffix("_el")) for target in open_files(talker.pid)}
            ours = {path for path in paths if transport.SEGMENT.fullmatch(path.name)}
            assert ours and not ours & set(abandoned_segments())
        finally:
            talker.send_signal(signal.SIGKILL)
            talker.wait()
    assert ours <= set(abandoned_segments())
