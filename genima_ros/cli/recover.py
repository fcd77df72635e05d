"""`genima recover`: out of a reflex stop, step by step; it never moves the arm and never enables motion."""

import json as json_module
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import tyro

from genima_ros.arms import find_arm
from genima_ros.cli.up import terminate_as_interrupt
from genima_ros.graph.processes import node_environment
from genima_ros.graph.recovery import ENABLE, Outcome, plan, recover_by

ARGUMENTS = {"arm": "sim", "arm_namespace": ""}
"""Names with their defaults; as of `genima up real`."""


def recover(
    words: Annotated[
        tuple[str, ...], tyro.conf.arg(name="arguments", metavar="[NAME:=VALUE ...]"), tyro.conf.Positional
    ] = (),
    json: Path | None = None,
) -> int:
    """Recovers an arm from a reflex stop or an error, while its graph runs.

    Says of each step what came of it, and stops at the first that fails with what a person must do. It turns motion off
    and leaves it off: its last line says how to enable it. Exits with 0 when the arm may be moved again, else with 1.

    Args:
        words: arm:=NAME of a file in config/arms (fr3, panda, sim), or the path of one; by default the simulated cell.
            arm_namespace:=/follower where the arm's driver has a namespace.
        json: Writes the outcome of each step to this file.
    """
    given = read_arguments(words)
    steps = plan(find_arm(given["arm"]), given["arm_namespace"])
    from genima_ros.clients.recovery_client import (  # not at the top: `--help` works without ROS
        RecoveryLink,
        check_packages,
    )

    check_packages(steps)
    environment = node_environment(os.environ)
    # The nodes that `genima up` starts are met only in the same range.
    os.environ.update({key: environment[key] for key in ("AMENT_PREFIX_PATH", "ROS_AUTOMATIC_DISCOVERY_RANGE")})
    with terminate_as_interrupt(), RecoveryLink(int(environment.get("ROS_DOMAIN_ID", "0"))) as link:
        outcomes = tell(recover_by(steps, link.perform))
    done = outcomes[-1].ok
    if json is not None:
        json.parent.mkdir(parents=True, exist_ok=True)
        json.write_text(
            json_module.dumps(
                {"arm": given["arm"], "recovered": done, "steps": [asdict(outcome) for outcome in outcomes]}, indent=2
            )
            + "\n"
        )
    return 0 if done else 1


def tell(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Prints each as it comes, and at the end what to do next."""
    told = []
    for outcome in outcomes:
        told.append(outcome)
        print(f"{'ok    ' if outcome.ok else 'FAILED'}  {outcome.step}: {outcome.message}", flush=True)
        if outcome.todo:
            print(f"        {outcome.todo}", flush=True)
    done = told[-1].ok
    print(f"motion is off; when nobody is near the arm, enable it: {ENABLE}" if done else "not recovered", flush=True)
    return told


def read_arguments(words: Iterable[str], defaults: Mapping[str, str] = ARGUMENTS) -> dict[str, str]:
    """Values of arguments with these defaults from ``name:=value`` texts.

    Raises:
        ValueError: another form or name.
    """
    given = dict(defaults)
    for word in words:
        name, separator, value = word.partition(":=")
        if not separator or name not in defaults:
            raise ValueError(f"{word!r} is no argument; valid are {', '.join(f'{valid}:=...' for valid in defaults)}")
        given[name] = value or defaults[name]
    return given
