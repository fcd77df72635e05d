"""docs/recording.md, "Correct a policy while it runs", as a user follows it: the shipped checkpoint in simulation, a
correction by the simulated leader, one recording, and data sets of either's turns.
"""

import json
import signal
import subprocess
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

from genima_core.arm import PANDA
from genima_core.data.bags.reader import find_bags, open_bag
from genima_core.data.dataset import Dataset
from genima_core.sim.operator import Activity
from genima_core.streaming.states import Commander
from genima_ros.messages import interfaces
from genima_ros.messages.status import values_of

from .received import Received
from .test_teleop_session import BOUNDS, Operator, run, start

pytestmark = [pytest.mark.ros, pytest.mark.slow]

SEED = 20003
NONE, POLICY, HUMAN = range(len(Commander))
PATIENT = {
    "streamer": {"joint_state_timeout_s": 3.0, "arm_status_timeout_s": 3.0, "target_timeout_s": 3.0, "max_gap_s": 3.0},
    "teleop": {"leader_timeout_s": 3.0, "follower_timeout_s": 3.0, "max_lag_s": 10.0},
    "diffusion": {"slack_s": 1.0},
}
"""Wide enough for a machine that does other things, as the recorder's bounds."""
GAPS = {"joint_gap_s": 20.0, "leader_gap_s": 20.0, "camera_gap_s": 20.0, "end_s": 20.0}
NODES = {"sim", "leader", "teleop", "streamer", "diffusion", "controller", "recorder"}


class Watcher(Operator):
    """Also sees who commands, and what the arm gets."""

    def __init__(self, *processes) -> None:
        super().__init__(*processes)
        self.received, self.commander, self.taken_over = Received(self.node), "", False
        self.listen(interfaces.STREAMER_STATE, self._on_streamer)

    def _on_streamer(self, message) -> None:
        values = values_of(message)
        self.commander, self.taken_over = values["commander"], values["taken_over"] == "true"

    def policy_moves(self) -> bool:
        return self.commander == "policy" and np.abs(self.received.stream[-1].dq).max() > 0.05


def end(*processes: subprocess.Popen) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait()


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> Iterator[Path]:
    """A folder with the recording of one attempt, in which the operator took over and gave back."""
    folder = tmp_path_factory.mktemp("session")
    for name, nodes in (("bounds", {"recorder": BOUNDS | GAPS}), ("patient", PATIENT)):
        sections = {node: {"ros__parameters": values} for node, values in nodes.items()}
        (folder / f"{name}.yaml").write_text(json.dumps(sections))
    up = start(folder, "up", "up", "sim", "leader:=true", f"seed:={SEED}", f"config:={folder / 'patient.yaml'}")
    options = ("--out", folder / "bags", "--episodes", 1, "--fps", 10, "--config", folder / "bounds.yaml")
    record = start(folder, "record", "record", "push_button", *options, stdin=subprocess.PIPE)
    try:
        with Watcher(record, up, folder / "record.log") as operator:
            operator.wait(lambda: set(operator.diagnostics) >= NODES, "diagnostics of every node")
            operator.wait(lambda: operator.commander == "policy", "the policy")
            while not operator.recording:
                operator.press(" ")
                operator.spin_until(lambda: operator.recording, 5.0)
            operator.wait(operator.policy_moves, "the policy's motion")
            operator.engage()
            operator.wait(lambda: operator.commander == "human", "the operator's command")
            demonstrated = lambda: operator.diagnostics["leader"]["state"] == Activity.DONE  # noqa: E731
            operator.wait(demonstrated, "the end of the correction")
            operator.press("g")
            operator.wait(lambda: not operator.taken_over, "giving back")
            operator.wait(operator.policy_moves, "the policy's motion afterwards")
            operator.spin(2.0)
            assert operator.diagnostics["streamer"]["limit_violations"] == 0
            operator.received.check(late_periods=1)  # the next scene, after the recording, puts the arm elsewhere
            operator.press(" ")
            operator.wait(lambda: not operator.recording, "the end of the recording")
            operator.press("y")
            operator.spin_until(lambda: record.poll() is not None, 60.0)
        assert record.poll() == 0
        yield folder
    finally:
        end(up, record)
        for name in ("up", "record"):
            print((folder / f"{name}.log").read_text())


def leader_at(bag: Path, times_s: np.ndarray) -> np.ndarray:
    """(n, 7) rad, as recorded."""
    states = [(m.captured_ns * 1e-9, m.decode()) for m in open_bag(bag).messages({"/leader/joint_states"})]
    stamps_s, q = np.array([s for s, _ in states]), np.array([m.position[:7] for _, m in states])
    assert states[0][1].name[:7] == list(PANDA.joint_names)
    return np.column_stack([np.interp(times_s, stamps_s, column) for column in q.T])


def test_the_recording_says_who_commanded_each_row(session):
    run("convert", "bags", session / "bags", session / "all")
    commander = Dataset(session / "all").episode(0).commander
    assert [who for who, _ in groupby(commander)] == [POLICY, NONE, HUMAN, NONE, POLICY]


def test_the_humans_rows_are_what_the_operator_did(session):
    run("convert", "bags", session / "bags", session / "human", "--only", "human")
    dataset, whole = Dataset(session / "human"), Dataset(session / "all").episode(0)
    assert len(dataset) == 1
    episode = dataset.episode(0)
    assert episode.success and episode.instruction == whole.instruction and set(episode.commander) == {HUMAN}
    due_s = episode.stamps_s + 1 / dataset.fps
    (bag,) = find_bags(session / "bags")
    away_rad = np.abs(episode.action_q - leader_at(bag, due_s)).max(axis=1)
    assert np.median(away_rad) < 0.02 and np.ptp(episode.action_q, axis=0).max() > 0.2


def test_the_policys_rows_are_the_rest_of_what_was_commanded(session):
    run("convert", "bags", session / "bags", session / "policy", "--only", "policy")
    dataset, whole = Dataset(session / "policy"), Dataset(session / "all").episode(0)
    stamps_s = np.concatenate([dataset.episode(i).stamps_s for i in range(len(dataset))])
    own = whole.commander == POLICY
    assert {POLICY} == {who for i in range(len(dataset)) for who in dataset.episode(i).commander}
    assert set(stamps_s.round(4)) <= set(whole.stamps_s[own].round(4)) and len(dataset) in (1, 2)
