"""Performs the steps of a recovery by calling services and actions of the arm's driver and of the streamer."""

import importlib
import math
import time
from collections.abc import Iterable

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.action import ActionClient
from std_srvs.srv import Trigger

from genima_core.arm_status import ArmStatus, Level
from genima_core.streaming.states import Refusal, State, Status
from genima_ros.clients.observer import Observer
from genima_ros.graph.recovery import Absent, Step
from genima_ros.messages import interfaces
from genima_ros.messages.status import read_arm_status, read_status

FOUND_S = 10.0
ANSWER_S = 20.0
"""An arm takes up to a dozen seconds to recover."""
NO_ERROR = "no error"
"""In what multipanda_ros2 answers, as a failure, when there is nothing to recover from."""
NEEDS = {
    "service": ("franka_msgs.srv", "ErrorRecovery"),
    "action": ("franka_msgs.action", "ErrorRecovery"),
    "deactivate": ("controller_manager_msgs.srv", "SwitchController"),
    "hardware": ("controller_manager_msgs.srv", "SetHardwareComponentState"),
    "activate": ("controller_manager_msgs.srv", "SwitchController"),
}
"""What calls need of a full ROS 2 installation."""


def check_packages(steps: Iterable[Step]) -> None:
    """ImportError or RuntimeError where a package that they need is missing, or is another one of this name."""
    for module, name in (NEEDS[step.call] for step in steps if step.call in NEEDS):
        if not hasattr(importlib.import_module(module), name):
            raise RuntimeError(
                f"{module} has no {name}; source the workspace of the arm's driver: franka_ros2 for an "
                "FR3, multipanda_ros2 for a Panda"
            )


class RecoveryLink(Observer):
    """`perform` does one step, and waits for its end."""

    def __init__(self, domain: int, found_s: float = FOUND_S, answer_s: float = ANSWER_S) -> None:
        super().__init__(domain, "recover")
        self._found_s, self._answer_s = found_s, answer_s
        self._status: ArmStatus | None = None
        self._streamer: Status | None = None
        self._streamer_s = -math.inf
        self.listen(interfaces.ARM_STATUS, self._on_status)
        self.listen(interfaces.STREAMER_STATE, self._on_state)

    def perform(self, step: Step) -> str:
        """What came of it; Absent where nobody is there to do it, RuntimeError if it failed, or did not end in time."""
        return getattr(self, f"_{step.call}")(step)

    def _on_status(self, message: DiagnosticStatus) -> None:
        status = read_arm_status(message)
        if not isinstance(status, Refusal):
            self._status = status

    def _on_state(self, message: DiagnosticStatus) -> None:
        self._streamer, self._streamer_s = read_status(message, State), time.monotonic()

    # ---- the arm

    def _trigger(self, step: Step) -> str:
        response = self._ask(Trigger, step.target, Trigger.Request())
        if not response.success:
            raise RuntimeError(f"{step.target} refused: {response.message}")
        return response.message

    def _service(self, step: Step) -> str:
        from franka_msgs.srv import ErrorRecovery

        response = self._ask(ErrorRecovery, step.target, ErrorRecovery.Request())
        if response.success:
            return "recovered"
        if NO_ERROR in response.error.lower():
            return "there was no error"
        raise RuntimeError(f"{step.target} refused: {response.error or 'it gives no reason'}")

    def _action(self, step: Step) -> str:
        from action_msgs.msg import GoalStatus
        from franka_msgs.action import ErrorRecovery

        client = ActionClient(self.node, ErrorRecovery, step.target)
        try:
            if not self.spin_until(client.server_is_ready, self._found_s):
                raise Absent(f"there is no action {step.target}")
            goal = self._answer(client.send_goal_async(ErrorRecovery.Goal()), step.target)
            if not goal.accepted:
                raise RuntimeError(f"{step.target} refused the goal")
            status = self._answer(goal.get_result_async(), step.target).status
        finally:
            client.destroy()
        if status != GoalStatus.STATUS_SUCCEEDED:
            raise RuntimeError(f"{step.target} failed: the arm did not recover")
        return "recovered"

    def _wait(self, step: Step) -> str:
        self._status = None
        if not self.spin_until(lambda: self._status is not None, self._found_s):
            raise Absent(f"nothing arrives on {step.target}: no arm monitor is running")
        if not self.spin_until(lambda: self._status is not None and self._status.level is Level.OK, self._answer_s):
            raise RuntimeError(f"the arm must not be moved: {self._status and self._status.message}")
        return "it may be moved"

    # ---- its controllers

    def _controllers(self, step: Step) -> dict[str, str]:
        """State of each controller of the step; RuntimeError where one is not loaded."""
        from controller_manager_msgs.srv import ListControllers

        listed = self._ask(ListControllers, f"{step.target}/list_controllers", ListControllers.Request()).controller
        states = {controller.name: controller.state for controller in listed}
        missing = [name for name in step.items if name not in states]
        if missing:
            raise RuntimeError(
                f"{step.target} has no controller {', '.join(missing)}; it has "
                f"{', '.join(states) or 'none'}: compare recovery.controllers of the arm's file"
            )
        return {name: states[name] for name in step.items}

    def _deactivate(self, step: Step) -> str:
        active = [name for name, state in self._controllers(step).items() if state == "active"]
        return self._switch(step, deactivate_controllers=active) if active else "none was active"

    def _activate(self, step: Step) -> str:
        idle = [name for name, state in self._controllers(step).items() if state != "active"]
        return self._switch(step, activate_controllers=idle) if idle else "all were active"

    def _switch(self, step: Step, **controllers: list[str]) -> str:
        from controller_manager_msgs.srv import SwitchController

        request = SwitchController.Request(strictness=SwitchController.Request.STRICT, **controllers)
        request.timeout.sec = math.ceil(self._answer_s / 2)
        response = self._ask(SwitchController, f"{step.target}/switch_controller", request)
        names = ", ".join(name for group in controllers.values() for name in group)
        if not response.ok:
            reason = getattr(response, "message", "")  # older ones do not say
            raise RuntimeError(
                f"{step.target} cannot {step.name.partition(' ')[0]} {names}{': ' if reason else ''}{reason}"
            )
        return names

    def _hardware(self, step: Step) -> str:
        from controller_manager_msgs.srv import SetHardwareComponentState
        from lifecycle_msgs.msg import State as Lifecycle

        request = SetHardwareComponentState.Request(name=step.items[0])
        request.target_state.id, request.target_state.label = Lifecycle.PRIMARY_STATE_ACTIVE, "active"
        response = self._ask(SetHardwareComponentState, f"{step.target}/set_hardware_component_state", request)
        if not response.ok:
            raise RuntimeError(f"{step.items[0]} stays {response.state.label or 'as it is'}")
        return f"{step.items[0]} is active"

    # ---- the streamer

    def _disable(self, step: Step) -> str:
        self._trigger(step)
        return "the streamer is disabled"

    def _reset(self, step: Step) -> str:
        self._rest(step)
        if self._streamer is None or self._streamer.state is not State.FAULT:
            return "there was none"
        self._trigger(step)
        return "it is over"

    def _rest(self, step: Step) -> None:
        """Returns when the streamer has come to rest, and its state is known."""
        begin_s = time.monotonic()
        if not self.spin_until(lambda: self._streamer_s > begin_s, self._found_s):
            raise Absent("the streamer publishes no state")
        resting = (State.HOLDING, State.FAULT)
        if not self.spin_until(lambda: self._streamer is not None and self._streamer.state in resting, self._answer_s):
            raise RuntimeError(f"the streamer does not come to rest: {self._streamer}")

    # ---- calls

    def _ask(self, kind: type, name: str, request: object):
        """The response of a service."""
        client = self.node.create_client(kind, name)
        try:
            if not self.spin_until(client.service_is_ready, self._found_s):
                raise Absent(f"there is no service {name}")
            return self._answer(client.call_async(request), name)
        finally:
            self.node.destroy_client(client)

    def _answer(self, future, name: str):
        if not self.spin_until(future.done, self._answer_s):
            raise RuntimeError(f"{name} gave no answer within {self._answer_s:g} s")
        return future.result()
