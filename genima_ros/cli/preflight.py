"""`genima preflight`: is the cell that runs here as its checkpoint needs it? Moves nothing."""

import json as json_module
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import tyro

from genima_core.checkpoint import Checkpoint
from genima_core.preflight import Finding, Wanted, judge
from genima_ros.arms import arm_argument, find_arm
from genima_ros.cli.recover import read_arguments
from genima_ros.cli.terminal.status_table import status_table
from genima_ros.graph.processes import node_environment
from genima_ros.share import find_checkpoint

ARGUMENTS = {"arm": "sim", "arm_namespace": "", "checkpoint": "checkpoints/demo"}
"""Names with their defaults; as of `genima up real`."""
COLOURS = {"ok": "green", "failed": "bold red", "warning": "yellow"}


def preflight(
    words: Annotated[
        tuple[str, ...], tyro.conf.arg(name="arguments", metavar="[NAME:=VALUE ...]"), tyro.conf.Positional
    ] = (),
    seconds: float = 5.0,
    json: Path | None = None,
) -> int:
    """Checks a running graph before the arm is enabled: cameras, rig, arm, nodes, checkpoint against configuration.

    Looks for a few seconds, moves nothing, and says of each thing what it found and what to do. Exits with 0 when
    nothing has failed; warnings do not count.

    Args:
        words: arm:=NAME of a file in config/arms (fr3, panda, sim), or the path of one, by default the simulated cell;
            arm_namespace:=/follower where the arm's driver has a namespace; checkpoint:=FOLDER that runs.
        seconds: How long to look.
        json: Writes the findings to this file.
    """
    if not 1.0 <= seconds <= 600.0:
        raise ValueError(f"--seconds is {seconds:g}; give 1 to 600")
    given = read_arguments(words, ARGUMENTS)
    setup = find_arm(given["arm"])
    checkpoint = Checkpoint.open(find_checkpoint(given["checkpoint"]))
    wanted = Wanted(checkpoint, setup.arm, arm_argument(given["arm"]), simulated=not setup.driver.robot_state)
    environment = node_environment(os.environ)
    # The nodes that `genima up` starts are met only in the same range.
    os.environ.update({key: environment[key] for key in ("AMENT_PREFIX_PATH", "ROS_AUTOMATIC_DISCOVERY_RANGE")})
    from genima_ros.clients.preflight_observer import PreflightObserver  # not at the top: `--help` works without ROS

    with PreflightObserver(
        int(environment.get("ROS_DOMAIN_ID", "0")),
        wanted.checkpoint.rig.names,
        setup.arm.joint_names,
        setup.remappings(given["arm_namespace"]).items(),
    ) as observer:
        observer.spin(seconds)
        findings = list(judge(observer.report(), wanted))
    return tell(findings, json)


def tell(findings: Sequence[Finding], json: Path | None = None) -> int:
    """Prints the findings; the exit status."""
    from rich.console import Console

    failed = [finding.name for finding in findings if finding.status == "failed"]
    if json is not None:
        json.parent.mkdir(parents=True, exist_ok=True)
        json.write_text(
            json_module.dumps({"ok": not failed, "findings": [asdict(finding) for finding in findings]}, indent=2)
            + "\n"
        )
    console = Console()
    console.print(status_table(((f.status, f.name, f.found, f.remedy) for f in findings), COLOURS))
    console.print(f"[red]Do not enable the arm:[/] {', '.join(failed)}" if failed else "[green]Ready.[/]")
    return 1 if failed else 0
