import json

import numpy as np
import pytest
from rclpy.parameter import Parameter

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticStatus
from std_msgs.msg import Float64, Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from genima_core.arm import PANDA
from genima_core.cameras import CameraRig
from genima_core.types import ActionChunk
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.status import read_arm_status
from genima_ros.nodes.rig_node import TF_STATIC
from genima_ros.nodes.sim_node import SimNode, SimParameters
from genima_ros.nodes.streamer_node import StreamerNode

from .conftest import as_text

pytestmark = pytest.mark.ros

CAMERAS = ("wrist", "front", "right_shoulder", "left_shoulder")


class FakeCell:
    """Moves to where it is told at once; succeeds when joint 1 is past 0.1 rad."""

    instruction = "push the button"

    def __init__(self, rig: CameraRig) -> None:
        self.name = "push_button"
        self.rig, self.arm = rig, rig.arm
        self.q, self.dq, self.gripper, self.time_s = PANDA.home.copy(), np.zeros(7), 1.0, 0.0
        self.seeds: list[int] = []
        self.taken: tuple[int, ...] = ()
        """Scenes with an object where the arm is."""
        self.closed = False

    def reset(self, seed: int, start: str = "home") -> None:
        self.seeds.append(seed)
        self.time_s = 0.0
        if start != "here":
            self.q, self.gripper = PANDA.home.copy(), 1.0

    @property
    def arm_is_free(self) -> bool:
        return self.seeds[-1] not in self.taken

    def place_arm(self, q: np.ndarray, opening: float) -> None:
        self.q, self.gripper = q.copy(), opening

    def step(self, q_command: np.ndarray, gripper_command: float, duration_s: float) -> None:
        self.q, self.gripper = q_command.copy(), gripper_command
        self.time_s += duration_s

    def render(self, name: str) -> np.ndarray:
        width, height = self.rig.size
        return np.full((height, width, 3), 10 * self.rig.names.index(name), np.uint8)

    def success(self) -> bool:
        return self.q[0] > 0.1

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def cell(rig) -> FakeCell:
    return FakeCell(rig)


def trajectory(q: np.ndarray, names=PANDA.joint_names) -> JointTrajectory:
    points = [JointTrajectoryPoint(positions=q.tolist(), time_from_start=conversions.to_duration(0.04))]
    return JointTrajectory(joint_names=list(names), points=points)


def start(bench, cell, **parameters) -> SimNode:
    return bench.node(SimNode, lambda _: cell, parameters=parameters)


def test_it_speaks_like_cameras_and_a_robot(bench, cell, rig):
    images = {name: bench.listen(interfaces.camera_image(name)) for name in CAMERAS}
    infos = {name: bench.listen(interfaces.camera_info(name)) for name in CAMERAS}
    states, instructions = bench.listen(interfaces.JOINT_STATES), bench.listen(interfaces.INSTRUCTION)
    start(bench, cell)
    bench.until(lambda: all(images.values()) and all(infos.values()) and states and instructions)
    for i, name in enumerate(CAMERAS):
        assert (conversions.image_to_rgb(images[name][0]) == 10 * i).all()
        assert conversions.camera_info_to_camera(infos[name][0]) == rig[name].intrinsics
        assert images[name][0].header.frame_id == f"{name}_color_optical_frame"
    assert conversions.positions_by_name(states[-1], PANDA.joint_names) == pytest.approx(PANDA.home)
    assert conversions.gripper_opening(states[-1], PANDA.gripper) == 1.0
    assert instructions[0].data == "push the button"


def test_stamps_are_now_and_advance(bench, cell):
    images, states = bench.listen(interfaces.camera_image("front")), bench.listen(interfaces.JOINT_STATES)
    before_s = bench.now_s()
    start(bench, cell)
    bench.until(lambda: len(images) >= 3)
    for messages in (images, states):
        stamps_s = [conversions.seconds(message.header.stamp) for message in messages]
        assert stamps_s == sorted(set(stamps_s))
        assert before_s - 0.01 <= stamps_s[0]
        assert stamps_s[-1] <= bench.now_s()


def test_it_follows_the_arm_controllers_topic_and_tells_success(bench, cell):
    success = bench.listen(interfaces.SUCCESS)
    start(bench, cell)
    publisher = bench.talk(interfaces.ARM_TRAJECTORY)
    publisher.publish(trajectory(PANDA.home + 0.2))
    bench.until(lambda: cell.q == pytest.approx(PANDA.home + 0.2))
    bench.until(lambda: success and success[-1].data)
    assert not success[0].data


def test_it_moves_the_gripper(bench, cell):
    start(bench, cell)
    publisher = bench.talk(interfaces.GRIPPER_COMMAND)
    publisher.publish(Float64(data=0.02))
    bench.until(lambda: cell.gripper == pytest.approx(0.25))


def test_reset_places_the_next_scene_and_the_arm(bench, cell):
    success = bench.listen(interfaces.SUCCESS)
    start(bench, cell, seed=7)
    bench.talk(interfaces.ARM_TRAJECTORY).publish(trajectory(PANDA.home + 0.2))
    bench.until(lambda: success and success[-1].data)
    response = bench.call("sim", "reset")
    assert response.success
    assert response.message == "scene 8"
    assert cell.seeds == [7, 8]
    bench.until(lambda: not success[-1].data)
    assert cell.q == pytest.approx(PANDA.home)


def test_it_says_which_scene_and_which_cameras(bench, cell, rig):
    scenes, rigs = bench.listen(interfaces.SCENE), bench.listen(interfaces.CAMERA_RIG)
    start(bench, cell, seed=7)
    bench.until(lambda: scenes and rigs)
    assert scenes[-1].data == 7
    assert CameraRig.from_dict(json.loads(rigs[-1].data)).fingerprint() == rig.fingerprint()
    bench.call("sim", "reset")
    bench.until(lambda: scenes[-1].data == 8)


def test_the_arm_may_stay_and_go_on_with_what_it_does(bench, cell):
    scenes, states = bench.listen(interfaces.SCENE), bench.listen(interfaces.JOINT_STATES)
    start(bench, cell, seed=7, reset_arm=False)
    cell.taken = (8, 9)
    slow = trajectory(PANDA.home + 0.2)
    slow.points[0].time_from_start = conversions.to_duration(0.5)
    bench.talk(interfaces.ARM_TRAJECTORY).publish(slow)
    bench.until(lambda: PANDA.home[0] + 0.01 < cell.q[0])
    assert bench.call("sim", "reset").message == "scene 10"
    assert cell.q[0] > PANDA.home[0]
    bench.until(lambda: scenes[-1].data == 10 and cell.q == pytest.approx(PANDA.home + 0.2))
    q = np.array([conversions.positions_by_name(message, PANDA.joint_names) for message in states])
    assert (np.diff(q[:, 0]) >= 0).all()


def test_an_arm_in_the_way_of_every_scene_is_said(bench, cell):
    start(bench, cell, seed=7, reset_arm=False)
    cell.taken = tuple(range(1000))
    response = bench.call("sim", "reset")
    assert not response.success
    assert "lift it" in response.message


@pytest.mark.parametrize(
    "message",
    [
        trajectory(np.full(7, np.nan)),
        trajectory(PANDA.home, [f"fr3_joint{i}" for i in range(1, 8)]),
        JointTrajectory(joint_names=list(PANDA.joint_names)),
    ],
)
def test_bad_commands_move_nothing(bench, cell, message):
    diagnostics = bench.listen(interfaces.DIAGNOSTICS)
    start(bench, cell)
    bench.talk(interfaces.ARM_TRAJECTORY).publish(message)
    bench.until(bench.problem("sim", diagnostics, "refuses a trajectory"))
    assert cell.q == pytest.approx(PANDA.home)


def test_a_reflex_holds_the_arm_until_recovery_and_then_it_goes_on_from_there(bench, cell):
    statuses, diagnostics = bench.listen(interfaces.ARM_STATUS), bench.listen(interfaces.DIAGNOSTICS)
    start(bench, cell)
    publisher = bench.talk(interfaces.ARM_TRAJECTORY)
    bench.until(lambda: len(statuses) >= 3)
    assert {(status.level, status.name, status.message) for status in statuses} == {(DiagnosticStatus.OK, "arm", "")}
    slow = trajectory(PANDA.home + 0.4)
    slow.points[0].time_from_start = conversions.to_duration(2.0)
    publisher.publish(slow)
    bench.until(lambda: cell.q[0] > PANDA.home[0] + 0.01)
    assert bench.call("sim", "reflex").success
    stopped = cell.q.copy()
    assert stopped[0] < PANDA.home[0] + 0.4
    bench.until(lambda: statuses[-1].level == DiagnosticStatus.ERROR)
    assert "cartesian_reflex" in statuses[-1].message
    assert {pair.key: pair.value for pair in statuses[-1].values} == {"mode": "reflex", "errors": "cartesian_reflex"}
    publisher.publish(trajectory(PANDA.home))
    bench.talk(interfaces.ARM_JOINT_STATE).publish(
        conversions.to_joint_state(PANDA.joint_names, PANDA.home, bench.now_s())
    )
    bench.talk(interfaces.ARM_POSITIONS).publish(Float64MultiArray(data=PANDA.home.tolist()))
    bench.settle("sim")
    bench.until(bench.problem("sim", diagnostics, "ignores commands"))
    assert np.array_equal(cell.q, stopped)
    assert bench.call("sim", "error_recovery").message == "recovered"
    bench.until(lambda: statuses[-1].level == DiagnosticStatus.OK)
    bench.settle("sim")
    assert np.array_equal(cell.q, stopped)
    followed = []
    cell.step = lambda q, *rest, step=cell.step: (followed.append(q.copy()), step(q, *rest))
    publisher.publish(slow)
    bench.until(lambda: cell.q[0] > stopped[0] + 0.01)
    first = next(q for q in followed if not np.array_equal(q, stopped))
    assert np.abs(first - stopped).max() < 0.01


def test_recovery_without_an_error_disturbs_no_motion(bench, cell):
    start(bench, cell)
    bench.talk(interfaces.ARM_TRAJECTORY).publish(trajectory(PANDA.home + 0.2))
    assert bench.call("sim", "error_recovery").message == "there was no error"
    bench.until(lambda: cell.q == pytest.approx(PANDA.home + 0.2))


def test_where_tf_is_installed_its_cameras_are_frames(bench, cell, interface_packages):
    from tf2_msgs.msg import TFMessage

    start(bench, cell)
    heard: list = []
    bench.probe.create_subscription(TFMessage, TF_STATIC, heard.append, interfaces.LATCHED)
    bench.until(lambda: heard)
    assert {t.header.frame_id for t in heard[0].transforms} == {"panda_link0", "panda_hand"}


def test_an_arm_that_is_elsewhere_is_shown_where_it_says_and_driven_by_nobody_here(bench, cell):
    """As in a rehearsal: the arm has a driver of its own."""
    node = start(bench, cell, arm_is_elsewhere=True, reset_arm=True)
    states = bench.talk(interfaces.JOINT_STATES)
    q = PANDA.home + 0.3
    states.publish(conversions.to_joint_state(PANDA.all_joints, np.array([*q, 0.01, 0.01]), bench.now_s()))
    bench.until(lambda: np.allclose(cell.q, q) and cell.gripper == pytest.approx(0.25))
    assert bench.call("sim", "reset").success and np.allclose(cell.q, q), "a new scene is laid out around it"
    states.publish(conversions.to_joint_state(("elbow",), np.zeros(1), bench.now_s()))
    bench.settle("sim")
    topics = dict(node.get_publisher_names_and_types_by_node("sim", "/"))
    assert "/joint_states" not in topics and "/arm_status" not in topics
    assert "/arm_controller/joint_trajectory" not in dict(node.get_subscriber_names_and_types_by_node("sim", "/"))


def test_close_closes_the_cell(bench, cell):
    start(bench, cell).close()
    assert cell.closed


def test_rates_and_sizes_must_be_positive(bench, cell):
    with pytest.raises(ValueError, match="must be positive"):
        start(bench, cell, fps=0.0)
    with pytest.raises(ValueError, match="at least 16"):
        start(bench, cell, size=4)


def test_unknown_task_names_the_known_ones():
    from genima_ros.nodes.sim_node import make_cell

    with pytest.raises(ValueError, match="push_button"):
        make_cell(SimParameters(task="juggle"))


@pytest.mark.parametrize("reset_arm", [True, False])
def test_the_task_may_change_from_one_scene_to_the_next(bench, rig, reset_arm):
    cells, instructions = [], bench.listen(interfaces.INSTRUCTION)

    def make(parameters: SimParameters) -> FakeCell:
        cells.append(FakeCell(rig))
        cells[-1].name, cells[-1].instruction = parameters.task, parameters.task.replace("_", " ")
        return cells[-1]

    node = bench.node(SimNode, make, parameters={"reset_arm": reset_arm, "seed": 3})
    bench.talk(interfaces.ARM_TRAJECTORY).publish(trajectory(PANDA.home + 0.3))
    bench.until(lambda: cells[0].q == pytest.approx(PANDA.home + 0.3))
    refused = node.set_parameters([Parameter("task", value="juggle")])[0]
    assert not refused.successful
    assert "the tasks are" in refused.reason
    assert node.set_parameters([Parameter("task", value="open_drawer")])[0].successful
    assert len(cells) == 1
    assert bench.call("sim", "reset").message == "scene 4"
    assert cells[0].closed
    assert (node.cell, cells[1].seeds) == (cells[1], [4])
    assert cells[1].q == pytest.approx(PANDA.home + (0.0 if reset_arm else 0.3))
    bench.until(lambda: instructions[-1].data == "open drawer")


def test_what_is_perturbed_may_change_from_one_scene_to_the_next(bench, rig):
    made = []

    def make(parameters: SimParameters) -> FakeCell:
        made.append(parameters.perturb)
        return FakeCell(rig)

    node = bench.node(SimNode, make)
    refused = node.set_parameters([Parameter("perturb", value="gravity")])[0]
    assert not refused.successful and "unknown perturbation 'gravity'; valid are " in refused.reason
    assert node.set_parameters([Parameter("perturb", value="lighting")])[0].successful
    bench.call("sim", "reset")
    bench.call("sim", "reset")
    assert made == ["", "lighting"]


def test_the_next_scene_of_a_running_graph_is_one_call(bench, cell):
    """The streamer follows the arm to where it was put, and goes on; the arm does not swing back."""
    states, commands = bench.listen(interfaces.STREAMER_STATE), bench.listen(interfaces.JOINT_COMMANDS)
    measured = bench.listen(interfaces.JOINT_STATES)
    start(bench, cell)
    bench.node(StreamerNode, parameters={"enabled": True, "watch_arm_status": True})
    chunks = bench.talk(interfaces.ACTION_CHUNK)

    def turn(offset_rad: float) -> None:
        now_s = bench.now_s()
        positions = PANDA.home + offset_rad * np.linspace(0, 1, 20)[:, None] * (np.arange(7) == 0)
        chunks.publish(conversions.chunk_to_trajectory(ActionChunk(positions, None, 0.05, now_s, now_s), PANDA))

    def waits() -> bool:
        return bool(states) and as_text(states[-1]) == "holding: Waiting for a chunk."

    for _ in range(3):
        bench.until(waits)
        turn(0.6)
        bench.until(lambda: commands[-1].position[0] > 0.4)
        assert bench.call("sim", "reset").success
        bench.until(waits)
        bench.until(lambda: all(command.position[0] == 0.0 for command in commands[-5:]))
        count, seen = len(commands), len(measured)
        bench.until(lambda count=count, seen=seen: len(commands) > count + 10 and len(measured) > seen + 40)
        assert np.abs([message.position[0] for message in (*commands[count:], *measured[seen:])]).max() == 0.0
    assert not any(as_text(state).startswith("fault") for state in states)
    turn(0.3)
    bench.until(lambda: measured[-1].position[0] > 0.29)


def test_the_streamer_learns_of_the_new_place_before_the_joint_states_tell(bench, cell):
    statuses = bench.listen(interfaces.ARM_STATUS)
    start(bench, cell)
    bench.until(lambda: statuses)
    assert read_arm_status(statuses[-1]).placed == 0
    assert bench.call("sim", "reset").success
    bench.until(lambda: read_arm_status(statuses[-1]).placed == 1)


def test_objects_placed_around_the_arm_say_nothing_of_the_arm(bench, cell):
    statuses = bench.listen(interfaces.ARM_STATUS)
    start(bench, cell, reset_arm=False)
    assert bench.call("sim", "reset").success
    bench.until(lambda: len(statuses) > 3)
    assert {read_arm_status(status).placed for status in statuses} == {0}
