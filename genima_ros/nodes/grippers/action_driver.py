"""Carries goals to a gripper by ROS actions; nothing waits."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient
from rclpy.action.client import ClientGoalHandle
from rclpy.task import Future

from genima_core.gripper import Answer, Goal, GripperControl


class ActionDriver:
    """A `genima_core.gripper.Driver`."""

    control: GripperControl
    """To be set before anything is sent: where the answers go."""

    def __init__(
        self,
        clients: Sequence[ActionClient],
        translate: Callable[[Goal], tuple[ActionClient, Any]],
        read: Callable[[Any], Answer],
        clock_s: Callable[[], float],
    ) -> None:
        """`translate` says which action a goal becomes, `read` what the result of any of them means."""
        self._clients, self._translate, self._read, self._clock_s = tuple(clients), translate, read, clock_s
        self._handles: dict[int, ClientGoalHandle] = {}
        self._cancelled: set[int] = set()

    def ready(self) -> bool:
        return all(client.server_is_ready() for client in self._clients)

    def send(self, goal: Goal) -> None:
        client, message = self._translate(goal)
        client.send_goal_async(message).add_done_callback(partial(self._on_response, goal.number))

    def cancel(self, number: int) -> None:
        handle = self._handles.get(number)
        if handle is None:
            self._cancelled.add(number)  # as soon as it is taken on
        else:
            handle.cancel_goal_async()

    def _on_response(self, number: int, future: Future) -> None:
        handle = future.result()
        if not handle.accepted:
            self._cancelled.discard(number)
            self.control.on_rejected(number, self._clock_s())
            return
        self._handles[number] = handle
        handle.get_result_async().add_done_callback(partial(self._on_result, number))
        self.control.on_accepted(number, self._clock_s())
        if number in self._cancelled:
            self._cancelled.discard(number)
            handle.cancel_goal_async()

    def _on_result(self, number: int, future: Future) -> None:
        self._handles.pop(number, None)
        outcome = future.result()
        answer = self._read(outcome.result)
        if outcome.status != GoalStatus.STATUS_SUCCEEDED:
            answer = Answer(False, answer.stalled, answer.message or STATUS.get(outcome.status, "it ended otherwise"))
        self.control.on_answer(number, answer, self._clock_s())


STATUS = {GoalStatus.STATUS_ABORTED: "the driver gave it up", GoalStatus.STATUS_CANCELED: "it was cancelled"}
