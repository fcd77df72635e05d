"""`genima recover` against real services and actions: the order of its steps, and what is said where one fails."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rclpy
from rclpy.action import ActionServer, GoalResponse
from std_srvs.srv import Trigger

from genima_core.arm import PANDA
from genima_core.arm_status import MODES, read_status
from genima_ros.arms import ArmSetup, Recovery, find_arm
from genima_ros.cli.recover import recover, tell
from genima_ros.clients.recovery_client import Outcome, RecoveryLink
from genima_ros.graph.graph import share_folder
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.status import StatusTeller
from genima_ros.nodes.streamer_node import StreamerNode

from .conftest import as_text
from .test_sim_node import FakeCell, SimNode

pytestmark = pytest.mark.ros

ARMS = share_folder() / "config" / "arms"
MOVE, REFLEX, USER_STOPPED = (read_status(MODES.index(mode), ()) for mode in ("move", "reflex", "user_stopped"))
CONTROLLERS = find_arm("fr3").driver.recovery.controllers


class ControllerManager:
    """Controllers of an arm that is in reflex; the arm may be moved once the last of them is active again."""

    def __init__(self, bench, controllers: tuple[str, ...], spoilt: str = "") -> None:
        from controller_manager_msgs.srv import ListControllers, SwitchController

        self.spoilt, self.calls, self.status, self.controllers = spoilt, [], REFLEX, controllers
        self.states = dict.fromkeys(controllers, "inactive") | {controllers[-1]: "active"}
        bench.probe.create_service(ListControllers, "/controller_manager/list_controllers", self.list)
        bench.probe.create_service(SwitchController, "/controller_manager/switch_controller", self.switch)
        self.teller = StatusTeller(bench.probe)
        bench.probe.create_timer(0.02, lambda: self.teller.tell(self.status, bench.now_s()))

    def list(self, _, response):
        from controller_manager_msgs.msg import ControllerState

        response.controller = [ControllerState(name=name, state=state) for name, state in self.states.items()]
        return response

    def switch(self, request, response):
        self.calls.append(
            ("off", *request.deactivate_controllers)
            if request.deactivate_controllers
            else ("on", *request.activate_controllers)
        )
        response.ok = not (request.activate_controllers and self.spoilt == "controllers stay inactive")
        if response.ok:
            self.states |= dict.fromkeys(request.deactivate_controllers, "inactive")
            self.states |= dict.fromkeys(request.activate_controllers, "active")
            if self.states[self.controllers[-1]] == "active":
                self.status = USER_STOPPED if self.spoilt == "the user stop is pressed" else MOVE
        response.message = "" if response.ok else "its hardware is not active"
        return response


class Driver(ControllerManager):
    """What franka_ros2 and its controller manager offer; the trajectory controller is still active.

    `spoilt` names the step that goes wrong.
    """

    def __init__(self, bench, spoilt: str = "") -> None:
        from controller_manager_msgs.srv import SetHardwareComponentState
        from franka_msgs.action import ErrorRecovery

        super().__init__(bench, CONTROLLERS, spoilt)
        if spoilt == "a controller is unknown":
            self.states.pop(CONTROLLERS[0])
        node = bench.probe
        self.silent = rclpy.create_node("silent", context=bench.context)  # nobody spins it
        hanging = self.silent if spoilt == "the hardware hangs" else node
        hanging.create_service(
            SetHardwareComponentState, "/controller_manager/set_hardware_component_state", self.set_hardware
        )
        self.server = ActionServer(
            node,
            ErrorRecovery,
            "/action_server/error_recovery",
            self.recover,
            goal_callback=lambda _: GoalResponse.REJECT if spoilt == "recovery is refused" else GoalResponse.ACCEPT,
        )

    def set_hardware(self, request, response):
        self.calls.append(("hardware", request.name, request.target_state.label))
        response.ok = self.spoilt != "the hardware stays inactive"
        response.state.label = "active" if response.ok else "unconfigured"
        return response

    def recover(self, goal):
        from franka_msgs.action import ErrorRecovery

        self.calls.append(("recover",))
        goal.abort() if self.spoilt == "recovery fails" else goal.succeed()
        return ErrorRecovery.Result()


@pytest.fixture
def make_driver(bench, interface_packages):
    """Makes a driver; its action server does not end with its node."""
    drivers = []

    def make(spoilt: str = "") -> Driver:
        drivers.append(Driver(bench, spoilt))
        return drivers[-1]

    yield make
    for driver in drivers:
        driver.server.destroy()
        driver.silent.destroy_node()


def run(bench, arm: ArmSetup, found_s: float = 20.0, answer_s: float = 20.0) -> list:
    """The outcomes, in a thread of their own: the bench is spun meanwhile."""
    with RecoveryLink(int(os.environ["ROS_DOMAIN_ID"]), found_s, answer_s) as link, ThreadPoolExecutor() as pool:
        outcomes = pool.submit(lambda: list(link.recover(arm)))
        bench.until(outcomes.done)
    return outcomes.result()


def start_streamer(bench):
    """A streamer that is enabled and watches the arm; its newest state, and its commands."""
    states, commands = bench.listen(interfaces.STREAMER_STATE), bench.listen(interfaces.JOINT_COMMANDS)
    publisher = interfaces.publish(bench.probe, interfaces.JOINT_STATES)
    bench.probe.create_timer(
        0.01,
        lambda: publisher.publish(
            conversions.to_joint_state(PANDA.joint_names, PANDA.home, bench.now_s(), np.zeros(7))
        ),
    )
    bench.node(StreamerNode, parameters={"enabled": True, "watch_arm_status": True})
    return states, commands


def test_an_fr3_is_recovered_in_order_and_motion_stays_off(bench, make_driver):
    driver = make_driver()
    driver.status = MOVE
    states, commands = start_streamer(bench)
    bench.until(lambda: commands)
    driver.status = REFLEX
    bench.until(lambda: states and as_text(states[-1]).startswith("fault"))
    outcomes = run(bench, find_arm("fr3"))
    assert [outcome.ok for outcome in outcomes] == [True] * 7, outcomes
    assert driver.calls == [
        ("off", CONTROLLERS[-1]),
        ("recover",),
        ("hardware", "FrankaHardwareInterface", "active"),
        ("on", *CONTROLLERS),
    ]
    count, seen = len(commands), len(states)
    bench.until(lambda: len(states) > seen + 2)  # a second
    assert len(commands) == count
    assert as_text(states[-1]) == "holding: The streamer is disabled; to move the arm: genima enable."
    assert bench.call("streamer", "enable", data=True).success
    bench.until(lambda: len(commands) > count)
    assert np.array(commands[count].position) == pytest.approx(PANDA.home)


@pytest.mark.parametrize(
    ("spoilt", "step", "said", "todo"),
    [
        ("a controller is unknown", "deactivate controllers", "no controller joint_state_broadcaster", "restart"),
        ("recovery is refused", "recover from the error", "refused the goal", "release the user stop"),
        ("recovery fails", "recover from the error", "did not recover", "out of contact by hand"),
        ("the hardware stays inactive", "activate the hardware", "unconfigured", "restart the arm's driver"),
        ("the hardware hangs", "activate the hardware", "gave no answer within 1 s", "restart the arm's driver"),
        ("controllers stay inactive", "activate controllers", "its hardware is not active", "restart"),
        ("the user stop is pressed", "wait for the arm", "release the user stop", "release the user stop"),
    ],
)
def test_the_first_step_that_fails_is_the_last(bench, make_driver, spoilt, step, said, todo):
    driver = make_driver(spoilt)
    start_streamer(bench)
    *before, last = run(bench, find_arm("fr3"), answer_s=1.0)
    assert all(outcome.ok for outcome in before) and not last.ok
    assert last.step == step and said in last.message and todo in last.todo
    assert ("on", *CONTROLLERS) not in driver.calls or step in ("activate controllers", "wait for the arm")


def test_without_a_streamer_nothing_is_called(bench, make_driver):
    driver = make_driver()
    outcomes = run(bench, find_arm("fr3"), found_s=0.3)
    assert [outcome.step for outcome in outcomes] == ["turn motion off"]
    assert "nobody offers the service /streamer/stop" in outcomes[0].message and "genima up" in outcomes[0].todo
    assert not driver.calls


PANDA_RECOVERY = "/panda_error_recovery_service_server/error_recovery"


@pytest.fixture
def panda_messages(interface_packages):
    """The service of a Panda's driver; the franka_msgs of an FR3's, where those are installed, lack it."""
    return pytest.importorskip("franka_msgs.srv").__dict__.get("ErrorRecovery") or pytest.skip("franka_msgs of an FR3")


def test_a_driver_that_is_not_there_or_hangs_is_said(bench, panda_messages):
    start_streamer(bench)
    arm = find_arm("panda")
    ControllerManager(bench, arm.driver.recovery.controllers)
    last = run(bench, arm, found_s=3.0)[-1]
    assert f"nobody offers the service {PANDA_RECOVERY}" in last.message and "start the arm's driver" in last.todo
    silent = rclpy.create_node("silent", context=bench.context)  # nobody spins it
    silent.create_service(panda_messages, PANDA_RECOVERY, lambda _, response: response)
    last = run(bench, arm, answer_s=0.3)[-1]
    assert last.step == "recover from the error" and "gave no answer within 0.3 s" in last.message
    silent.destroy_node()


@pytest.mark.parametrize("deactivates", [True, False], ids=["controllers end", "controllers stay"])
@pytest.mark.parametrize(
    ("success", "error", "said"),
    [
        (True, "", "recovered"),
        (False, "No errors", "there was no error"),
        (False, "robot is locked", "robot is locked"),
    ],
)
def test_a_panda_is_recovered_by_a_service(bench, panda_messages, success, error, said, deactivates):
    """Its driver's pages differ on whether its controllers are active afterwards."""
    arm = find_arm("panda")
    controllers = arm.driver.recovery.controllers
    driver = ControllerManager(bench, controllers)
    driver.states = dict.fromkeys(controllers, "active")

    def answer(_, response):
        if deactivates:
            driver.states = dict.fromkeys(controllers, "inactive")
        response.success, response.error = success, error
        return response

    bench.probe.create_service(panda_messages, PANDA_RECOVERY, answer)
    start_streamer(bench)
    outcomes = run(bench, arm)
    steps = [outcome.step for outcome in outcomes]
    assert steps[:3] == ["turn motion off", "deactivate controllers", "recover from the error"]
    assert said in outcomes[2].message
    assert outcomes[-1].ok == ("locked" not in said)
    assert set(driver.states.values()) == ({"active"} if outcomes[-1].ok else {"inactive"})


def test_an_arm_without_a_monitor_is_said(bench):
    start_streamer(bench)
    outcomes = run(bench, ArmSetup(PANDA), found_s=0.5)
    assert [outcome.ok for outcome in outcomes] == [True, False]
    assert "no arm monitor" in outcomes[-1].message


def test_the_simulated_cell_goes_on_after_recovery(bench, rig):
    cell = FakeCell(rig)
    states, commands = bench.listen(interfaces.STREAMER_STATE), bench.listen(interfaces.JOINT_COMMANDS)
    bench.node(SimNode, lambda _: cell)
    bench.node(StreamerNode, parameters={"enabled": True, "watch_arm_status": True})
    bench.until(lambda: commands)
    assert bench.call("sim", "reflex").success
    bench.until(
        lambda: states and as_text(states[-1]).startswith("fault: The arm reports reflex with cartesian_reflex")
    )
    outcomes = run(bench, find_arm("sim"))
    assert [outcome.ok for outcome in outcomes] == [True] * 4, outcomes
    assert bench.call("streamer", "enable", data=True).success
    bench.until(lambda: states and as_text(states[-1]) == "holding: Waiting for a chunk.")


def test_a_refusal_is_told_with_its_reason(bench):
    def answer(_, response):
        response.success, response.message = False, "not now"
        return response

    bench.probe.create_service(Trigger, "/sim/error_recovery", answer)
    start_streamer(bench)
    last = run(bench, find_arm("sim"))[-1]
    assert last.message == "/sim/error_recovery refused: not now"


# ---- the steps as data, and the verb


def test_the_steps_come_from_the_arms_file(interface_packages):
    fr3 = find_arm("fr3")
    bare = replace(fr3, driver=replace(fr3.driver, recovery=Recovery()))
    with RecoveryLink(int(os.environ["ROS_DOMAIN_ID"])) as link:
        steps, simulated, few = (link.steps(arm, "/left") for arm in (fr3, find_arm("sim"), bare))
    assert [step.name for step in steps] == [
        "turn motion off",
        "deactivate controllers",
        "recover from the error",
        "activate the hardware",
        "activate controllers",
        "wait for the arm",
        "reset the streamer's fault",
    ]
    assert steps[2].act.args[1] == "/left/action_server/error_recovery"
    assert steps[3].act.args[1] == "/left/controller_manager"
    assert [step.name for step in simulated] == [steps[i].name for i in (0, 2, 5, 6)]
    assert simulated[1].if_absent.endswith("genima recover --arm fr3")
    assert [step.name for step in few] == [steps[i].name for i in (0, 5, 6)]


def test_an_unknown_arm_is_refused():
    with pytest.raises(FileNotFoundError, match="no arm 'ur5'; valid are fr3, fr3_fci, panda, panda_fci, sim"):
        recover("ur5")


def test_the_verb_says_what_to_do_and_writes_it_down(tmp_path, capfd):
    path = tmp_path / "folder" / "recovery.json"
    assert recover(json=path) == 1
    output = capfd.readouterr().out
    assert "FAILED  turn motion off: nobody offers the service /streamer/stop" in output and "genima up" in output
    assert "enable it" not in output
    report = json.loads(path.read_text())
    assert report["recovered"] is False and report["steps"][0]["todo"]


def test_a_recovery_ends_with_how_to_enable(capsys):
    outcomes = tell(Outcome(name, True, "done") for name in ("turn motion off", "wait for the arm"))
    assert all(outcome.ok for outcome in outcomes)
    *steps, last = capsys.readouterr().out.splitlines()
    assert len(steps) == 2 and all(line.startswith("ok  ") for line in steps)
    assert last.startswith("motion is off") and last.endswith("genima enable")
