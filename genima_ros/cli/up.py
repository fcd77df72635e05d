"""`genima up`: a node graph as processes, without ros2 launch."""

import json
import re
import shutil
import signal
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from genima_core.files import read_yaml
from genima_core.sim.task import DEFAULT_TASK
from genima_ros import nodes
from genima_ros.graph import graph
from genima_ros.graph.graph import READY_S, describe_graph
from genima_ros.graph.modes import MODES, Argument, get_mode, spoken
from genima_ros.share import share_folder

SPIN_S = 0.1
SOLVED = "solved; for the next one: genima scene"
VALUES = {bool: "true|false", int: "N", float: "NUMBER", str: "TEXT"}


def up(
    words: Annotated[
        tuple[str, ...], tyro.conf.arg(name="graph", metavar="[GRAPH] [NAME:=VALUE ...]"), tyro.conf.Positional
    ] = (),
    ready_timeout_s: float = READY_S,
) -> None:
    """Starts a node graph and stays until Ctrl-C.

    Says when every node is ready, and what to do next.

    Example: genima up sim seed:=20007 execution:=async

    Args:
        words: Which graph, sim if none is named, and its arguments, the same as of the launch files.
        ready_timeout_s: How long the nodes may take to start.
    """
    mode, arguments = graph.split_words(words)
    description = describe_graph(mode, graph.parse_arguments(mode, arguments))
    with terminate_as_interrupt(), ExitStack() as stack:
        from genima_ros.clients.observer import Observer  # not at the top: `--help` works without ROS
        from genima_ros.clients.running import start, wait_ready
        from genima_ros.messages import interfaces

        running, observer = start(description, stack, None, Observer)
        try:
            wait_ready(running, observer, ready_timeout_s)
            print(description.ready_text(observer.domain), flush=True)
            observer.listen(interfaces.SCENE, lambda scene: print(f"scene {scene.data}", flush=True))
            observer.listen(interfaces.SUCCESS, lambda success: success.data and print(SOLVED, flush=True))
            while True:
                observer.spin(SPIN_S)
                running.check()
        except KeyboardInterrupt:
            print("ending all nodes", flush=True)


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP (the terminal has gone) raise KeyboardInterrupt as Ctrl-C does: all is cleaned up."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def details(words: list[str]) -> str:
    """Shown below the help: the graphs; of one that is named, its arguments with their defaults."""
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
    from genima_core.streaming.config import StreamerConfig  # not at the top: `--help` answers at once

    if argument.default is not None:
        return json.dumps(argument.default) if argument.default != "" else "none"
    sections = read_yaml(share_folder() / "config" / get_mode(mode).parameter_file)
    for node in get_mode(mode).nodes:
        pairs = [text.partition("=") for text in node.parameters]
        own = next((own for own, _, source in pairs if argument.name == (source or own)), None)
        if own is None:
            continue
        given = sections.get(node.name, {}).get("ros__parameters", {})
        if own in given:
            return json.dumps(given[own])
        if node.name == "streamer" and hasattr(StreamerConfig, own):
            return json.dumps(getattr(StreamerConfig, own))
        source = (Path(nodes.__file__).parent / f"{node.executable}.py").read_text()
        if found := re.search(rf"^    {own}: .* = (.+)$", source, re.MULTILINE):
            known = {"None": "none", '""': "none", "True": "true", "False": "false"}
            return {"DEFAULT_TASK": json.dumps(DEFAULT_TASK), **known}.get(found[1], found[1])
    return "the node's"


def table(title: str, rows: Sequence[tuple[str, str]], *below: str) -> str:
    """Two columns, the second wrapped to the terminal."""
    width = max(len(name) for name, _ in rows) + 4
    columns = max(60, shutil.get_terminal_size().columns)
    fill = partial(textwrap.fill, width=columns, subsequent_indent=" " * width)
    return "\n".join([title, *(fill(f"  {name:<{width - 2}}{text}") for name, text in rows), *below])
