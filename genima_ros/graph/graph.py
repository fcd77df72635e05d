"""Which nodes run together, with everything decided: what both front ends, `genima up` and the launch files, start."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from genima_core.files import read_yaml
from genima_core.sim.task import DEFAULT_TASK
from genima_ros.graph.modes import NodeEntry, get_mode, spoken
from genima_ros.graph.packages import apt_package, remedy
from genima_ros.share import CALIBRATION, PACKAGE, find_checkpoint, share_folder

if TYPE_CHECKING:
    from genima_ros.arms import ArmSetup

READY_S = 120.0
"""Loading the models from a slow disk on busy cores takes a while."""
RESPAWN_AFTER_S = 1.0
SETTLED_S = 10.0
"""A node that ends by itself sooner than this has a reason that a new start will not cure."""
REHEARSAL = "sim"
"""In place of a file with cameras: rendered ones."""
CONSOLE = "GENIMA_CONSOLE"
"""Environment variable with what `auto` means for the page: true or false."""
CAMERA = "camera_"
"""How the names of camera nodes begin; the camera's name in the rig follows."""


@dataclass(frozen=True)
class NodeProcess:
    name: str
    executable: str
    parameters: Mapping[str, object]
    parameter_files: tuple[Path, ...]
    remappings: tuple[tuple[str, str], ...]
    niceness: int
    respawn: bool
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self) -> list[str]:
        """The command line that starts the node without `ros2 run`."""
        ros = [option for path in self.parameter_files for option in ("--params-file", str(path))]
        # JSON is YAML: strings stay strings, whatever they look like.
        ros += [option for name, value in self.parameters.items() for option in ("-p", f"{name}:={json.dumps(value)}")]
        ros += [option for old, new in self.remappings for option in ("-r", f"{old}:={new}")]
        return [sys.executable, "-m", f"{PACKAGE}.nodes", self.executable, "--ros-args", *ros]

    def after_end(self, status: int, lived_s: float) -> str:
        """What to say when it ended and is to be started again; a negative `status` is that of a signal.

        RuntimeError where the graph cannot do without it, or a new start would end in the same way.
        """
        ending = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        # A signal came from outside, so a new start may well succeed.
        if not self.respawn or (status >= 0 and lived_s < SETTLED_S):
            raise RuntimeError(f"node {self.name} ended with {ending}; its last lines are above")
        return f"ended with {ending}; starting it again in {RESPAWN_AFTER_S:.0f} s"


@dataclass(frozen=True)
class GraphDescription:
    processes: tuple[NodeProcess, ...]
    rviz: tuple[str, ...]
    """Command of RViz; empty where it is not wanted."""
    next_step: str
    """What to do when all nodes are ready; "" where that is plain."""

    @property
    def names(self) -> list[str]:
        return [process.name for process in self.processes]

    def ready_text(self, domain: int) -> str:
        """What to say when every node is ready."""
        line = f"ready: {', '.join(self.names)} (ROS domain {domain}); Ctrl-C ends them"
        return f"{line}\n{self.next_step}" if self.next_step else line


def describe_graph(mode: str, values: Mapping[str, object], only: Collection[str] = ()) -> GraphDescription:
    """The graph of these `argument_values`, or `only` its nodes of these names; ValueError, FileNotFoundError or
    RuntimeError for files, a checkpoint or RViz that are not valid or not there.
    """
    chosen = tuple(process for process in processes(mode, values) if not only or process.name in only)
    if get_mode(mode).learned:
        from genima_core.checkpoint import Checkpoint  # not at the top: `--help` answers at once

        Checkpoint.open(find_checkpoint(str(values["checkpoint"])))
    if values["rviz"] and shutil.which("rviz2") is None:
        install = f"apt install {apt_package('rviz2')} and source that ROS 2"
        raise RuntimeError(f"rviz2 is not installed: {install}, or leave rviz:=true out")
    rviz = rviz_command(mode, values) if values["rviz"] else []
    next_step = get_mode(mode).next_step.format(task=values.get("task") or DEFAULT_TASK)
    return GraphDescription(chosen, tuple(rviz), next_step)


def split_words(words: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """The graph, `sim` where none is named, and the arguments of a command line such as ``teleop sim seed:=1000``."""
    words = tuple(words)
    count = next((i for i, word in enumerate(words) if "=" in word), len(words))
    return "_".join(words[:count]) or "sim", words[count:]


def parse_arguments(mode: str, texts: Iterable[str]) -> dict[str, object]:
    """The `argument_values` of ``name:=value`` texts; ValueError for another form."""
    given: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition(":=")
        if not separator:
            raise ValueError(f"{text!r} is not an argument; write name:=value, for example seed:=20001")
        given[name] = value
    return argument_values(mode, given)


def parse_remappings(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Old and new names of topics from ``old:=new`` texts; ValueError for another form."""
    pairs = [text.partition(":=") for text in texts]
    for text, (old, separator, new) in zip(texts, pairs, strict=True):
        if not (old and separator and new):
            example = "write old:=new, for example joint_states:=/franka/joint_states"
            raise ValueError(f"{text!r} does not rename a topic; {example}")
    return tuple((old, new) for old, _, new in pairs)


def argument_values(mode: str, given: Mapping[str, str]) -> dict[str, object]:
    """Values of all arguments of a mode, by default their defaults; ValueError for unknown names and wrong values."""
    arguments = {argument.name: argument for argument in get_mode(mode).arguments}
    if unknown := sorted(set(given) - set(arguments)):
        raise ValueError(f"no argument {', '.join(unknown)} for {spoken(mode)}; valid are {', '.join(arguments)}")
    for name, argument in arguments.items():
        if argument.required and not given.get(name):
            raise ValueError(f"{spoken(mode)} needs {name}:=...: {argument.help}")
    return {
        name: argument.parse(given[name]) if given.get(name) else argument.default
        for name, argument in arguments.items()
    }


def processes(mode: str, values: Mapping[str, object]) -> list[NodeProcess]:
    """The nodes to start for these `argument_values`; ValueError or FileNotFoundError for a file that they name."""
    entry, rig, renamed = get_mode(mode), find_rig(values["rig"]) if "rig" in values else None, dict[str, str]()
    rehearsed = values.get("cameras") == REHEARSAL
    cameras = [] if rehearsed or not values.get("cameras") else camera_entries(Path(str(values["cameras"])).absolute())
    known: dict[str, object] = {**values, "leave_out": [values["camera"]] if values.get("camera") else None}
    known |= {"rehearsed": rehearsed, "identical_frames": 0 if rehearsed else None}  # rendered pictures have no noise
    if entry.learned:
        checkpoint = find_checkpoint(str(values["checkpoint"]))
        known["checkpoint"], rig = str(checkpoint), rig or checkpoint / "rig.json"
    by_handle = "arm" in values and bool(values.get("leader"))
    page = "true" if by_handle and values["console"] == "auto" else str(values.get("console"))
    known["console"] = wants_console(page, simulated="arm" not in values)
    known["rig"] = str(rig.absolute()) if rig else None
    if "arm" in values:
        if by_handle and values["leader_arm"]:
            raise ValueError(f"leader:=true is no arm; leave it out, or leader_arm:={values['leader_arm']}")
        armed = not by_handle and (not entry.learned or values["leader_arm"])
        of_arms, renamed = arm_values(values if armed else {k: v for k, v in values.items() if k != "leader_arm"})
        known |= {**of_arms, "led": by_handle or values.get("leader_arm")}
    files = [share_folder() / "config" / entry.parameter_file]
    if values["config"]:
        files.append(Path(str(values["config"])).absolute())
    for path in files:
        check_parameter_file(path, [node.name for node in entry.nodes])
    return [
        NodeProcess(
            name=node.name,
            executable=node.executable,
            parameters=_parameters(node, known),
            parameter_files=(node.parameter_file,) if node.parameter_file else tuple(files),
            remappings=_remappings(node, known, renamed),
            niceness=node.niceness,
            respawn=node.respawn and bool(values.get("respawn")),
            environment={"OMP_NUM_THREADS": str(node.threads or max(1, len(os.sched_getaffinity(0)) // 2))},
        )
        for node in (*entry.nodes, *cameras)
        if node.condition is None or known.get(node.condition)
    ]


def wants_console(given: str, simulated: bool) -> bool:
    """Whether the graph has the page; `auto` asks the environment first. RuntimeError: asked for and cannot be had."""
    given = os.environ.get(CONSOLE, given) if given == "auto" else given
    installed = find_spec("viser") is not None
    if given == "true" and not installed:
        raise RuntimeError(f"console:=true needs viser: {remedy('viser')}")
    return given == "true" or (given == "auto" and simulated and installed)


def _parameters(node: NodeEntry, known: Mapping[str, object]) -> dict[str, object]:
    pairs = [(own, source or own) for own, _, source in (text.partition("=") for text in node.parameters)]
    return {own: known[source] for own, source in pairs if known.get(source) is not None}


def _remappings(
    node: NodeEntry, known: Mapping[str, object], renamed: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    if not node.namespace:
        return (*node.remappings, *renamed.items())
    return (*node.remappings, ("__ns", "/" + str(known[node.namespace]).strip("/")))


def find_rig(given: object) -> Path | None:
    """The rig file that the argument `rig` names, else the cell's own in calibration/; None if there is neither."""
    own = CALIBRATION / "rig.json"
    return Path(str(given)) if given else own if own.is_file() else None


def arm_values(values: Mapping[str, object]) -> tuple[dict[str, object], dict[str, str]]:
    """Parameters of nodes and new names of topics that follow from which arm (and leader) a cell has."""
    from genima_ros.arms import absolute, arm_argument, find_arm  # not at the top: `--help` answers at once

    name, namespace = str(values["arm"]), str(values["arm_namespace"])
    setup = find_arm(name)
    action = setup.gripper_driver.action
    renamed = setup.remappings(namespace)
    parameters: dict[str, object] = {
        "arm": arm_argument(name),
        "robot_state": setup.driver.robot_state,
        "gripper": setup.gripper_has_node,
        "action": absolute(namespace, action) if action else None,
        "franka": setup.driver.node == "franka",
    }
    _check_address(setup, "robot_ip", values)
    if "leader_arm" in values:
        leader = str(values["leader_arm"] or name)
        leads = find_arm(leader)
        parameters |= {"leader_arm": arm_argument(leader), "leader_franka": leads.driver.node == "franka"}
        _check_address(leads, "leader_robot_ip", values)
        renamed |= leads.remappings(str(values["leader_namespace"]), "leader/")
    return parameters, renamed


def _check_address(setup: "ArmSetup", argument: str, values: Mapping[str, object]) -> None:
    """ValueError where an arm that we drive ourselves has no address."""
    if setup.driver.node and not values.get(argument):
        raise ValueError(f"our own driver of the {setup.arm.name} needs {argument}:=ADDRESS of its control box")


def camera_entries(path: Path) -> list[NodeEntry]:
    """A camera node for each section of a parameter file; ValueError if there is none, or a section of another node."""
    names = [name.strip("/") for name in read_yaml(path) if name.strip("/").startswith(CAMERA)]
    check_parameter_file(path, names or [f"{CAMERA}front"])
    if not names:
        form = f"give each a section called {CAMERA} and the camera's name, such as {CAMERA}front"
        raise ValueError(f"{path} has no camera; {form}")
    camera = partial(NodeEntry, parameters=(), niceness=1, respawn=True, parameter_file=path, kind="camera")
    return [camera(name, remappings=(("__node", name),)) for name in names]


def check_parameter_file(path: Path, nodes: Sequence[str]) -> None:
    """Finds what ROS would ignore without a word: ValueError for a section for a node that does not exist."""
    for name, section in read_yaml(path).items():
        if name.strip("/") not in nodes and name != "/**":
            raise ValueError(f"{path} has a section {name!r}; valid are {', '.join(['/**', *nodes])}")
        if not isinstance(section, dict) or list(section) != ["ros__parameters"]:
            raise ValueError(f"{path}: section {name!r} must hold the key ros__parameters, and only that")


def rviz_command(mode: str, values: Mapping[str, object]) -> list[str]:
    """RViz with the mode's displays, in the frame of the arm's base, and the robot model of the arm's namespace."""
    from genima_ros.arms import absolute, find_arm

    frame = find_arm(str(values.get("arm") or "sim")).arm.base_frame
    command = ["rviz2", "-d", str(share_folder() / "config" / get_mode(mode).rviz), "-f", frame]
    if namespace := values.get("arm_namespace"):
        command += ["--ros-args", "-r", f"/robot_description:={absolute(str(namespace), 'robot_description')}"]
    return command
