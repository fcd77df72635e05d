"""What `genima up --help` shows of the graphs and their arguments."""

import json
import re
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path

from genima_core.sim.task import DEFAULT_TASK
from genima_core.streaming.config import StreamerConfig
from genima_ros import nodes
from genima_ros.graph import graph
from genima_ros.graph.modes import MODES, Argument, get_mode, spoken

VALUES = {bool: "true|false", int: "N", float: "NUMBER", str: "TEXT"}


def details(words: list[str]) -> str:
    """The graphs; of one that is named, its arguments with their defaults."""
    if not words:
        rows = [(spoken(name), mode.help) for name, mode in MODES.items()]
        return table("graphs:", rows, "genima up GRAPH --help lists a graph's arguments.")
    mode = graph.split_words(words)[0]
    rows = []
    for argument in get_mode(mode).arguments:
        default = "required" if argument.required else f"default: {default_of(mode, argument)}"
        value = "|".join(argument.choices) or VALUES[argument.kind]
        rows.append((f"{argument.name}:={value}", f"{argument.help} ({default})"))
    return table(f"arguments of {spoken(mode)}:", rows)


def default_of(mode: str, argument: Argument) -> object:
    """The argument's own, else the parameter file's, else that in the source of the node that takes it."""
    if argument.default is not None:
        return json.dumps(argument.default) if argument.default != "" else "none"
    sections = graph.sections_of(graph.share_folder() / "config" / get_mode(mode).parameter_file)
    for node in get_mode(mode).nodes:
        if argument.name not in node.parameters:
            continue
        section = sections.get(node.name)
        parameters = section.get("ros__parameters", {}) if isinstance(section, dict) else {}
        if argument.name in parameters:
            return json.dumps(parameters[argument.name])
        if node.name == "streamer" and hasattr(StreamerConfig, argument.name):
            return json.dumps(getattr(StreamerConfig, argument.name))
        source = (Path(nodes.__file__).parent / f"{node.executable}.py").read_text()
        if found := re.search(rf"^    {argument.name}: .* = (.+)$", source, re.MULTILINE):
            return {
                "DEFAULT_TASK": json.dumps(DEFAULT_TASK),
                "None": "none",
                '""': "none",
                "True": "true",
                "False": "false",
            }.get(found[1], found[1])
    return "the node's"


def table(title: str, rows: Sequence[tuple[str, str]], *below: str) -> str:
    """Two columns, the second wrapped to the terminal."""
    width = max(len(name) for name, _ in rows) + 4
    columns = max(60, shutil.get_terminal_size().columns)
    lines = [
        textwrap.fill(f"  {name:<{width - 2}}{text}", columns, subsequent_indent=" " * width) for name, text in rows
    ]
    return "\n".join([title, *lines, *below])
