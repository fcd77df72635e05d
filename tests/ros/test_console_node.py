"""The console's node, with a viewer that is no browser: pictures, controls, who may look, and what cannot be."""

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("viser")

from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from genima_core.streaming.states import Reason, State, Status
from genima_core.targets.gate import GateState
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.checks import find_instruction_fault
from genima_ros.messages.status import status_to_message
from genima_ros.nodes.base import GraphNode
from genima_ros.nodes.console.pictures import compose
from genima_ros.nodes.console_node import ConsoleNode
from genima_ros.nodes.controller_node import ControllerParameters
from genima_ros.nodes.sim_node import SimParameters, check_scene

from .console_cell import says, viewers

pytestmark = pytest.mark.ros
STOP = "EMERGENCY STOP (Esc)"


@pytest.fixture
def console(bench, cell):
    return bench.node(ConsoleNode)


@pytest.fixture
def viewer(bench, console):
    with viewers.Viewer(console.address) as viewer:
        bench.until(lambda: viewer.pictures() > 0)
        yield viewer


# ---- watching


def test_pictures_come_while_somebody_looks_and_are_not_even_received_otherwise(bench, cell, console, rig):
    camera = interfaces.camera_image(rig.names[0]).name
    bench.until(lambda: bench.probe.count_subscribers("joint_states") > 0)
    assert bench.probe.count_subscribers(camera) == 0
    with viewers.Viewer(console.address) as viewer:
        bench.until(lambda: viewer.pictures() > 5)
        assert bench.probe.count_subscribers(camera) == 1
        bench.until(lambda: f"/cameras/{rig.names[0]}" in viewer.elements)
    bench.until(lambda: bench.probe.count_subscribers(camera) == 0)


def test_a_viewer_that_reads_nothing_holds_up_nobody(bench, console, viewer):
    stalled = viewers.Viewer(console.address, stalled=True)
    bench.until(lambda: len(console.server.get_clients()) == 2)
    before = viewer.pictures()
    bench.until(lambda: viewer.pictures() > before + 10)
    viewer.press(STOP)
    bench.until(says(viewer, "FAULT"))
    stalled.close()


def test_the_state_and_its_reason_are_said_in_words(bench, cell, viewer):
    bench.until(says(viewer, "AT REST", "Waiting for a chunk"))
    cell.acting = True
    bench.until(says(viewer, "MOVING"))


def test_what_messages_say_is_text_and_never_markup(bench, cell, viewer):
    cell.say(interfaces.INSTRUCTION, String(data="<script>alert(1)</script>"))
    cell.report(odd={"problem": "<img src=x onerror=alert(1)>"})
    bench.until(says(viewer, "&lt;script&gt;", "&lt;img src=x"))
    assert "<script" not in viewer.texts() and "<img" not in viewer.texts()


def test_a_node_that_falls_silent_is_shown(bench, cell, viewer):
    cell.report(painter={"rate_hz": 9.5})
    bench.until(says(viewer, "painter", "9.5 Hz"))
    cell.report()
    bench.until(says(viewer, "silent for 4 s"))
    cell.report(painter={"rate_hz": 8.5})
    bench.until(says(viewer, "8.5 Hz"))
    assert "silent" not in viewer.texts()


def test_without_a_graph_the_page_says_what_to_start(bench):
    console = bench.node(ConsoleNode)
    with viewers.Viewer(console.address) as viewer:
        bench.until(says(viewer, "NO STREAMER", "genima up sim", "no recorder runs", "no node is heard"))
        viewer.press("Enable", group="motion")
        bench.until(says(viewer, "nobody offers streamer/enable"))


def test_a_streamer_that_ends_and_comes_back_is_shown_and_so_is_a_stop_that_cannot_reach_it(
    bench, cell, console, viewer
):
    bench.until(says(viewer, "AT REST"))
    bench.end("streamer")
    bench.until(says(viewer, "NO STREAMER", "start a graph"))
    viewer.press(STOP)
    bench.until(says(viewer, "FAILED: no answer from the streamer; press the button on the robot"))
    bench.until(lambda: not console.calls._calls)  # while it is repeated, it would stop the one that comes back
    cell.start_streamer()
    bench.until(says(viewer, "AT REST"))


# ---- acting


@pytest.mark.parametrize("how", ["press", "trigger"])
def test_the_emergency_stop_stops_and_is_answered(bench, cell, viewer, how):
    """By the button, and by its key."""
    cell.acting = True
    bench.until(lambda: cell.streamer.status.state is State.TRACKING)
    getattr(viewer, how)(STOP if how == "press" else "Emergency stop")
    bench.until(lambda: cell.streamer.status.state is State.FAULT)
    cell.acting = False
    bench.until(says(viewer, "FAULT", "emergency stop: the arm stops and stays"))
    viewer.press("Reset fault", group="after a stop")
    bench.until(says(viewer, "the fault is cleared"))
    viewer.press("Enable", group="motion")
    bench.until(says(viewer, "streamer enable: enabled"))
    viewer.press("Disable", group="motion")
    bench.until(says(viewer, "AT REST", "stopping"))


def test_an_emergency_stop_that_nobody_answers_is_shown_as_failed(bench):
    console = bench.node(ConsoleNode)
    with viewers.Viewer(console.address) as viewer:
        viewer.press(STOP)
        bench.until(says(viewer, "FAILED: no answer from the streamer; press the button on the robot"))
    [answer] = console.calls.answers
    assert 0.5 <= answer.after_s


@pytest.mark.parametrize(
    ("label", "group", "service", "data"),
    [
        ("Next scene", "", "sim/reset", None),
        ("Start", "episode", "recorder/start", None),
        ("Stop", "episode", "recorder/stop", None),
        ("Discard", "last one", "recorder/discard", None),
        ("Re-record", "last one", "recorder/rerecord", None),
        ("Success", "label", "recorder/label", True),
        ("Failure", "label", "recorder/label", False),
    ],
)
@pytest.mark.parametrize("refused", [False, True])
def test_a_control_calls_its_service_and_shows_the_answer(bench, cell, viewer, label, group, service, data, refused):
    cell.offer(service)
    cell.refusing |= {service} if refused else set()
    owner, name = service.split("/")
    bench.until(lambda: bench.nodes[-1].calls.offered(owner, name))
    viewer.press(label, group)
    bench.until(lambda: cell.calls)
    assert cell.calls == [(service, data)]
    bench.until(says(viewer, f"{'✗' if refused else '✓'} {owner} {name.replace('_', ' ')}: {service} was asked"))


class Settable(GraphNode[SimParameters]):
    """The parameters of the sim node, without a cell."""

    def __init__(self, **options):
        super().__init__("sim", SimParameters, changeable=("task", "perturb"), **options)
        self.take_changes(check_scene)

    def values(self):
        return {"task": self.parameters.task, "perturb": self.parameters.perturb}


def test_the_simulated_cell_takes_another_task_and_other_looks(bench, cell, viewer):
    sim = bench.node(Settable)
    bench.until(lambda: viewer.elements[viewer.find("GuiFolder", "simulated cell")]["visible"])
    for label, parameter, value in (("task", "task", "open_drawer"), ("changed", "perturb", "lighting")):
        viewer.set(label, value)
        bench.until(lambda name=parameter, value=value: getattr(sim.parameters, name) == value)
        bench.until(says(viewer, f"✓ sim {parameter} := {value}: set"))
    viewer.set("task", "juggle")
    bench.until(says(viewer, "✗ sim task := juggle", "the tasks are"))
    sim.set_parameters([Parameter("task", value="turn_tap")])  # somebody else did
    bench.until(lambda: viewer.value("task") == "turn_tap")


def test_how_chunks_are_executed_is_switched_and_what_is_refused_does_not_stay_on_the_page(bench, cell, viewer):
    class Controller(GraphNode[ControllerParameters]):
        """The gate of a rig that can have none."""

        def __init__(self, **options):
            super().__init__("controller", ControllerParameters, changeable=("gate",), **options)
            self.take_changes(self.check)

        def check(self, parameters):
            if parameters.gate:
                raise ValueError("a gate needs two cameras")

        def values(self):
            return {"gate": str(self.parameters.gate).lower()}

    bench.node(Controller, parameters={"gate": False})
    bench.until(lambda: viewer.elements[viewer.find("Gui", "execution")]["visible"])
    viewer.set("execution", "confirm")
    bench.until(says(viewer, "✓ streamer execution := confirm: set"))
    assert cell.streamer.streamer.config.execution == "confirm"
    viewer.set("gate", True)
    bench.until(says(viewer, "✗ controller gate := True: a gate needs two cameras"))
    bench.until(lambda: viewer.value("gate") is False)
    assert bench.set("streamer", "execution", "async").successful  # somebody else did
    bench.until(lambda: viewer.value("execution") == "async")


def test_recover_asks_the_driver_in_its_namespace_and_tells_each_step(bench, cell):
    asked = []

    def recover(_, response):
        asked.append(True)
        response.success, response.message = True, "recovered: it holds where it is"
        return response

    bench.probe.create_service(Trigger, "/follower/franka/error_recovery", recover)
    arm = {"arm": "panda_fci", "arm_namespace": "/follower"}
    with viewers.Viewer(bench.node(ConsoleNode, parameters=arm).address) as viewer:
        bench.until(lambda: viewer.pictures() > 0)
        viewer.press("Recover", group="after a stop")
        bench.until(lambda: asked)
        viewer.press("Recover", group="after a stop")
        bench.until(says(viewer, "recover: its steps are under way already", "recover from the error: recovered"))
        bench.until(says(viewer, "✓ reset the streamer"))
    assert len(asked) == 1


@pytest.mark.parametrize(("label", "service"), [("Approve", "approve"), ("Reject, draw again", "reject")])
def test_a_proposal_waits_large_for_yes_or_no(bench, cell, console, viewer, label, service):
    cell.offer(f"controller/{service}")
    bench.until(lambda: console.calls.offered("controller", service))
    yes = viewer.elements[viewer.find("GuiButtonMessage", label)]
    bench.until(lambda: not yes["visible"])
    cell.report(controller={"rate_hz": 1.0})
    cell.say(interfaces.INSTRUCTION, String(data="push the button"))
    cell.propose()
    bench.until(says(viewer, "The policy asks:", "push the button", "within 1.0 s"))
    bench.until(lambda: yes["visible"] and "/path/line" in viewer.elements)
    viewer.set("your name", "Ada")
    viewer.press(label)
    bench.until(lambda: cell.calls == [(f"controller/{service}", "Ada")])
    cell.say(interfaces.PROPOSAL, JointTrajectory())
    bench.until(lambda: not yes["visible"])


def test_a_closed_gate_shows_the_drawing_that_it_refused(bench, cell, console, viewer):
    cell.offer("controller/resume")
    cell.report(controller={"rate_hz": 1.0})
    bench.until(lambda: console.watch.drawing is not None and console.calls.offered("controller", "resume"))
    cell.say(
        interfaces.GATE, status_to_message("gate", Status(GateState.CLOSED, Reason.DRAWING, "two grippers are drawn"))
    )
    bench.until(says(viewer, "policy paused by the gate: two grippers are drawn", "refused last"))
    viewer.press("Resume")
    bench.until(lambda: cell.calls == [("controller/resume", None)])


def test_an_instruction_reaches_everybody_also_nodes_that_start_later(bench, cell, viewer):
    heard = bench.listen(interfaces.INSTRUCTION)
    viewer.set("instruction", "open the drawer")
    viewer.press("Tell")
    bench.until(lambda: [message.data for message in heard] == ["open the drawer"])
    later = bench.listen(interfaces.INSTRUCTION)
    bench.until(lambda: later)
    cell.say(interfaces.INSTRUCTION, String(data="push the button"))
    bench.until(says(viewer, "<b>push the button</b>"))
    bench.until(lambda: bench.probe.count_publishers("instruction") == 1)  # not ours any more: it would contradict


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "at least one word"),
        ("x" * 10_000, "at most 200 characters, not 10000"),
        ("push\x07 it", "no control characters such as &#x27;\\x07&#x27;"),
        ("two\nlines", "write one line"),
    ],
)
def test_what_is_no_instruction_is_refused_with_a_reason(bench, cell, viewer, text, why):
    heard = bench.listen(interfaces.INSTRUCTION)
    viewer.set("instruction", text)
    viewer.press("Tell")
    bench.until(says(viewer, f"✗ instruction: {'an instruction has'}"))
    assert why in viewer.texts()
    assert find_instruction_fault(text) and not heard


def test_two_consoles_show_what_is_and_not_what_each_was_told(bench, cell, console, viewer):
    other = bench.node(ConsoleNode, namespace="/", cli_args=["--ros-args", "-r", "__node:=console_2"])
    with viewers.Viewer(other.address) as second:
        bench.until(lambda: second.pictures() > 0)
        viewer.set("speed, %", 40)
        bench.until(lambda: cell.streamer.streamer.config.velocity_scale == pytest.approx(0.4))
        bench.until(lambda: second.value("speed, %") == 40)
        cell.say(interfaces.RECORDING, Bool(data=True))
        cell.report(recorder={"state": "recording", "episode": 3.0, "seconds": 2.5, "kept": 2.0})
        bench.until(says(viewer, "● RECORDING", "episode 3"))
        bench.until(says(second, "● RECORDING", "episode 3"))


# ---- parts


def image(value: int, size: int = 64) -> Image:
    return conversions.rgb_to_image(np.full((size, size, 3), value, np.uint8), 0.0)


def test_the_drawing_is_blended_over_the_views_or_beside_them():
    names = ("a", "b", "c", "d")
    images, drawing = {name: image(100) for name in names}, image(200, 128)
    for share, expected in ((0.0, 100), (0.5, 150), (1.0, 200)):
        assert compose(images, names, drawing, share, False)[200, 200] == pytest.approx(expected, abs=1)
    beside = compose(images, names, drawing, 0.5, True)
    assert beside[100, 100] == pytest.approx(100) and beside[100, 400] == pytest.approx(200)
    missing = compose({"a": image(100)}, names, None, 0.5, False)
    assert missing[100, 200].max() == 100 and missing[400, 400].max() < 50
