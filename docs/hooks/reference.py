"""Writes the reference from the code: command line, graphs, nodes, topics, the library's names and all modules."""

import contextlib
import dataclasses
import importlib
import inspect
import io
import json
import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from unittest.mock import patch

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import genima_core
from genima_ros.cli.main import find_verbs
from genima_ros.cli.up import VALUES, default_of
from genima_ros.graph.modes import MODES, spoken
from genima_ros.messages import interfaces

ROOT = Path(__file__).parents[2]
NODES = ROOT / "genima_ros" / "nodes"
MODULES = "reference/modules"
HELP_COLUMNS = 100
ENDS = ("Publishes", "Subscribes", "Services", "Calls")
"""Parts of a node's docstring."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Puts a page for each package into the navigation, in place of `MODULES`."""
    section = next(entry for entry in config.nav if MODULES in entry.values())
    section[next(iter(section))] = [{package: page_of(package)} for package in packages()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages of the reference."""
    for name, make in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=make()))
    for package, modules in packages().items():
        files.append(File.generated(config, page_of(package), content=modules_page(package, modules)))
    return files


def verbs_page() -> str:
    """Every verb, and its help as it is printed."""
    verbs = find_verbs()
    lines = ["# Command line", "", "`genima <verb> --help` prints the same.", "", "| verb | does |", "|---|---|"]
    lines += [f"| [`genima {name}`](#genima-{slug(name)}) | {verb.help} |" for name, verb in verbs.items()]
    for name, verb in verbs.items():
        lines += ["", f"## genima {name}", "", "```text", printed(lambda verb=verb: verb.call(["--help"])), "```"]
    return "\n".join(lines)


def graphs_page() -> str:
    """Every graph: what runs, and its arguments with their defaults."""
    lines = [
        "# Graphs and their arguments",
        "",
        "`genima up GRAPH name:=value ...` starts one; `ros2 launch` takes the same arguments.",
    ]
    for name, mode in MODES.items():
        nodes = ", ".join(f"[`{node.name}`](nodes.md#{node.executable})" for node in mode.nodes)
        lines += ["", f"## genima up {spoken(name)}", "", f"{mode.help[0].upper()}{mode.help[1:]}.", ""]
        lines += [f"Nodes: {nodes}. Parameters: `config/{mode.parameter_file}`.", ""]
        lines += ["| argument | default | |", "|---|---|---|"]
        for argument in mode.arguments:
            value = "|".join(argument.choices) or VALUES[argument.kind]
            default = "required" if argument.required else str(default_of(name, argument))
            lines.append(row(f"`{argument.name}:={value}`", f"`{default}`", argument.help))
    return "\n".join(lines)


def nodes_page() -> str:
    """Every node: what it publishes, subscribes and serves, and its parameters with their defaults."""
    lines = [
        "# Nodes and their parameters",
        "",
        "Defaults are the nodes' own; the parameter files in `config/` and the arguments of a graph override them. "
        "`ros2 param describe` shows the same on a running node.",
    ]
    for file in node_files():
        lines += ["", f"## {file.stem}", "", indent_lists(docstring_of(file)), ""]
        kind = parameters_of(file)
        members = code()[f"{kind.__module__}.{kind.__name__}"].all_members
        lines += ["| parameter | type | default | |", "|---|---|---|---|"]
        for field in dataclasses.fields(kind):
            comment = comment_on(members[field.name])
            lines.append(row(f"`{field.name}`", f"`{type_of(field)}`", f"`{shown(field)}`", comment))
    return "\n".join(lines)


def topics_page() -> str:
    """Every topic and service: type, QoS, and the nodes at both ends."""
    documents = {file.stem: docstring_of(file) for file in node_files()}
    lines = [
        "# Topics and services",
        "",
        "Names are relative to the graph's namespace; those of the arm's driver are in `config/arms/`.",
        "",
        "## Topics",
        "",
        "| topic | type | QoS | from | to | |",
        "|---|---|---|---|---|---|",
    ]
    comments = {name: comment_on(item) for name, item in code()[interfaces.__name__].attributes.items()}
    for name, topic in topics().items():
        ends = [
            ", ".join(node_link(node) for node, text in documents.items() if names(section(text, title), topic.name))
            for title in ENDS[:2]
        ]
        lines.append(row(f"`{topic.name}`", type_name(topic.type), qos(topic.qos), *ends, comments.get(name, "")))
    lines += ["", "## Services", "", "| service | type |", "|---|---|"]
    for node, text in documents.items():
        for service in interfaces.SERVICES.values():
            if names(section(text, ENDS[2]), service.name):
                name = f"{node.removesuffix('_node')}/{service.name.removeprefix('~/')}"
                lines.append(row(f"`{name}`", type_name(service.type)))
    return "\n".join(lines)


def library_page() -> str:
    """The names that `import genima_core as genima` gives."""
    lines = [
        "# Python library",
        "",
        "`import genima_core as genima` gives these names; each is imported when it is first used, and none needs ROS. "
        "The scripts in `examples/` show them at work.",
        "",
        "| name | |",
        "|---|---|",
    ]
    for name in genima_core.__all__:
        module = genima_core._modules()[name]
        summary = comment_on(code()[f"{module}.{name}"]).partition("\n\n")[0]
        lines.append(row(f"[`{name}`][{module}.{name}]", summary))
    return "\n".join(lines)


def modules_page(package: str, modules: list[str]) -> str:
    """The documented names of a package's modules; collected without importing them."""
    lines = [f"# {package}"]
    for module in modules:
        lines += ["", f"::: {module}"]
    return "\n".join(lines)


PAGES: dict[str, Callable[[], str]] = {
    "verbs": verbs_page,
    "graphs": graphs_page,
    "nodes": nodes_page,
    "topics": topics_page,
    "library": library_page,
}


def packages() -> dict[str, list[str]]:
    """Modules of every package, without those that hold no code; the command line has its own page."""
    found: dict[str, list[str]] = {}
    for top in ("genima_core", "genima_ros"):
        for file in sorted((ROOT / top).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            if parts[-1] != "__init__" and parts[:2] != ("genima_ros", "cli"):
                found.setdefault(".".join(parts[:2] if len(parts) > 2 else parts[:1]), []).append(".".join(parts))
    return dict(sorted(found.items()))


def page_of(package: str) -> str:
    return f"{MODULES}/{package}.md"


def node_files() -> list[Path]:
    return sorted(NODES.glob("*_node.py"))


@cache
def code() -> griffe.ModulesCollection:
    """Both packages, read without importing them."""
    loader = griffe.GriffeLoader(search_paths=[ROOT])
    for package in ("genima_core", "genima_ros"):
        loader.load(package)
    return loader.modules_collection


def comment_on(item: griffe.Object | griffe.Alias) -> str:
    """The docstring of a class or function, the string below an assignment; "" without one."""
    return item.docstring.value if item.docstring else ""


def docstring_of(file: Path) -> str:
    """Of the class of the node that a file holds."""
    kinds = code()[f"genima_ros.nodes.{file.stem}"].classes.items()
    return next(comment_on(kind) for name, kind in kinds if name.endswith("Node") and not kind.is_alias)


def section(text: str, title: str) -> str:
    """What a node's docstring lists after ``title:``, without what it says in brackets."""
    found = re.search(rf"^{title}: (.*?)(?=^[A-Z][a-z ]+:|\Z)", text, re.MULTILINE | re.DOTALL)
    return re.sub(r"\([^()]*\)", "", found[1]) if found else ""


def names(text: str, name: str) -> bool:
    """Whether a list of names has this one."""
    return re.search(rf"(?<![\w/<]){re.escape(name)}(?![\w/])", text) is not None


def indent_lists(text: str) -> str:
    """Each part of a node's docstring as a paragraph."""
    return re.sub(r"^([A-Z][a-z ]+):(?= )", r"\n**\1:**", escape(text), flags=re.MULTILINE)


def parameters_of(file: Path) -> type:
    """The dataclass that a node declares its parameters from."""
    found = re.search(r'super\(\).__init__\("\w+", (\w+)', file.read_text())
    if found is None:
        raise ValueError(f"{file} does not name its parameters: super().__init__(NAME, PARAMETERS, ...)")
    return getattr(importlib.import_module(f"genima_ros.nodes.{file.stem}"), found[1])


def topics() -> dict[str, interfaces.Topic]:
    """Constants by their names, and those of each camera."""
    found = {name: value for name, value in vars(interfaces).items() if isinstance(value, interfaces.Topic)}
    for make in (interfaces.camera_image, interfaces.camera_info, interfaces.target_image):
        found[make.__name__] = make("<camera>")
    return found


def node_link(node: str) -> str:
    return f"[{node.removesuffix('_node')}](nodes.md#{node})"


def type_name(kind: type) -> str:
    return f"{kind.__module__.partition('.')[0]}/{kind.__name__}"


def qos(profile: object) -> str:
    words = [profile.reliability.name.lower().replace("_", " ")]
    if profile.durability.name == "TRANSIENT_LOCAL":
        words.append("latched")
    return f"{', '.join(words)}, {profile.depth}"


def type_of(field: dataclasses.Field) -> str:
    return field.type if isinstance(field.type, str) else inspect.formatannotation(field.type).replace("pathlib.", "")


def shown(field: dataclasses.Field) -> str:
    """A parameter's default."""
    made = field.default_factory is not dataclasses.MISSING
    value = field.default_factory() if made else field.default
    return "none" if value is None else json.dumps(list(value) if isinstance(value, tuple) else value, default=str)


def row(*cells: str) -> str:
    """A line of a table."""
    return f"| {' | '.join(escape(' '.join(cell.split())) for cell in cells)} |"


def escape(text: str) -> str:
    """Outside of code, what would end a cell or begin a tag."""
    parts = text.split("`")
    parts[::2] = [part.replace("|", "\\|").replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)


def slug(name: str) -> str:
    return name.replace(" ", "-")


def printed(run: Callable[[], object]) -> str:
    """What a call prints before it ends."""
    output, wide = io.StringIO(), patch.dict(os.environ, COLUMNS=str(HELP_COLUMNS))
    with contextlib.redirect_stdout(output), wide, contextlib.suppress(SystemExit):
        run()
    return re.sub(r"\x1b\[[0-9;]*m", "", output.getvalue()).strip()
