"""What `genima eval --record` writes is what the nodes of a graph would have said, read by the code that hears them."""

import numpy as np
import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.serialization import deserialize_message
from trajectory_msgs.msg import JointTrajectory

from genima_core.arm import PANDA
from genima_core.data.bags import messages
from genima_core.data.bags.chunks import chunk_of_message, chunk_to_message
from genima_core.data.bags.reader import open_bag
from genima_core.data.bags.recording import DRAWINGS
from genima_core.data.bags.simulated import STREAMS, SimulatedRecorder
from genima_core.sim.scene import default_rig
from genima_core.streaming.states import Command, Commander, Reason, State
from genima_core.types import ActionChunk
from genima_ros.messages import conversions, status
from genima_ros.nodes.recording import LATCHED, MOTION

pytestmark = pytest.mark.ros


@pytest.mark.parametrize("gripper", [None, np.linspace(0, 1, 5)])
def test_chunks_are_those_of_the_controller_both_ways(gripper):
    chunk = ActionChunk(PANDA.home + 0.01 * np.arange(35).reshape(5, 7), gripper, 0.05, 12.35, 12.3)
    kind, message = chunk_to_message(chunk, PANDA)
    data = messages.serialize(message, kind)
    heard = conversions.read_chunk(deserialize_message(data, JointTrajectory), PANDA)
    for read in (heard, chunk_of_message(messages.deserialize(data, kind), PANDA)):
        np.testing.assert_allclose(read.positions, chunk.positions)
        assert (read.dt_s, read.start_s, read.stamp_s) == pytest.approx((0.05, 12.35, 12.3))
        assert read.gripper is None if gripper is None else np.allclose(read.gripper, gripper)


def test_roles_have_the_topics_of_the_recorder():
    topics = {role: f"/{topic.name}" for role, topic in {**LATCHED, **MOTION}.items()}
    assert {role: topics[role] for role in STREAMS} == STREAMS
    assert DRAWINGS in STREAMS


def test_the_streamers_state_is_read_as_the_streamers(tmp_path):
    recorder = SimulatedRecorder(tmp_path / "episode", default_rig(32, 32), "push_button", "push it", 3, 10, 1.0)
    command = Command(State.STOPPING, Reason.STALE, "The chunk is too old.", commander=Commander.POLICY)
    recorder.on_command(command, 1.02)
    recorder.on_command(command, 1.04)
    recorder.finish(True, 2.0)
    said = [m.data for m in open_bag(tmp_path / "episode").messages({"/streamer_state"})]
    assert len(said) == 1, "what is not new is not said again"
    message = deserialize_message(said[0], DiagnosticStatus)
    assert status.read_status(message, State) == command.status
    assert status.values_of(message)["commander"] == "policy" and not status.is_taken_over(message)
