"""The node graph of the simulated cell with the limits of a real one, its nodes connected by a wire."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import yaml

from genima_core.checkpoint import Checkpoint
from genima_ros.clients.running import wait_ready
from genima_ros.graph import graph
from genima_ros.graph.domain import choose_transport
from genima_ros.graph.graph import READY_S
from genima_ros.graph.processes import ProcessOutput, RunningGraph
from genima_ros.messages import interfaces
from genima_ros.nodes.controller_node import ControllerParameters
from genima_ros.nodes.diffusion_node import DiffusionParameters
from genima_ros.nodes.streamer_node import StreamerParameters

from .faulty_cell import FaultyCell
from .shifted_clock import ShiftedClock

SEED = 20000


@contextmanager
def running_cell(checkpoint: Path, folder: Path, environment: Mapping[str, str], log: TextIO) -> Iterator[FaultyCell]:
    """The graph with the limits of a real cell, ready and disabled; everything ends with it.

    The streamer is a graph of its own, so that it can be started again without the others. `environment` is that of
    `node_environment`, with a domain.
    """
    rig = Checkpoint.open(checkpoint).rig
    choose_transport(os.environ, sends_images=True)
    config = folder / "real_limits.yaml"
    config.write_text(yaml.safe_dump(real_limits()))
    values = graph.argument_values(
        "sim",
        {
            "checkpoint": str(checkpoint),
            "task": "press_switch",
            "execution": "async",
            "gate": "true",
            "config": str(config),
            "seed": str(SEED),
        },
    )
    with ExitStack() as stack:
        clock = ShiftedClock(folder)
        cell = stack.enter_context(FaultyCell(environment, rig.names, clock))
        processes = {process.name: process for process in graph.processes("sim", values)}
        receives = {
            "sim": [interfaces.ARM_TRAJECTORY],
            "streamer": [interfaces.JOINT_STATES, interfaces.ACTION_CHUNK, interfaces.ARM_STATUS],
            "diffusion": [interfaces.CAMERA_RIG, *map(interfaces.camera_image, rig.names)],
            "controller": [interfaces.JOINT_STATES, interfaces.TARGETS, interfaces.OBSERVATION, interfaces.CAMERA_RIG],
        }
        processes = [
            replace(processes[name], remappings=(*processes[name].remappings, *cell.wire.remappings(*topics)))
            for name, topics in receives.items()
        ]
        output = ProcessOutput(log, receives)

        def line(name: str, text: str) -> None:
            output.line(name, text)
            if text.startswith("ended with"):
                cell.hear("up", f"{name} {text}")

        for name in ("streamer", "others"):
            mine = [process for process in processes if (process.name == "streamer") == (name == "streamer")]
            cell.graphs[name] = stack.enter_context(RunningGraph(mine, {**environment, **clock.environment}, line))
        for running in cell.graphs.values():
            wait_ready(running, cell, READY_S)
        yield cell


def real_limits() -> dict:
    """Parameters of a real cell, whatever config/sim.yaml relaxes; at full speed, where stops take longest."""
    folder = graph.share_folder() / "config"
    sim, real = (yaml.safe_load((folder / name).read_text()) for name in ("sim.yaml", "real.yaml"))
    defaults = {
        "streamer": StreamerParameters(),
        "controller": ControllerParameters(),
        "diffusion": DiffusionParameters(),
    }
    result = {
        node: {name: getattr(parameters, name) for name in sim.get(node, {}).get("ros__parameters", {})}
        | real.get(node, {}).get("ros__parameters", {})
        for node, parameters in defaults.items()
    }
    result["streamer"] |= {"velocity_scale": 1.0, "watch_arm_status": True}
    return {node: {"ros__parameters": section} for node, section in result.items()}
