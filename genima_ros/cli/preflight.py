"""`genima preflight`: is the cell as the graph needs it that runs there? Moves nothing."""

from dataclasses import asdict
from pathlib import Path

from genima_core.files import write_json
from genima_ros.cli.terminal.status_table import print_statuses
from genima_ros.graph.domain import join_domain
from genima_ros.share import find_checkpoint


def preflight(
    arm: str = "",
    arm_namespace: str = "",
    checkpoint: Path | None = None,
    seconds: float = 5.0,
    json: Path | None = None,
) -> int:
    """Checks a running graph before the arm is enabled.

    Looks at cameras, rig, arm, nodes and configuration for a few seconds, moves nothing, and says for each what it
    found and what to do. Exits with 0 when nothing has failed; warnings do not count.

    Example: genima preflight --arm-namespace /follower

    Args:
        arm: A name in config/arms (fr3, panda, sim), or a file like those; by default the running streamer's.
        arm_namespace: Namespace of the arm's driver, such as /follower.
        checkpoint: Folder with the trained models; by default what the running graph draws with.
        seconds: How long to look; longer for what has not been seen by then.
        json: File for the findings.
    """
    if not 1.0 <= seconds <= 600.0:
        raise ValueError(f"--seconds is {seconds:g}; give 1 to 600")
    from genima_ros.arms import arm_argument, find_arm  # not at the top: `--help` answers at once, and without ROS

    setup = find_arm(arm) if arm else None
    domain = join_domain()
    from genima_core.checkpoint import Checkpoint
    from genima_core.preflight import Wanted, judge
    from genima_ros.clients.preflight_observer import PreflightObserver, find_graph

    running = find_graph(domain)
    setup = setup or find_arm(running.arm)
    folder = checkpoint or (running.checkpoint and find_checkpoint(running.checkpoint))
    learned = Checkpoint.open(Path(folder)) if folder else None
    cameras, name = running.cameras if learned is None else learned.rig.names, arm_argument(arm or running.arm)
    wanted = Wanted(learned, cameras, running.nodes, setup.arm, name, simulated=not setup.driver.robot_state)
    remappings = setup.remappings(arm_namespace).items()
    with PreflightObserver(domain, wanted.cameras, setup.arm.joint_names, remappings) as observer:
        observer.spin(seconds)
        observer.wait_complete(wanted.nodes, drawings=learned is not None)
        findings = list(judge(observer.report(), wanted))
    failed = [finding.name for finding in findings if finding.status == "failed"]
    write_json(json, {"ok": not failed, "findings": [asdict(finding) for finding in findings]})
    last = f"[red]Do not enable the arm:[/] {', '.join(failed)}" if failed else "[green]Ready.[/]"
    print_statuses(((finding.status, finding.name, finding.found, finding.remedy) for finding in findings), last)
    return 1 if failed else 0
