"""The whole graph, as a user starts it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

from std_msgs.msg import Bool

from genima_core.arm import PANDA
from genima_core.cameras import CameraRig
from genima_core.checkpoint import Checkpoint
from genima_core.pixels import untile
from genima_core.targets.detect import find_centres
from genima_core.targets.triangulation import camera_poses, project
from genima_core.types import ActionChunk
from genima_ros.clients.observer import Observer
from genima_ros.graph.modes import MODES
from genima_ros.messages import conversions, interfaces

from .conftest import as_text

pytestmark = [pytest.mark.ros, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
PATIENCE_S = 240.0
"""Reached only by a test that fails."""
REST_AFTER_S = 0.3
PERIOD_S = 0.02


class Witness(Observer):
    """Sees everything that the graph says."""

    def __init__(self, cameras: tuple[str, ...]) -> None:
        super().__init__(int(os.environ["ROS_DOMAIN_ID"]), "witness")
        self.cameras = set(cameras)
        self.seen: set[str] = set()
        self.drawings: dict[float, np.ndarray] = {}
        self.chunks: list[tuple[float, ActionChunk]] = []
        self.commands: list[tuple[float, np.ndarray, np.ndarray]] = []
        self.q = np.full(7, np.nan)
        for name in cameras:
            interfaces.subscribe(self.node, interfaces.camera_image(name), lambda _, name=name: self.seen.add(name))
        interfaces.subscribe(self.node, interfaces.TARGETS, self._on_drawing)
        interfaces.subscribe(
            self.node,
            interfaces.ACTION_CHUNK,
            lambda message: self.chunks.append((self.now_s(), conversions.read_chunk(message, PANDA))),
        )
        interfaces.subscribe(
            self.node,
            interfaces.JOINT_COMMANDS,
            lambda message: self.commands.append(
                (conversions.seconds(message.header.stamp), np.array(message.position), np.array(message.velocity))
            ),
        )
        interfaces.subscribe(self.node, interfaces.JOINT_STATES, self._on_joint_state)

    def now_s(self) -> float:
        return self.node.get_clock().now().nanoseconds * 1e-9

    def wait(self, condition, what: str) -> None:
        assert self.spin_until(condition, PATIENCE_S), f"waited in vain for {what}"

    @property
    def moving(self) -> bool:
        return bool(self.commands) and float(np.abs(self.commands[-1][2]).max()) > 0.02

    def _on_drawing(self, message) -> None:
        self.drawings[conversions.seconds(message.header.stamp)] = conversions.image_to_rgb(message)

    def _on_joint_state(self, message) -> None:
        self.q = conversions.positions_by_name(message, PANDA.joint_names)


@pytest.fixture
def checkpoint(request) -> Path:
    shipped = ROOT / "checkpoints" / "demo"
    return shipped if (shipped / "checkpoint.json").exists() else request.getfixturevalue("untrained")


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen]:
    """`genima up` with these arguments, until the test ends."""
    with (folder / "up.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "genima_ros.cli.main", "up", *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            # Tests that run in the background of a shell inherit that Ctrl-C is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
            print((folder / "up.log").read_text())


@pytest.fixture
def up(checkpoint, tmp_path) -> Iterator[subprocess.Popen]:
    with started(tmp_path, "sim", f"checkpoint:={checkpoint}", "execution:=sync") as process:
        yield process


def children(pid: int) -> dict[str, int]:
    """Node executable to process id, of the nodes that `genima up` started."""
    result = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            command = Path(f"/proc/{child}/cmdline").read_text().split("\0")
            if "genima_ros.nodes" in command:
                result[command[command.index("genima_ros.nodes") + 1]] = int(child)
    return result


def wait_for_motion(witness: Witness) -> ActionChunk:
    """The chunk that the arm follows from now on."""
    count = len(witness.chunks)
    witness.wait(lambda: len(witness.chunks) > count and witness.moving, "a chunk and motion")
    return witness.chunks[-1][1]


def gripper_distance_px(rig: CameraRig, drawing: np.ndarray, q: np.ndarray) -> float:
    """How far the gripper is from where it is drawn, the median over the views that stand still."""
    drawn = find_centres(untile(drawing, 4))[1:, 3]
    there = project(rig, camera_poses(rig, q), rig.arm.target_poses(q)[:, :3, 3])[0][1:, 3]
    return float(np.nanmedian(np.linalg.norm(drawn - there, axis=1)))


def test_targets_are_drawn_and_followed_and_a_killed_node_comes_back(up, checkpoint):
    rig = Checkpoint.open(checkpoint).rig
    with Witness(rig.names) as witness:
        nodes = {node.name for node in MODES["sim"].nodes if node.condition is None}
        witness.wait(lambda: set(witness.diagnostics) >= nodes or up.poll() is not None, "diagnostics of every node")
        assert up.poll() is None
        witness.wait(lambda: witness.seen >= witness.cameras, "images of all cameras")

        chunk = wait_for_motion(witness)
        drawing = witness.drawings[min(witness.drawings, key=lambda stamp_s: abs(stamp_s - chunk.stamp_s))]
        assert untile(drawing, 4).shape == (4, rig.size[1], rig.size[0], 3)
        assert chunk.stamp_s in witness.drawings
        goal = PANDA.frame_pose(chunk.positions[-1], "tcp")[:3, 3]
        start = witness.q
        before = np.linalg.norm(PANDA.frame_pose(start, "tcp")[:3, 3] - goal)
        witness.wait(lambda: not witness.moving, "the end of the chunk")
        assert np.linalg.norm(PANDA.frame_pose(witness.q, "tcp")[:3, 3] - goal) < max(0.5 * before, 0.02)
        if checkpoint.is_relative_to(ROOT):  # an untrained agent draws no gripper
            distance_px = [gripper_distance_px(rig, drawing, q) for q in (start, witness.q)]
            assert distance_px[1] < max(0.7 * distance_px[0], 4.0)

        wait_for_motion(witness)
        os.kill(children(up.pid)["diffusion_node"], signal.SIGKILL)
        killed_s = witness.now_s()
        witness.wait(lambda: not witness.moving and witness.now_s() > killed_s, "rest")
        received_s, last = witness.chunks[-1]
        duration_s = last.dt_s * (len(last.positions) - 1)
        moving = [(stamp_s, dq) for stamp_s, _, dq in witness.commands if np.abs(dq).max() > 1e-3]
        assert moving[-1][0] <= received_s + duration_s + REST_AFTER_S + 2 * PERIOD_S
        velocity = np.array([dq for _, _, dq in witness.commands])
        assert np.abs(np.diff(velocity, axis=0)).max() < 0.5  # no step: 25 rad/s² would be one

        wait_for_motion(witness)
        pids = children(up.pid)
        assert set(pids) == {f"{name}_node" for name in nodes}
        up.send_signal(signal.SIGINT)
        witness.wait(lambda: up.poll() is not None, "the end of genima up")
    assert up.returncode == 0
    assert not [pid for pid in pids.values() if Path(f"/proc/{pid}").exists()]


def test_into_confirm_a_running_graph_rests_until_somebody_approves_whoever_died_meanwhile(up, checkpoint):
    with Witness(Checkpoint.open(checkpoint).rig.names) as witness:
        proposals = []
        witness.listen(interfaces.PROPOSAL, lambda message: proposals.append(bool(message.points)))
        wait_for_motion(witness)
        witness.set_parameters("streamer", PATIENCE_S, execution="async")
        count = len(witness.chunks)
        witness.wait(lambda: len(witness.chunks) > count + 5 and witness.moving, "chunks without a pause")
        witness.set_parameters("streamer", PATIENCE_S, execution="confirm")
        witness.wait(lambda: proposals and proposals[-1] and not witness.moving, "rest and a proposal")
        os.kill(children(up.pid)["controller_node"], signal.SIGKILL)
        proposals.clear()
        commands = len(witness.commands)
        witness.wait(lambda: proposals and proposals[-1], "a proposal of the controller that came back")
        assert max(np.abs(dq).max() for _, _, dq in witness.commands[commands:]) < 1e-3
        assert not any(chunk.approved for _, chunk in witness.chunks)
        assert witness.call("controller", "approve", PATIENCE_S, **{interfaces.BY: "Ada"}).success
        witness.wait(lambda: witness.moving, "motion")
        assert witness.chunks[-1][1].approved
        assert witness.diagnostics["streamer"]["limit_violations"] == 0
        velocity = np.array([dq for _, _, dq in witness.commands])
        assert np.abs(np.diff(velocity, axis=0)).max() < 0.5, "no step"


def test_the_simulated_operator_solves_scene_after_scene_through_the_follower(tmp_path):
    """Without a recorder: this test says when something is recorded."""
    with started(tmp_path, "teleop", "sim", "seed:=1000") as up, Witness(()) as witness:
        said = {"teleop": "", "scene": None, "success": None}
        for key, topic in (
            ("teleop", interfaces.TELEOP_STATE),
            ("scene", interfaces.SCENE),
            ("success", interfaces.SUCCESS),
        ):
            interfaces.subscribe(
                witness.node,
                topic,
                lambda message, key=key: said.update({key: as_text(message) if key == "teleop" else message.data}),
            )
        recording = interfaces.publish(witness.node, interfaces.RECORDING)
        recording.publish(Bool(data=False))
        nodes = {node.name for node in MODES["teleop_sim"].nodes if node.condition is None}

        def wait(condition, what: str) -> None:
            witness.wait(lambda: condition() or up.poll() is not None, what)
            assert up.poll() is None

        wait(lambda: set(witness.diagnostics) >= nodes, "diagnostics of every node")
        wait(lambda: "genima record push_button" in (tmp_path / "up.log").read_text(), "the next step")
        assert said["scene"] == 1000

        def engaged() -> bool:  # on a busy machine the first joint states may be too far apart
            try:
                return witness.call("teleop", "engage", PATIENCE_S).success
            except RuntimeError:
                return False

        wait(engaged, "engaging")
        wait(lambda: said["teleop"].startswith("mirroring"), "mirroring")
        for _ in range(2):
            scene = said["scene"]
            recording.publish(Bool(data=True))
            wait(lambda: said["success"], "the task's success")
            recording.publish(Bool(data=False))
            wait(lambda scene=scene: said["scene"] > scene and not said["success"], "the next scene")
            assert said["teleop"].startswith("mirroring")
        velocity = np.array([dq for _, _, dq in witness.commands])
        assert np.abs(velocity).max() < 1.2
        assert witness.diagnostics["streamer"]["limit_violations"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sim", "checkpoint:=/nowhere"], "the shipped checkpoints/demo"),
        (["sim", "sed:=7"], "valid are task, seed"),
        (["config:=/nowhere.yaml"], "does not exist"),
        (["teleop", "sim", "checkpoint:=x"], "no argument checkpoint for"),
        (["teleop"], "valid are sim, teleop sim, real, teleop real"),
    ],
)
def test_bad_input_is_one_line_and_starts_nothing(arguments, words):
    result = subprocess.run(
        [sys.executable, "-m", "genima_ros.cli.main", "up", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
