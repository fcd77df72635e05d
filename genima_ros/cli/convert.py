"""`genima convert bags`, `rlbench`, `lerobot`, `agent`, `controller`: what others made, into our formats."""

from functools import partial
from pathlib import Path
from typing import Literal

import tyro

from genima_core.data.bags.episodes import Options as BagOptions
from genima_core.files import write_json
from genima_core.importers.agents import Options as AgentOptions
from genima_core.importers.agents import convert_agent
from genima_core.importers.lerobot import Options as LeRobotOptions
from genima_core.importers.rlbench.conversion import Options as RLBenchOptions
from genima_core.importers.sources import check_kind, find_snapshot


def bags(
    src: tyro.conf.Positional[Path],
    dst: tyro.conf.Positional[Path],
    conversion: tyro.conf.OmitArgPrefixes[BagOptions] = BagOptions(),  # noqa: B008 (frozen)
    json: Path | None = None,
) -> None:
    """Turns recordings into a data set.

    Continues an interrupted conversion and adds what was recorded since. A recording that cannot be converted is left
    out, and the summary says why; it is an error only if DST would be empty. Recordings without a label count as
    successes, unless the simulated cell said that the task was not done.

    Example: genima convert bags recordings/push_button data/push_button

    Args:
        src: A recording (a rosbag2 folder), or a folder of recordings.
        dst: Folder of the data set.
        json: Where to write what was done.
    """
    from genima_core.data.bags.conversion import convert_recordings

    check_kind(src, "bags")
    write_json(json, convert_recordings(src, dst, conversion))


def rlbench(
    src: tyro.conf.Positional[Path],
    dst: tyro.conf.Positional[Path],
    conversion: tyro.conf.OmitArgPrefixes[RLBenchOptions] = RLBenchOptions(),  # noqa: B008 (frozen)
    json: Path | None = None,
) -> None:
    """Turns RLBench's demonstrations into a data set.

    Continues an interrupted conversion.

    Example: genima convert rlbench rlbench/train data/rlbench --size 256

    Args:
        src: RLBench's data set, a task's folder or a variation's.
        dst: Folder of the data set.
        json: Where to write what was done.
    """
    from genima_core.importers.rlbench.conversion import convert_rlbench

    check_kind(src, "rlbench")
    write_json(json, convert_rlbench(src, dst, conversion))


def lerobot(
    src: tyro.conf.Positional[Path],
    dst: tyro.conf.Positional[Path],
    conversion: tyro.conf.OmitArgPrefixes[LeRobotOptions] = LeRobotOptions(),  # noqa: B008 (frozen)
    json: Path | None = None,
) -> None:
    """Turns a LeRobotDataset v3.0 of a Franka into a data set.

    Joints and gripper are found by the names of its features. Continues an interrupted conversion.

    Example: genima convert lerobot droid data/droid --rig rig.json --cameras front=exterior_1_left,wrist=wrist_left

    Args:
        src: Its folder.
        dst: Folder of the data set.
        json: Where to write what was done.
    """
    from genima_core.importers.lerobot import convert_lerobot

    check_kind(src, "lerobot")
    write_json(json, convert_lerobot(src, dst, conversion))


def agent(
    src: tyro.conf.Positional[Path],
    dst: tyro.conf.Positional[Path],
    conversion: tyro.conf.OmitArgPrefixes[AgentOptions] = AgentOptions(),  # noqa: B008 (frozen)
    json: Path | None = None,
) -> None:
    """Makes a drawing agent from a trained ControlNet and its base model.

    Example: genima convert agent 25_tasks/diffusion_sdturbo_R256x4_tiled runs/diffusion

    Args:
        src: Folder of a ControlNet in diffusers' layout, or of its training; for preset instruct-pix2pix of a UNet.
        dst: Folder of the agent.
        json: Where to write what was done.
    """
    check_kind(src, "agent")
    write_json(json, convert_agent(src, dst, conversion, partial(print, flush=True)))
    print(f"{dst} holds the drawing agent; genima checkpoint --diffusion {dst} ... takes it")


def controller(
    src: tyro.conf.Positional[Path],
    dst: tyro.conf.Positional[Path],
    rig: Path,
    text_encoder: str | None = None,
    joints: Literal["vendor", "rlbench"] = "vendor",
    json: Path | None = None,
) -> None:
    """Converts a controller that the paper's authors released.

    Example: genima convert controller 25_tasks/controller_act/latest.pt runs/controller --rig data/rlbench

    Args:
        src: Its .pt file, or the folder that holds it.
        dst: Folder of the controller.
        rig: The cameras that it will be used with, as a rig's file or a data set's folder.
        text_encoder: Name or folder of the text encoder that it was trained with.
        joints: Whose zero of joint 4 it takes and gives. All of genima speaks the vendor's, `eval rlbench/...` too;
            RLBench's is for programs that command RLBench themselves.
        json: Where to write what was done.
    """
    check_kind(src, "controller")
    from genima_core.data.dataset import load_rig
    from genima_core.importers.robobase import convert_controller  # torch takes seconds

    write_json(json, convert_controller(find_snapshot(src) or src, dst, load_rig(rig), text_encoder, joints))
    print(f"{dst} holds the controller; genima checkpoint --controller {dst} ... takes it")


VERBS = (bags, rlbench, lerobot, agent, controller)
