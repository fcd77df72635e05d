"""The console's handle leads a real arm without a second one: rehearsed on franka-sim, through our own driver."""

import json
import os

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("viser")
pytest.importorskip("mink")
pytest.importorskip("franka")

from genima_core.arm import FR3
from genima_core.franka.server import find_server, running_server
from genima_core.geometry import to_quat_wxyz
from genima_ros.clients.observer import Observer
from genima_ros.messages import conversions, interfaces

from .conftest import as_text
from .console_cell import viewers
from .test_intervention_session import PATIENT, end
from .test_teleop_session import PATIENCE_S, start

pytestmark = [pytest.mark.ros, pytest.mark.slow]

NODES = {"franka", "leader", "teleop", "streamer", "console", "sim"}
WAY_M = np.array([0.04, 0.05, -0.06])


class Rehearsal(Observer):
    """Knows where arm and leader are."""

    def __init__(self, up, domain: int) -> None:
        super().__init__(domain, "rehearsal")
        self._up, self.teleop, self.streamer = up, "", ""
        self.q = self.leader_q = np.full(7, np.nan)
        self.listen(interfaces.TELEOP_STATE, lambda message: setattr(self, "teleop", as_text(message)))
        self.listen(interfaces.STREAMER_STATE, lambda message: setattr(self, "streamer", as_text(message)))
        self.listen(interfaces.JOINT_STATES, lambda message: setattr(self, "q", read(message)))
        self.listen(interfaces.LEADER_JOINT_STATES, lambda message: setattr(self, "leader_q", read(message)))

    def wait(self, condition, what: str) -> None:
        assert self.spin_until(lambda: condition() or self._up.poll() is not None, PATIENCE_S), f"no {what}"
        assert condition(), f"the graph ended before {what}"

    @property
    def tip(self) -> np.ndarray:
        """(4, 4) of the arm."""
        return FR3.frame_pose(self.q, "tcp")


def read(message) -> np.ndarray:
    return conversions.positions_by_name(message, FR3.joint_names)


@pytest.fixture
def graph(tmp_path):
    """`genima up teleop real leader:=true` on a simulated FR3 that forgives lost packets."""
    try:
        program = find_server()
    except RuntimeError as error:
        pytest.skip(str(error))
    sections = {name: {"ros__parameters": PATIENT[name]} for name in ("streamer", "teleop")}
    (tmp_path / "patient.yaml").write_text(json.dumps(sections))
    arguments = ("arm:=fr3_fci", "robot_ip:=127.0.0.1", "leader:=true", "cameras:=sim")
    with running_server(program, tmp_path / "arm.log", limits=False):
        up = start(tmp_path, "up", "up", "teleop", "real", *arguments, f"config:={tmp_path / 'patient.yaml'}")
        try:
            with Rehearsal(up, int(os.environ["ROS_DOMAIN_ID"])) as rehearsal:
                rehearsal.wait(lambda: set(rehearsal.diagnostics) >= NODES, "diagnostics of every node")
                yield rehearsal
        finally:
            end(up)
            print((tmp_path / "up.log").read_text())


def test_the_handle_leads_the_arm_and_a_page_that_closes_pauses_it(graph):
    graph.wait(lambda: np.abs(graph.q - graph.leader_q).max() < 0.01, "leader that waits where the arm is")
    graph.call("streamer", "enable", PATIENCE_S, data=True)
    graph.wait(lambda: graph.streamer == "holding: Waiting for a chunk.", "arm that may be moved")
    with viewers.Viewer(str(graph.diagnostics["console"]["address"])) as viewer:
        graph.wait(lambda: viewer.pictures() > 0, "picture")
        begin = graph.tip
        viewer.press("Take over", group="arm")
        graph.wait(lambda: "drag the handle at the gripper;" in viewer.texts(), "handle")
        assert graph.teleop.startswith("mirroring") and np.linalg.norm(graph.tip[:3, 3] - begin[:3, 3]) < 0.005

        def drag(way_m: np.ndarray) -> None:
            viewer.begin_drag("/handle")
            position = tuple(map(float, begin[:3, 3] + way_m))
            viewer.drag("/handle", position, tuple(map(float, to_quat_wxyz(begin))))

        drag(WAY_M)
        graph.wait(lambda: np.linalg.norm(graph.tip[:3, 3] - begin[:3, 3] - WAY_M) < 0.005, "arm at the handle")
        drag(WAY_M + [0.0, 0.2, 0.0])
        graph.wait(lambda: graph.tip[1, 3] > begin[1, 3] + WAY_M[1] + 0.02, "motion")
    graph.wait(lambda: graph.teleop.startswith("paused"), "pause")
    graph.wait(lambda: graph.streamer == "holding: Waiting for a chunk.", "rest")
    assert graph.tip[1, 3] < begin[1, 3] + WAY_M[1] + 0.15
    assert graph.diagnostics["streamer"]["limit_violations"] == 0
    graph.wait(lambda: np.abs(graph.q - graph.leader_q).max() < 0.01, "leader that waits where the arm is again")
