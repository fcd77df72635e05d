"""The steps out of a reflex stop, as data from the arm's file; none of them moves the arm."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from genima_ros.arms import ArmSetup

GRAPH = "start the graph (genima up ...) in another terminal, then try again"
BY_HAND = (
    "release the user stop; unlock the joints and activate FCI in Desk; move the arm out of contact by hand; "
    "then try again"
)
ENABLE = "genima enable"
DRIVER = "start the arm's driver, then try again"


class Absent(RuntimeError):
    """Nobody offers what a step needs."""


@dataclass(frozen=True)
class Step:
    name: str
    call: Literal["disable", "trigger", "service", "action", "deactivate", "hardware", "activate", "wait", "reset"]
    """What `RecoveryLink` does for it."""
    target: str
    """Full name of the service, action or topic; of the controller manager."""
    items: tuple[str, ...] = ()
    """Controllers, or the hardware component."""
    if_absent: str = DRIVER
    if_failed: str = BY_HAND


@dataclass(frozen=True)
class Outcome:
    step: str
    ok: bool
    message: str
    todo: str = ""
    """What a person must do."""


def plan(arm: "ArmSetup", namespace: str = "") -> Iterator[Step]:
    """What to do for this arm, in this order; names that the file leaves out leave their steps out.

    The streamer is disabled first and stays so. Controllers are deactivated before anything comes back to life: a
    trajectory controller would go on along its old trajectory.
    """
    from genima_ros.arms import absolute  # not at the top: `--help` answers at once

    recovery = arm.driver.recovery
    manager, controllers = absolute(namespace, recovery.controller_manager), recovery.controllers
    yield Step("turn motion off", "disable", "/streamer/stop", if_absent=GRAPH, if_failed=GRAPH)
    if controllers:
        remedy = "restart the arm's driver, then try again"
        yield Step("deactivate controllers", "deactivate", manager, controllers, if_failed=remedy)
    if recovery.kind:
        real = "start the simulated cell, or name the real arm: genima recover --arm fr3"
        absent = real if recovery.kind == "trigger" else DRIVER
        yield Step("recover from the error", recovery.kind, absolute(namespace, recovery.name), if_absent=absent)
    if recovery.hardware:
        remedy = (
            "restart the arm's driver: after a recovery some versions of franka_ros2 cannot activate the hardware; "
            "then try again"
        )
        yield Step("activate the hardware", "hardware", manager, (recovery.hardware,), if_failed=remedy)
    if controllers:
        remedy = "read what the driver says, restart it, then try again"
        yield Step("activate controllers", "activate", manager, controllers, if_failed=remedy)
    yield Step("wait for the arm", "wait", "/arm_status", if_absent=GRAPH)
    remedy = "do what it says, then try again"
    yield Step("reset the streamer's fault", "reset", "/streamer/reset_fault", if_absent=GRAPH, if_failed=remedy)


def recover_by(steps: Iterable[Step], perform: Callable[[Step], str]) -> Iterator[Outcome]:
    """Performs the steps until one fails; each outcome comes at once.

    `perform` returns what came of a step, and raises RuntimeError (Absent where nobody is there).
    """
    for step in steps:
        try:
            yield Outcome(step.name, True, perform(step))
        except RuntimeError as error:
            todo = step.if_absent if isinstance(error, Absent) else step.if_failed
            yield Outcome(step.name, False, str(error), todo)
            return
