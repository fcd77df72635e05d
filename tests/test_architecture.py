"""The rules of docs/architecture.md that a reader should be able to rely on: who may import whom, and what."""

import ast
import configparser
import graphlib
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
SOURCES = sorted(p for folder in ("genima_core", "genima_ros") for p in (ROOT / folder).rglob("*.py"))
LAUNCH_FILES = sorted((ROOT / "launch").glob("*.py"))

# Lower layers first. A module imports its own part (the first folder below genima_core) and lower layers, no other.
LAYERS = (
    ("files", "geometry", "types", "gl", "processes", "timing", "device", "arm_status"),
    ("config", "weights", "pixels", "trajectory_follower"),
    ("arm",),
    ("arm_description",),
    ("cameras",),
    ("environment",),
    ("targets", "streaming", "sim", "camera_sources", "gripper"),
    ("data", "language", "capture", "calibration", "franka"),
    ("training",),
    ("diffusion",),
    ("controller",),  # trains on pictures that went through the diffusion agent's autoencoder
    ("checkpoint",),
    ("policy", "preflight", "gripper_plan"),
    ("loop",),
    ("importers", "view"),
    ("environments",),
    ("evaluation",),
    ("genima_ros.share",),
    ("genima_ros.arms",),
    ("genima_ros.messages",),
    ("genima_ros.nodes", "genima_ros.graph", "genima_ros.clients"),
    ("genima_ros.cli",),
    ("launch",),
)
LONG = {
    "genima_core.streaming.streamer": (460, "the state machine's inputs and outputs, to be read in one piece"),
}
"""Module to the most lines that it may have, where those are above 400, and the reason."""
BESIDE = {
    "genima_ros.nodes": {"genima_ros.graph", "genima_ros.clients"},
    "genima_ros.graph": {"genima_ros.clients"},
    "genima_ros.clients": {"genima_ros.nodes", "genima_ros.graph"},
}
"""Parts of one layer that use each other; there is no circle of modules all the same."""
SHORT = {
    "genima_ros.cli": "a verb is a file",
    "genima_ros.cli.terminal": "what several verbs share",
    "genima_ros.nodes.cameras": "a camera source is a file",
    "genima_ros.nodes.__main__": "what `python -m genima_ros.nodes NAME` runs",
    "launch": "a launch file is a graph",
}
"""Module, or folder of modules, of fewer than 25 lines, and the reason."""

ROS_ONLY = re.compile(r"rclpy|launch|launch_ros|ament_.*|tf2_ros|message_filters|.*_(msgs|srvs|interfaces)")
OPTIONAL = ("launch", "launch_ros", "ament_index_python", "pyrep", "rlbench", "franka_sim")
"""Of a full ROS 2 installation, on no package index, or in an environment of their own; nothing may need them unless it
is used where they are."""

DISTRIBUTIONS = {
    "franka": "franka-rs",
    "cv2": "opencv-python-headless",
    "OpenGL": "pyrender",
    "PIL": "pillow",
    "rerun": "rerun-sdk",
    "yaml": "pyyaml",
}
"""Modules that are not called like what brings them."""

ENTRY_POINTS = {
    "genima_ros.cli.main": {""},
    "genima_ros.cli.doctor": {""},
    "genima_ros.graph.graph": {""},
    "genima_ros.graph.modes": {""},
    "genima_ros.nodes.streamer_node": {"", "ros"},
    "genima_ros.nodes.teleop_node": {"", "ros"},
    "genima_ros.nodes.arm_monitor_node": {"", "ros"},
    "genima_ros.cli.recover": {""},
    "genima_ros.nodes.markers_node": {"", "ros"},
    "genima_ros.nodes.console_node": {"", "ros", "console"},
    "genima_ros.nodes.camera_node": {"", "ros"},
    "genima_ros.nodes.rig_node": {"", "ros"},
    "genima_ros.nodes.gripper_node": {"", "ros"},
    "genima_ros.nodes.sim_node": {"", "ros", "sim"},
    "genima_ros.nodes.leader_node": {"", "ros", "sim"},
    "genima_ros.nodes.recorder_node": {"", "ros", "record"},
    "genima_ros.nodes.diffusion_node": {"", "ros", "train"},
    "genima_ros.nodes.controller_node": {"", "ros", "train"},
    "genima_core.evaluation.evaluate": {"", "sim", "train"},
    "genima_core.evaluation.collect": {"", "sim", "train"},
}
"""What a process may import at its start: the streamer, say, must run beside the robot without torch and MuJoCo."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Full names of the modules (or of their members) that a syntax tree imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package.split(".")[: len(package.split(".")) - node.level + 1], base]).strip(".")
            yield from (f"{base}.{alias.name}" for alias in node.names)


@cache
def syntax_tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def imports_of(path: Path) -> set[str]:
    return set(imports(syntax_tree(path), package_of(path)))


def package_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).parts[:-1])


def part(name: str) -> str | None:
    """What the layers call a module; None for other people's and for the root of genima_core."""
    first, _, rest = name.partition(".")
    second = rest.partition(".")[0]
    if first == "genima_core":
        return second or None
    if first == "genima_ros":
        return f"genima_ros.{second}" if second else None
    return "launch" if first == "launch" else None


def layer(name: str) -> int:
    for i, names in enumerate(LAYERS):
        if name in names:
            return i
    raise AssertionError(f"{name} has no place in the order of imports; give it one in LAYERS")


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_run_downwards(path):
    own = part(module_name(path))
    if own is None:
        return
    for name in imports_of(path):
        other = part(name)
        if other is None or other in (own, "launch", *BESIDE.get(own, ())):  # `launch` is also a ROS package
            continue
        assert layer(other) < layer(own), f"{module_name(path)} imports {name}, which does not lie below it"


@pytest.mark.parametrize("path", [p for p in SOURCES if "genima_core" in p.parts], ids=module_name)
def test_the_core_knows_no_ros(path):
    found = sorted(name for name in imports_of(path) if ROS_ONLY.fullmatch(name.partition(".")[0]))
    assert not found, f"{module_name(path)} imports {found}"


@pytest.mark.parametrize("path", [p for p in SOURCES if p.stat().st_size], ids=module_name)
def test_files_stay_readable(path):
    assert path.stem not in ("utils", "util", "helpers", "common", "manager", "misc"), "name it after what is in it"
    lines = len(path.read_text().splitlines())
    name = module_name(path)
    assert lines <= LONG.get(name, (400,))[0], "split it"
    explained = {name, name.rpartition(".")[0]} & set(SHORT)
    assert lines >= 25 or explained or path.name == "__init__.py", "join it to what uses it, or say why not in SHORT"
    assert ast.get_docstring(syntax_tree(path)), "a module says what it is for"


def test_there_is_no_circle_of_imports():
    files = {module_name(path): path for path in SOURCES}
    graph = {
        module: {n for name in at_import(path) for n in (name, name.rpartition(".")[0]) if n in files and n != module}
        for module, path in files.items()
    }
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_every_ignored_type_error_has_a_reason(path):
    for line in path.read_text().splitlines():
        _, found, rest = line.partition("# type: ignore")
        assert not found or re.match(r"\[[\w, -]+\]  # .+", rest), f"say why beside it: {line.strip()}"


def declared() -> dict[str, set[str]]:
    """Extra to the names of the distributions that it installs; the core's under ""."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    groups = {"": setup["options"]["install_requires"], **setup["options.extras_require"]}
    return {extra: {Requirement(line).name for line in lines.split("\n") if line} for extra, lines in groups.items()}


def provided_by(module: str, extras: set[str]) -> bool:
    if ROS_ONLY.fullmatch(module):
        return "ros" in extras
    name = DISTRIBUTIONS.get(module, module).replace("_", "-").lower()
    return any(name in {d.replace("_", "-").lower() for d in declared()[extra]} for extra in extras)


def foreign(names: set[str]) -> set[str]:
    """Top-level modules that are neither ours nor Python's."""
    tops = {name.partition(".")[0] for name in names}
    return {top for top in tops if top not in sys.stdlib_module_names and top not in ("genima_core", "genima_ros")}


@pytest.mark.parametrize("path", SOURCES + LAUNCH_FILES, ids=module_name)
def test_every_import_is_a_declared_dependency(path):
    extras = set(declared()) - {"dev"}
    for module in foreign(imports_of(path)):
        assert module in OPTIONAL or provided_by(module, extras), f"{module} is not in setup.cfg"


@pytest.mark.parametrize("entry", ENTRY_POINTS)
def test_a_process_starts_with_its_own_extras(entry):
    """Follows the imports that happen when the module is imported, those inside of functions left out."""
    files = {module_name(path): path for path in SOURCES}
    seen, waiting = set(), [entry]
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        at_start = at_import(files[module])
        for name in foreign(at_start):
            assert provided_by(name, ENTRY_POINTS[entry]), f"{entry} imports {module}, which imports {name}"
        for name in at_start:
            # The name of a module, of a member of a module, and the packages on the way there.
            waiting += [n for n in (name, name.rpartition(".")[0]) if n in files]


def at_import(path: Path) -> set[str]:
    """Full names of what is imported when the module is."""
    return set(imports(ImportTime().visit(ast.parse(path.read_text())), package_of(path)))


class ImportTime(ast.NodeTransformer):
    """Leaves of a module what runs when it is imported."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        return None

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if "TYPE_CHECKING" in ast.unparse(node.test) else self.generic_visit(node)
