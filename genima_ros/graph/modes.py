"""The graphs that can be started: which nodes, with which arguments; data, and nothing but data."""

from dataclasses import dataclass, replace
from pathlib import Path

from genima_ros.share import DEMO_CHECKPOINT


@dataclass(frozen=True)
class Argument:
    """One ``name:=value`` of a mode."""

    name: str
    kind: type[str] | type[int] | type[float] | type[bool]
    help: str
    default: str | int | float | bool | None = None
    """None leaves the value to the parameter files and the node's own default."""
    choices: tuple[str, ...] = ()
    required: bool = False

    def parse(self, text: str) -> str | int | float | bool:
        """The value that a command line means by `text`; ValueError where it is not of the kind or a choice."""
        if self.kind is bool:
            if text.lower() not in ("true", "false"):
                raise ValueError(f"{self.name}:={text} is neither true nor false")
            return text.lower() == "true"
        if self.choices and text not in self.choices:
            raise ValueError(f"{self.name}:={text} is not valid; choose from {', '.join(self.choices)}")
        try:
            return self.kind(text)
        except ValueError:
            raise ValueError(f"{self.name}:={text} is not valid; it needs {self.kind.__name__}") from None


@dataclass(frozen=True)
class NodeEntry:
    """A node of the graph."""

    name: str
    parameters: tuple[str, ...]
    """Parameters that take their values from the arguments of the same names, the checkpoint (`rig`), or the arm; from
    another one where it says so (`arm=leader_arm`). In a graph without these the node's own default holds."""
    niceness: int
    """The streamer runs at 0 and everything slow above it: that keeps commands regular when all cores are busy."""
    respawn: bool = False
    """Whether to start it again when it dies; for nodes that hold no state of the robot."""
    threads: int = 1
    """Of numerical libraries; 0 means half of the cores. Threads that share a core with another busy process wait for
    it again and again: on two cores that run a whole graph, one thread draws faster than two."""
    remappings: tuple[tuple[str, str], ...] = ()
    condition: str | None = None
    """Argument that must be true, or what the arm must have (`robot_state`, a `gripper` with a node, `franka`: our own
    driver; `rehearsed`: no cameras; `led`: a leader of either kind)."""
    parameter_file: Path | None = None
    """Read instead of the mode's and the user's."""
    kind: str = ""
    """Where it is not the name: there may be several of one kind."""
    namespace: str = ""
    """Argument with the namespace of a driver that is apart from the graph: its topics are renamed by nothing else."""

    @property
    def executable(self) -> str:
        """Module of `genima_ros.nodes`, and name of the executable in lib/genima_ros."""
        return f"{self.kind or self.name}_node"


@dataclass(frozen=True)
class Mode:
    help: str
    arguments: tuple[Argument, ...]
    nodes: tuple[NodeEntry, ...]
    parameter_file: str
    """In config/; overrides defaults, and is overridden by arguments."""
    rviz: str = "genima.rviz"
    """Layout of RViz, in config/."""
    next_step: str = ""
    """What to do when all nodes are ready."""

    @property
    def learned(self) -> bool:
        """Whether it runs a checkpoint."""
        return any(argument.name == "checkpoint" for argument in self.arguments)


_TASK = Argument("task", str, "the task of the simulated cell")
_PERTURB = Argument("perturb", str, "what looks different from training: names of perturbations with commas, or all")
_SEED = Argument("seed", int, "its scene to start with")
_FPS = Argument("fps", float, "images per second of each camera")
_SIZE = Argument("size", int, "width and height of the images, px")
_PRACTICE = Argument(
    "board", str, "where a ChArUco board is, to practise calibration with", choices=("", "table", "hand")
)
_CONFIG = Argument("config", str, "YAML file with further parameters", "")
_RVIZ = Argument("rviz", bool, "show the graph in RViz (needs rviz2)", False)
_EXECUTION = (
    "sync: execute a chunk, then look again; async: splice in the next chunk; "
    "confirm: as sync, and each chunk waits for genima approve"
)
_LEADER = Argument(
    "leader",
    bool,
    "a leader that is no arm: the console's handle leads it, in simulation also a scripted expert",
    False,
)
_CONSOLE = (
    Argument(
        "console",
        str,
        "a page in the browser that shows and operates the graph; auto: in simulation, where viser is installed, and "
        "where its handle leads a real arm",
        "auto",
        choices=("auto", "true", "false"),
    ),
    Argument("console_host", str, "address of this machine that the page is served on; beyond 127.0.0.1 with a token"),
    Argument("console_port", int, "port of the page; 0: the first that is free, from 8080 on"),
)
_SHARED = (Argument("execution", str, _EXECUTION, choices=("sync", "async", "confirm")), *_CONSOLE, _CONFIG, _RVIZ)
_RESPAWN = Argument("respawn", bool, "restart nodes that die, except those that hold state of the robot", True)
_OF_LEARNED = (
    Argument("checkpoint", str, "folder with the trained models", DEMO_CHECKPOINT),
    Argument("device", str, "where the models run: cpu, cuda, cuda:1, ...; auto is cuda where there is one"),
    Argument("compiled", bool, "compile the drawing networks: faster drawings, a slower start by a minute or two"),
    Argument("denoising_steps", int, "denoising steps of a drawing; 0: the checkpoint's own number"),
    Argument("instruction", str, "what to do, until one arrives on the topic instruction"),
    Argument("gate", bool, "check each drawing before it moves the arm; one that fails pauses the policy"),
)
_OF_A_CELL = (
    Argument(
        "arm", str, "the arm and its driver: a name in config/arms (fr3, panda), or a file like those", required=True
    ),
    Argument("arm_namespace", str, "namespace of the arm's driver, e.g. /follower; none by default", ""),
    Argument(
        "robot_ip", str, "address of the arm's control box, for arms that our own driver moves (fr3_fci, panda_fci)", ""
    ),
    Argument(
        "cameras",
        str,
        "YAML file with a section of parameters for each camera node, as config/cameras.yaml; "
        "none where other drivers publish the images; sim: rendered, in a cell around the arm, to rehearse",
        "",
    ),
    _RESPAWN,
)
_OF_A_LEADER = (
    Argument(
        "leader_arm", str, "the leader arm, likewise; by default one like the follower, and none beside a policy", ""
    ),
    Argument("leader_namespace", str, "namespace of the leader's driver", "leader"),
    Argument("leader_robot_ip", str, "address of the leader's control box, likewise", ""),
)
_DRAWING = ("checkpoint", "device", "compiled", "denoising_steps", "instruction")
_LEARNED = (
    NodeEntry("diffusion", (*_DRAWING, "identical_frames"), niceness=5, respawn=True, threads=0),
    NodeEntry("controller", ("checkpoint", "device", "instruction", "gate", "arm"), niceness=4, respawn=True),
)
_MARKERS = NodeEntry("markers", ("arm", "checkpoint"), niceness=5, respawn=True)
_MARKERS_IN_RVIZ = replace(_MARKERS, parameters=("arm",), condition="rviz")
_OF_PAGE = ("arm", "arm_namespace", "host=console_host", "port=console_port")
_PAGE = NodeEntry(
    "console",
    (*_OF_PAGE, "checkpoint"),
    niceness=6,
    respawn=True,
    condition="console",
)
_PAGE_OF_TELEOP = replace(_PAGE, parameters=_OF_PAGE)
_STREAMER = NodeEntry("streamer", ("execution", "arm"), niceness=0)
_TELEOP = NodeEntry("teleop", ("arm", "leader_arm"), niceness=0)
_SIM_LEADER = NodeEntry("leader", ("task",), niceness=1)
_HANDLE = NodeEntry("leader", ("arm",), niceness=1, condition="leader")
_ARM_MONITOR = NodeEntry("arm_monitor", ("arm",), niceness=1, respawn=True, condition="robot_state")
_GRIPPER = NodeEntry("gripper", ("arm", "action"), niceness=1, respawn=True, condition="gripper")
_FRANKA = NodeEntry("franka", ("arm", "robot_ip"), niceness=0, condition="franka")
_LEADER_FRANKA = NodeEntry(
    "leader_franka",
    ("arm=leader_arm", "robot_ip=leader_robot_ip"),
    niceness=0,
    condition="leader_franka",
    kind="franka",
    namespace="leader_namespace",
    remappings=(("__node", "leader_franka"), ("diagnostics", "/diagnostics")),
)
_RIG_NODE = NodeEntry("rig", ("rig", "arm", "leave_out"), niceness=5, respawn=True, condition="rig")
_BOARD = NodeEntry("board", ("camera", "marker_frame"), niceness=5, respawn=True, condition="camera")
_RIG = Argument(
    "rig",
    str,
    "rig.json with where the cameras are; by default calibration/rig.json if it is there, else the checkpoint's, where "
    "the graph runs one",
)
_REHEARSAL = NodeEntry(
    "sim", ("task", "seed", "rig", "arm", "arm_is_elsewhere=rehearsed"), niceness=2, condition="rehearsed"
)
_ENABLE = "when nobody is near the arm: genima enable"

MODES = {
    "sim": Mode(
        help="a checkpoint on the simulated cell",
        arguments=(_TASK, _SEED, _PERTURB, _FPS, *_SHARED, *_OF_LEARNED, _RESPAWN, _LEADER),
        nodes=(
            NodeEntry("sim", ("task", "perturb", "seed", "fps", "rig"), niceness=2),
            *(replace(node, condition="leader") for node in (_SIM_LEADER, _TELEOP)),
            _STREAMER,
            *_LEARNED,
            _MARKERS,
            _PAGE,
        ),
        parameter_file="sim.yaml",
    ),
    "teleop_sim": Mode(
        help="teleoperation of the simulated cell, by a scripted expert or by sliders",
        arguments=(_TASK, _SEED, _FPS, _SIZE, _PRACTICE, *_SHARED),
        nodes=(
            NodeEntry("sim", ("task", "seed", "fps", "size", "board"), niceness=2),
            _SIM_LEADER,
            _TELEOP,
            _STREAMER,
            _MARKERS_IN_RVIZ,
            _PAGE_OF_TELEOP,
        ),
        parameter_file="teleop_sim.yaml",
        rviz="teleop.rviz",
        next_step="in another terminal: genima record {task}",
    ),
    "real": Mode(
        help="a checkpoint on a real cell",
        arguments=(*_SHARED, *_OF_LEARNED, *_OF_A_CELL, *_OF_A_LEADER, _LEADER, _RIG, _TASK, _SEED),
        nodes=(
            _FRANKA,
            _LEADER_FRANKA,
            _REHEARSAL,
            _HANDLE,
            replace(_TELEOP, condition="led"),
            _STREAMER,
            _ARM_MONITOR,
            _GRIPPER,
            _RIG_NODE,
            *_LEARNED,
            _MARKERS,
            _PAGE,
        ),
        parameter_file="real.yaml",
        next_step=f"genima preflight; then, {_ENABLE}",
    ),
    "teleop_real": Mode(
        help="teleoperation of a real cell",
        arguments=(*_SHARED, *_OF_A_CELL, *_OF_A_LEADER, _LEADER, _RIG, _TASK, _SEED),
        nodes=(
            _FRANKA,
            _LEADER_FRANKA,
            _REHEARSAL,
            _HANDLE,
            _TELEOP,
            _STREAMER,
            _ARM_MONITOR,
            _GRIPPER,
            _RIG_NODE,
            _MARKERS_IN_RVIZ,
            _PAGE_OF_TELEOP,
        ),
        parameter_file="teleop_real.yaml",
        rviz="teleop.rviz",
        next_step=f"{_ENABLE}; then, in another terminal: genima record TASK",
    ),
    "calibrate": Mode(
        help="calibration of a real cell: the rig's frames, and the board as a frame",
        arguments=(
            *_OF_A_CELL,
            _RIG,
            Argument("camera", str, "camera that looks for the board; its own frame is left to easy_handeye2", ""),
            Argument("marker_frame", str, "TF frame of the board", "charuco_board"),
            _CONFIG,
            _RVIZ,
        ),
        nodes=(_FRANKA, replace(_RIG_NODE, condition=None), _BOARD),
        parameter_file="calibrate.yaml",
        rviz="teleop.rviz",
        next_step="genima calibrate collect takes samples of the board",
    ),
}


def get_mode(name: str) -> Mode:
    """The graph of this name; ValueError if there is none."""
    if name not in MODES:
        raise ValueError(f"there is no graph {spoken(name)!r}; valid are {', '.join(map(spoken, MODES))}")
    return MODES[name]


def spoken(name: str) -> str:
    """A graph's name as it is typed."""
    return name.replace("_", " ")
