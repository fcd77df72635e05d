"""`genima replay`: a recorded episode once more, through the streamer and its limits."""

import os
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tyro
from rich.progress import BarColumn, Progress, TextColumn

from genima_core.files import write_json
from genima_ros.cli.up import terminate_as_interrupt
from genima_ros.graph import graph
from genima_ros.graph.domain import join_domain, own_domain
from genima_ros.graph.graph import READY_S, describe_graph

if TYPE_CHECKING:
    from genima_core.data.motion import Motion
    from genima_ros.clients.replayer import Replayer

SPEEDS = (0.05, 2.0)
SUCCESS_S = 2.0
"""The cell may see the task solved a little after the arm has come to rest."""


def replay(
    episode: tyro.conf.Positional[Path],
    index: int = 0,
    speed: float = 1.0,
    sim: bool = False,
    arm: str = "sim",
    arm_namespace: str = "",
    domain: int | None = None,
    json: Path | None = None,
) -> int:
    """Plays a recorded episode again, on the arm or in simulation.

    The recorded joints go through the running streamer, within all its limits. First the arm moves slowly to where the
    recording begins. Ctrl-C stops it smoothly. Exits with 0 when the recording was followed to its end.

    Example: genima replay recordings/push_button/episode_000000 --sim --speed 0.5

    Args:
        episode: Folder of a recorded episode (a bag), or of a data set.
        index: Which episode of a data set.
        speed: Times as fast as recorded, 0.05 to 2; what is too fast for the arm is played slower, or refused.
        sim: In a separate simulated cell, with the scene of the recording: is the task solved again?
        domain: ROS domain of the streamer; by default ROS_DOMAIN_ID. With --sim, a private one.
        arm: A name in config/arms (fr3, panda, sim), or a file like those; as of `genima up teleop real`.
        arm_namespace: Namespace of the arm's driver.
        json: File for what happened.
    """
    if not SPEEDS[0] <= speed <= SPEEDS[1]:
        raise ValueError(f"--speed is {speed}; valid is {SPEEDS[0]} to {SPEEDS[1]}")
    from genima_core.data.motion import load_motion  # not at the top: reading data sets takes a while to import

    motion = load_motion(episode, index).at_speed(speed)
    if sim and motion.seed < 0:
        raise ValueError(f"{episode} was not recorded in simulation (it names no scene), so --sim cannot set it up")
    print(f"{episode}: {motion.duration_s:.1f} s at {speed:g} times its speed, from its {motion.source}", flush=True)
    with terminate_as_interrupt(), ExitStack() as stack:
        if sim:
            replayer = start_cell(stack, domain, seed=str(motion.seed), task=motion.task, fps="1")
        else:
            from genima_ros.arms import find_arm  # not at the top: `--help` answers at once, and works without ROS
            from genima_ros.clients.replayer import Replayer

            setup = find_arm(arm)
            renamed = setup.remappings(arm_namespace).items()
            replayer = stack.enter_context(Replayer(join_domain(domain), setup.arm, renamed))
        result = run(replayer, motion, sim)
    info = {name: getattr(motion, name) for name in ("task", "seed", "source", "duration_s")}
    write_json(json, {"episode": str(episode), "index": index, "speed": speed, **info, **result})
    solved = "" if result["success"] is None else f"; the task is {'' if result['success'] else 'not '}solved"
    most = f"{result['max_error_rad']:.4f} rad (max, at {result['max_error_at_s']:.1f} s)"
    off = f"{result['median_error_rad']:.4f} rad (median), {most} from where it was recorded"
    print(f"replayed to its end; the arm was {off}{solved}")
    return 0


def run(replayer, motion: "Motion", sim: bool) -> dict[str, object]:
    """The approach, then the motion; measured errors, and whether the cell saw its task solved (None: no cell)."""
    from genima_core.data.motion import deviations

    replayer.wait_ready()
    seconds = TextColumn("{task.completed:.0f} of {task.total:.0f} s")
    with Progress(TextColumn("{task.description}"), BarColumn(), seconds) as progress:

        def follow(name: str, q: np.ndarray, opening: np.ndarray, step_s: float) -> tuple[np.ndarray, np.ndarray]:
            total_s = (len(q) - 1) * step_s
            bar = progress.add_task(name, total=total_s)
            show = partial(progress.update, bar)
            return replayer.follow(q, opening, step_s, lambda elapsed_s: show(completed=min(elapsed_s, total_s)))

        way, step_s = replayer.way_to(motion.q[0])
        follow("approach", way, np.full(len(way), motion.opening[0]), step_s)
        stamps_s, q = follow("replay", motion.q, motion.opening, motion.step_s)
    if sim:
        replayer.spin_until(lambda: replayer.succeeded, SUCCESS_S)
    errors = deviations(motion, stamps_s, q)
    return {
        "max_error_rad": float(errors.max()),
        "max_error_at_s": float(motion.measured_s[errors.argmax()]),
        "median_error_rad": float(np.median(errors)),
        "success": replayer.succeeded if sim else None,
    }


def start_cell(stack: ExitStack, domain: int | None, **given: str) -> "Replayer":
    """A simulated cell with these arguments of `genima up teleop sim`, and a streamer; by default in its own domain."""
    from genima_ros.arms import find_arm
    from genima_ros.clients.replayer import Replayer
    from genima_ros.clients.running import start, wait_ready

    if domain is None:
        domain = stack.enter_context(own_domain())
    values, nowhere = graph.argument_values("teleop_sim", given), Path(os.devnull)
    description = describe_graph("teleop_sim", values, only=("sim", "streamer"))
    log, make = stack.enter_context(nowhere.open("w")), partial(Replayer, arm=find_arm("sim").arm)
    running, replayer = start(description, stack, domain, make, log)
    wait_ready(running, replayer, READY_S)
    return replayer
