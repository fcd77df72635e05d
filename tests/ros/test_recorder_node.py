import json
import os
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from std_msgs.msg import Bool, Int64, String

from genima_core.arm import PANDA
from genima_core.data.bags.episode_info import EpisodeInfo
from genima_core.data.bags.reader import open_bag
from genima_ros.messages import interfaces
from genima_ros.messages.status import read_diagnostics
from genima_ros.nodes.recorder_node import RecorderNode

from .synthetic_cell import CAMERAS, FPS, SyntheticCell

pytestmark = pytest.mark.ros

LENIENT = {
    "lost_share": 1.0,
    "rate_share": 0.0,
    "camera_gap_s": 60.0,
    "joint_gap_s": 60.0,
    "skew_ms": 1e4,
    "joint_skew_ms": 1e4,
    "end_s": 60.0,
    "delay_s": 60.0,
    "least_s": 0.0,
}
"""How busy the machine is must not decide."""


class Recording:
    """A recorder and a cell that publishes while the test waits."""

    def __init__(self, bench, out: Path) -> None:
        self.bench, self.out = bench, out
        self.cell = SyntheticCell(bench.probe)
        bench.probe.create_timer(0.01, self.cell.tick)
        self.states = bench.listen(interfaces.RECORDING)
        self.diagnostics = bench.listen(interfaces.DIAGNOSTICS)

    def start_node(self, **parameters) -> RecorderNode:
        given = {"out": str(self.out), "task": "push_button", "fps": FPS, "reserve_mb": 0.0, **LENIENT, **parameters}
        self.node = self.bench.node(RecorderNode, parameters=given)
        return self.node

    def call(self, service: str, **request):
        return self.bench.call("recorder", service, **request)

    def wait_for_streams(self) -> None:
        """Until an episode could start."""
        self.bench.until(
            lambda: all(self.value(f"{name}.rate_hz") > 0 for name in (*CAMERAS, "joint_states", "leader_joint_states"))
        )

    def value(self, key: str) -> float:
        newest = read_diagnostics(self.diagnostics[-1]).get("recorder", {}) if self.diagnostics else {}
        return newest.get(key, 0.0)

    def episode(self, frames: int = 3) -> str:
        """Records until so many images of every camera were sent; the answer to stop."""
        answer = self.call("start")
        assert answer.success, answer.message
        self.record(frames)
        answer = self.call("stop")
        assert answer.success
        return answer.message

    def record(self, frames: int = 3) -> None:
        goal = min(self.cell.sent[name] for name in CAMERAS) + frames
        self.bench.until(lambda: all(self.cell.sent[name] >= goal for name in CAMERAS if name not in self.cell.silent))

    def folders(self) -> list[str]:
        return sorted(path.name for path in self.out.iterdir())


@pytest.fixture
def recording(bench, tmp_path) -> Recording:
    return Recording(bench, tmp_path / "out")


def test_an_episode_holds_every_stream_and_is_judged(recording, bench, rig):
    recording.start_node()
    bench.talk(interfaces.INSTRUCTION).publish(String(data="push the button"))
    bench.talk(interfaces.SCENE).publish(Int64(data=42))
    bench.talk(interfaces.CAMERA_RIG).publish(String(data=json.dumps(rig.to_dict())))
    bench.talk(interfaces.SUCCESS).publish(Bool(data=False))
    recording.wait_for_streams()
    message = recording.episode(5)
    assert message.startswith("episode 0: ")
    assert message.endswith("ok")
    assert recording.states[-1].data is False
    folder = recording.out / "episode_000000"
    info, bag = EpisodeInfo.load(folder), open_bag(folder)
    assert (info.task, info.instruction, info.seed, info.rig) == (
        "push_button",
        "push the button",
        42,
        json.loads(json.dumps(rig.to_dict())),
    )
    assert bag.finished
    counts = {name: topic.count for name, topic in bag.topics.items()}
    for name in CAMERAS:
        assert counts[info.streams[f"camera/{name}"]] >= 4
        assert counts[f"/{name}/color/camera_info"] >= 4
    for topic in ("/joint_states", "/leader/joint_states", "/joint_commands"):
        assert counts[topic] > 4
    assert [counts[topic] for topic in ("/instruction", "/scene", "/camera_rig", "/success")] == [1, 1, 1, 1]
    assert info.quality["cameras"]["front"]["messages"] == counts["/front/color/image_raw/compressed"]
    for stored in bag.messages({"/joint_states"}):
        assert 0 <= stored.received_ns - stored.published_ns < 60e9


def test_it_starts_with_nothing_missing_only(recording, bench):
    recording.cell.silent.add("front")
    recording.start_node()
    bench.until(lambda: recording.value("wrist.rate_hz") > 0)
    answer = recording.call("start")
    assert not answer.success
    assert "nothing has arrived on /" in answer.message
    assert "start its driver" in answer.message or "robot's driver" in answer.message
    assert not recording.out.exists()
    recording.cell.silent.clear()
    recording.wait_for_streams()
    assert recording.call("start").success
    again = recording.call("start")
    assert not again.success
    assert "episode 0 is being recorded" in again.message


def test_a_silent_stream_refuses_and_is_named(recording, bench):
    recording.start_node(stale_s=0.3)
    recording.wait_for_streams()
    recording.cell.silent.add("leader_joint_states")
    bench.until(lambda: recording.value("leader_joint_states.age_ms") > 500)
    answer = recording.call("start")
    assert not answer.success
    assert "/leader/joint_states has been silent" in answer.message
    assert "--no-leader" in answer.message


def test_without_a_leader_it_need_not_be_there(recording):
    recording.cell.silent.add("leader_joint_states")
    recording.start_node(leader=False)
    recording.bench.until(lambda: all(recording.value(f"{name}.rate_hz") > 0 for name in (*CAMERAS, "joint_states")))
    assert recording.episode().endswith("ok")


def test_two_leaders_are_refused(recording, bench):
    recording.start_node()
    recording.wait_for_streams()
    second = interfaces.publish(bench.probe, interfaces.LEADER_JOINT_STATES)
    bench.until(lambda: recording.node.count_publishers("leader/joint_states") == 2)
    answer = recording.call("start")
    assert not answer.success
    assert "/leader/joint_states has 2 publishers" in answer.message
    bench.probe.destroy_publisher(second)


def test_a_leader_with_other_joints_is_refused(recording):
    recording.cell.joint_names["leader_joint_states"] = tuple(f"fr3_joint{i}" for i in range(1, 8))
    recording.start_node()
    recording.wait_for_streams()
    answer = recording.call("start")
    assert not answer.success
    assert "fr3_joint1" in answer.message
    assert "leader_arm" in answer.message


def test_numbers_go_on_and_finished_episodes_stay(recording):
    old = recording.out / "episode_000004"
    old.mkdir(parents=True)
    (old / "precious").write_text("x")
    recording.start_node()
    recording.wait_for_streams()
    assert recording.episode().startswith("episode 5: ")
    assert recording.folders() == ["episode_000004", "episode_000005"]
    assert recording.call("discard").message == "episode 5 is discarded"
    answer = recording.call("discard")
    assert not answer.success
    assert recording.folders() == ["episode_000004"]
    assert [path.name for path in old.iterdir()] == ["precious"]


def test_discarding_a_running_episode_ends_it(recording):
    recording.start_node()
    recording.wait_for_streams()
    assert recording.call("start").success
    recording.record()
    assert recording.call("discard").success
    recording.bench.until(lambda: recording.states[-1].data is False)
    assert recording.folders() == []
    assert recording.episode().startswith("episode 0: ")


def test_rerecording_starts_again_under_the_same_number(recording, bench):
    recording.start_node(rerecord_s=0.1)
    recording.wait_for_streams()
    recording.episode()
    answer = recording.call("rerecord")
    assert answer.success
    assert "starts again" in answer.message
    bench.until(lambda: recording.states[-1].data is True)
    recording.record()
    assert recording.call("stop").message.startswith("episode 0: ")
    assert recording.folders() == ["episode_000000"]


def test_stop_gives_up_a_rerecording_that_waits(recording):
    recording.start_node(rerecord_s=1e6)
    recording.wait_for_streams()
    assert not recording.call("stop").success
    recording.episode()
    recording.call("rerecord")
    assert recording.call("stop").success
    assert not recording.call("stop").success


def test_labels_during_and_after(recording):
    recording.start_node()
    assert not recording.call("label", data=True).success
    recording.wait_for_streams()
    recording.call("start")
    assert recording.call("label", data=True).message == "episode 0 is labelled success"
    recording.record()
    recording.call("stop")
    assert EpisodeInfo.load(recording.out / "episode_000000").label == "success"
    assert recording.call("label", data=False).message == "episode 0 is labelled failure"
    assert EpisodeInfo.load(recording.out / "episode_000000").label == "failure"
    recording.episode()
    assert EpisodeInfo.load(recording.out / "episode_000001").label == ""


def test_close_finishes_what_runs(recording):
    recording.start_node()
    recording.wait_for_streams()
    recording.call("start")
    recording.record()
    recording.node.close()
    info = EpisodeInfo.load(recording.out / "episode_000000")
    assert open_bag(recording.out / "episode_000000").finished
    assert (info.label, info.suspect) == ("", ())


def test_a_camera_that_stops_is_told_and_makes_it_suspect(recording, bench):
    recording.start_node(stale_s=0.3, end_s=0.2)
    recording.wait_for_streams()
    recording.call("start")
    recording.record()
    recording.cell.silent.add("front")
    bench.until(bench.problem("recorder", recording.diagnostics, "front is silent"))
    assert "suspect" in recording.call("stop").message
    assert any("front stopped" in reason for reason in EpisodeInfo.load(recording.out / "episode_000000").suspect)
    bench.until(lambda: recording.value("suspect") == 1)


def test_a_disk_that_is_nearly_full_refuses(recording):
    recording.start_node(reserve_mb=1e12)
    recording.wait_for_streams()
    answer = recording.call("start")
    assert not answer.success
    assert "less than the reserve" in answer.message


def test_it_warns_of_the_minutes_that_are_left(recording, bench):
    recording.start_node(warn_minutes=1e12)
    recording.wait_for_streams()
    recording.call("start")
    bench.until(bench.problem("recorder", recording.diagnostics, "is full in"))
    recording.call("stop")


def test_a_folder_that_cannot_be_made_is_named(bench, tmp_path):
    (tmp_path / "file").write_text("x")
    recording = Recording(bench, tmp_path / "file" / "out")
    recording.start_node()
    recording.wait_for_streams()
    answer = recording.call("start")
    assert not answer.success
    assert "cannot be created" in answer.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_named(recording):
    recording.out.mkdir()
    recording.out.chmod(0o500)
    recording.start_node()
    recording.wait_for_streams()
    answer = recording.call("start")
    assert not answer.success
    assert "not writable" in answer.message


def test_damaged_messages_are_named_and_end_nothing(recording, bench):
    damaged = b"\x00\x01\x00\x00\xff\xff\xff\x7f"
    recording.start_node(instruction="push the button")
    recording.wait_for_streams()
    for topic in (interfaces.INSTRUCTION, interfaces.SCENE, interfaces.CAMERA_RIG):
        bench.talk(topic).publish(damaged)
    bench.until(lambda: "/camera_rig not used" in str(recording.value("last_problem")))
    recording.cell.arms["joint_states"].publish(damaged)
    assert recording.episode().startswith("episode 0: ")
    info = EpisodeInfo.load(recording.out / "episode_000000")
    assert (info.instruction, info.seed, info.rig) == ("push the button", -1, None)


def test_diagnostics_tell_every_stream(recording, bench):
    recording.start_node()
    recording.wait_for_streams()
    recording.call("start")
    bench.until(lambda: recording.value("state") == "recording" and recording.value("written_mb") > 0)
    for name in (*CAMERAS, "joint_states", "leader_joint_states", "joint_commands"):
        for key in ("rate_hz", "age_ms", "skew_ms", "lost"):
            assert isinstance(recording.value(f"{name}.{key}"), float)
    assert recording.value("episode") == 0
    assert recording.value("seconds") > 0
    recording.call("stop")
    bench.until(lambda: recording.value("kept") == 1)


@pytest.mark.parametrize("parameters", [{"fps": 0.0}, {"jpeg_quality": 0}, {"images": "png"}])
def test_bad_parameters_are_refused(recording, parameters):
    with pytest.raises(ValueError, match=next(iter(parameters))):
        recording.start_node(**parameters)


def test_the_seven_joints_are_the_default(recording):
    assert recording.start_node().parameters.setup.arm is PANDA
