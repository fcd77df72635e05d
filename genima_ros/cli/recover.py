"""`genima recover`: out of a reflex stop, step by step; it never moves the arm and never enables motion."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from genima_core.files import write_json
from genima_ros.cli.up import terminate_as_interrupt
from genima_ros.graph.domain import join_domain

if TYPE_CHECKING:
    from genima_ros.clients.recovery_client import Outcome


def recover(arm: str = "sim", arm_namespace: str = "", json: Path | None = None) -> int:
    """Gets the arm out of a reflex stop, step by step, while its graph runs.

    Reports each step, and stops at the first that fails with what a person must do. It turns motion off
    and leaves it off: its last line says how to enable it. Exits with 0 when the arm may be moved again, else with 1.

    Example: genima recover --arm fr3

    Args:
        arm: A name in config/arms (fr3, panda, sim), or a file like those; as of `genima up real`.
        arm_namespace: Namespace of the arm's driver, such as /follower.
        json: File for the outcome of each step.
    """
    from genima_ros.arms import find_arm  # not at the top: `--help` answers at once, and without ROS

    setup = find_arm(arm)
    from genima_ros.clients.recovery_client import RecoveryLink

    with terminate_as_interrupt(), RecoveryLink(join_domain()) as link:
        outcomes = tell(link.recover(setup, arm_namespace))
    done = outcomes[-1].ok
    write_json(json, {"arm": arm, "recovered": done, "steps": [asdict(outcome) for outcome in outcomes]})
    return 0 if done else 1


def tell(outcomes: "Iterable[Outcome]") -> "list[Outcome]":
    """Prints each as it comes, and at the end what to do next."""
    told = []
    for outcome in outcomes:
        told.append(outcome)
        print(f"{'ok    ' if outcome.ok else 'FAILED'}  {outcome.step}: {outcome.message}", flush=True)
        if outcome.todo:
            print(f"        {outcome.todo}", flush=True)
    enable = "motion is off; when nobody is near the arm, enable it: genima enable"
    print(enable if told[-1].ok else "not recovered", flush=True)
    return told
