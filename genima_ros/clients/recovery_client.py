"""Gets an arm out of a reflex stop, step by step, by its driver and the streamer; no step moves the arm."""

import importlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.action import ActionClient
from std_srvs.srv import Trigger

from genima_core.arm_status import ArmStatus, Level
from genima_core.streaming.states import Refusal, State, Status
from genima_ros.arms import ArmSetup, absolute
from genima_ros.clients.observer import Absent, Observer
from genima_ros.messages import interfaces
from genima_ros.messages.status import read_arm_status, read_status

FOUND_S = 10.0
ANSWER_S = 20.0
"""An arm takes up to a dozen seconds to recover."""
NO_ERROR = "no error"
"""In what multipanda_ros2 answers, as a failure, when there is nothing to recover from."""
GRAPH = "start the graph (genima up ...) in another terminal, then try again"
DRIVER = "start the arm's driver, then try again"
SIMULATED = "start the simulated cell, or name the real arm: genima recover --arm fr3"
RESTART = "restart the arm's driver, then try again"
BY_HAND = (
    "release the user stop; unlock the joints and activate FCI in Desk; move the arm out of contact by hand; "
    "then try again"
)
NO_HARDWARE = (
    "restart the arm's driver: after a recovery some versions of franka_ros2 cannot activate the hardware; "
    "then try again"
)


@dataclass(frozen=True)
class Step:
    name: str
    act: Callable[[], str]
    """Says what came of it; Absent where nobody is there to do it, RuntimeError if it failed or took too long."""
    if_absent: str = DRIVER
    if_failed: str = BY_HAND


@dataclass(frozen=True)
class Outcome:
    step: str
    ok: bool
    message: str
    todo: str = ""
    """What a person must do."""


class RecoveryLink(Observer):
    def __init__(self, domain: int, found_s: float = FOUND_S, answer_s: float = ANSWER_S) -> None:
        super().__init__(domain, "recover")
        self._found_s, self._answer_s = found_s, answer_s
        self._status: ArmStatus | None = None
        self._streamer: Status | None = None
        self._streamer_s = -math.inf
        self.listen(interfaces.ARM_STATUS, self._on_status)
        self.listen(interfaces.STREAMER_STATE, self._on_state)

    def recover(self, arm: ArmSetup, namespace: str = "") -> Iterator[Outcome]:
        """Performs the steps of this arm until one fails; each outcome comes at once."""
        for step in self.steps(arm, namespace):
            try:
                yield Outcome(step.name, True, step.act())
            except RuntimeError as error:
                todo = step.if_absent if isinstance(error, Absent) else step.if_failed
                yield Outcome(step.name, False, str(error), todo)
                return

    def steps(self, arm: ArmSetup, namespace: str = "") -> list[Step]:
        """What to do for this arm, in this order; names that its file leaves out leave their steps out.

        The streamer is disabled first and stays so. Controllers are deactivated before anything comes back to life: a
        trajectory controller would go on along its old trajectory. Errors are those of `find_message`.
        """
        recovery, name = arm.driver.recovery, absolute(namespace, arm.driver.recovery.name)
        manager = absolute(namespace, recovery.controller_manager)
        switch = partial(self._switch, manager, recovery.controllers)
        steps = [Step("turn motion off", self._disable, GRAPH, GRAPH)]
        if recovery.controllers:
            find_message("controller_manager_msgs.srv", "SwitchController")
            steps.append(Step("deactivate controllers", partial(switch, False), if_failed=RESTART))
        if recovery.kind == "trigger":
            steps.append(Step("recover from the error", partial(self._trigger, name), SIMULATED))
        elif recovery.kind == "service":
            kind = find_message("franka_msgs.srv", "ErrorRecovery")
            steps.append(Step("recover from the error", partial(self._call_service, kind, name)))
        elif recovery.kind == "action":
            kind = find_message("franka_msgs.action", "ErrorRecovery")
            steps.append(Step("recover from the error", partial(self._run_action, kind, name)))
        if recovery.hardware:
            kind = find_message("controller_manager_msgs.srv", "SetHardwareComponentState")
            activate = partial(self._activate_hardware, kind, manager, recovery.hardware)
            steps.append(Step("activate the hardware", activate, if_failed=NO_HARDWARE))
        if recovery.controllers:
            remedy = "read what the driver says, restart it, then try again"
            steps.append(Step("activate controllers", partial(switch, True), if_failed=remedy))
        steps.append(Step("wait for the arm", self._wait, GRAPH))
        steps.append(Step("reset the streamer's fault", self._reset, GRAPH, "do what it says, then try again"))
        return steps

    def _on_status(self, message: DiagnosticStatus) -> None:
        status = read_arm_status(message)
        if not isinstance(status, Refusal):
            self._status = status

    def _on_state(self, message: DiagnosticStatus) -> None:
        self._streamer, self._streamer_s = read_status(message, State), time.monotonic()

    # ---- the arm

    def _trigger(self, name: str) -> str:
        response = self._ask(Trigger, name)
        if not response.success:
            raise RuntimeError(f"{name} refused: {response.message}")
        return response.message

    def _call_service(self, kind: Any, name: str) -> str:
        response = self._ask(kind, name)
        if response.success:
            return "recovered"
        if NO_ERROR in response.error.lower():
            return "there was no error"
        raise RuntimeError(f"{name} refused: {response.error or 'it gives no reason'}")

    def _run_action(self, kind: Any, name: str) -> str:
        client = ActionClient(self.node, kind, name)
        try:
            if not self.spin_until(client.server_is_ready, self._found_s):
                raise Absent(f"there is no action {name}")
            goal = self.wait_for(client.send_goal_async(kind.Goal()), name, self._answer_s)
            if not goal.accepted:
                raise RuntimeError(f"{name} refused the goal")
            status = self.wait_for(goal.get_result_async(), name, self._answer_s).status
        finally:
            client.destroy()
        if status != GoalStatus.STATUS_SUCCEEDED:
            raise RuntimeError(f"{name} failed: the arm did not recover")
        return "recovered"

    def _wait(self) -> str:
        self._status = None
        if not self.spin_until(lambda: self._status is not None, self._found_s):
            raise Absent("nothing arrives on /arm_status: no arm monitor is running")
        if not self.spin_until(lambda: self._status is not None and self._status.level is Level.OK, self._answer_s):
            raise RuntimeError(f"the arm must not be moved: {self._status and self._status.message}")
        return "it may be moved"

    # ---- its controllers

    def _switch(self, manager: str, controllers: Sequence[str], on: bool) -> str:
        """Activates those of the controllers that are not active, or deactivates those that are."""
        from controller_manager_msgs.srv import ListControllers, SwitchController

        states = {c.name: c.state for c in self._ask(ListControllers, f"{manager}/list_controllers").controller}
        if missing := [name for name in controllers if name not in states]:
            there = f"it has {', '.join(states) or 'none'}: compare recovery.controllers of the arm's file"
            raise RuntimeError(f"{manager} has no controller {', '.join(missing)}; {there}")
        names = [name for name in controllers if (states[name] == "active") != on]
        if not names:
            return "all were active" if on else "none was active"
        request = SwitchController.Request(strictness=SwitchController.Request.STRICT)
        request.timeout.sec = math.ceil(self._answer_s / 2)
        verb = "activate" if on else "deactivate"
        setattr(request, f"{verb}_controllers", names)
        response = self._ask(SwitchController, f"{manager}/switch_controller", request)
        if not response.ok:
            reason = getattr(response, "message", "")  # older ones do not say
            raise RuntimeError(f"{manager} cannot {verb} {', '.join(names)}{': ' if reason else ''}{reason}")
        return ", ".join(names)

    def _activate_hardware(self, kind: Any, manager: str, hardware: str) -> str:
        from lifecycle_msgs.msg import State as Lifecycle

        request = kind.Request(name=hardware)
        request.target_state.id, request.target_state.label = Lifecycle.PRIMARY_STATE_ACTIVE, "active"
        response = self._ask(kind, f"{manager}/set_hardware_component_state", request)
        if not response.ok:
            raise RuntimeError(f"{hardware} stays {response.state.label or 'as it is'}")
        return f"{hardware} is active"

    # ---- the streamer

    def _disable(self) -> str:
        self._trigger("/streamer/stop")
        return "the streamer is disabled"

    def _reset(self) -> str:
        """Once it has come to rest."""
        begin_s = time.monotonic()
        if not self.spin_until(lambda: self._streamer_s > begin_s, self._found_s):
            raise Absent("the streamer publishes no state")
        resting = (State.HOLDING, State.FAULT)
        if not self.spin_until(lambda: self._streamer is not None and self._streamer.state in resting, self._answer_s):
            raise RuntimeError(f"the streamer does not come to rest: {self._streamer}")
        if self._streamer is None or self._streamer.state is not State.FAULT:
            return "there was no fault"
        self._trigger("/streamer/reset_fault")
        return "the fault is cleared"

    def _ask(self, kind: Any, name: str, request: Any = None) -> Any:
        return self.ask(kind, name, request or kind.Request(), self._answer_s, found_s=self._found_s)


def find_message(module: str, name: str) -> Any:
    """ImportError or RuntimeError where its package is missing, or is another one of this name."""
    kind = getattr(importlib.import_module(module), name, None)
    if kind is None:
        hint = "source the workspace of the arm's driver: franka_ros2 for an FR3, multipanda_ros2 for a Panda"
        raise RuntimeError(f"{module} has no {name}; {hint}")
    return kind
