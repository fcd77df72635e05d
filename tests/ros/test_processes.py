import os
import signal
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from genima_ros.clients.observer import Observer
from genima_ros.clients.running import wait_ready
from genima_ros.graph.domain import node_environment
from genima_ros.graph.graph import NodeProcess
from genima_ros.graph.processes import ProcessOutput, RunningGraph

pytestmark = pytest.mark.ros

DOMAIN = int(os.environ.get("ROS_DOMAIN_ID", "0"))


def markers(respawn: bool = True, **parameters) -> NodeProcess:
    """The lightest of our nodes."""
    return NodeProcess("markers", "markers_node", parameters, (), (), niceness=10, respawn=respawn)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.fixture
def lines() -> list[str]:
    return []


def running(lines: list[str], *processes: NodeProcess) -> RunningGraph:
    return RunningGraph(processes, node_environment(os.environ), lambda name, text: lines.append(f"{name} {text}"))


def test_a_killed_node_is_started_again_and_all_are_ended(lines):
    with Observer(DOMAIN) as observer, running(lines, markers()) as graph:
        wait_ready(graph, observer, 60)
        first = graph.pids["markers"]
        assert os.getpriority(os.PRIO_PROCESS, first) == os.getpriority(os.PRIO_PROCESS, 0) + 10
        os.kill(first, signal.SIGKILL)
        observer.spin_until(lambda: not graph.pids, 60)
        observer.diagnostics.clear()
        wait_ready(graph, observer, 60)
        second = graph.pids["markers"]
        assert second != first
    assert not alive(second)
    assert any("SIGKILL" in line for line in lines)


def test_a_node_that_may_not_die_ends_the_graph(lines):
    with Observer(DOMAIN) as observer, running(lines, markers(respawn=False)) as graph:
        wait_ready(graph, observer, 60)
        os.kill(graph.pids["markers"], signal.SIGKILL)
        observer.spin_until(lambda: not graph.pids, 60)
        with pytest.raises(RuntimeError, match="markers ended with signal SIGKILL"):
            graph.check()


def test_a_node_that_cannot_start_says_why_and_is_not_tried_again(lines):
    with Observer(DOMAIN) as observer, running(lines, markers(radius="big")) as graph:
        with pytest.raises(RuntimeError, match="markers ended with exit status 1"):
            wait_ready(graph, observer, 60)
        observer.spin_until(lambda: len(lines) > 0, 10)
    assert any("cannot start: node markers has no parameter radius; valid are arm" in line for line in lines)


def test_the_end_of_one_node_makes_no_noise_of_the_others(lines):
    """They are still importing when the first one is found to be wrong."""
    late = [replace(markers(), name=f"late{i}", parameters={}) for i in range(3)]
    with Observer(DOMAIN) as observer, running(lines, markers(radius="big"), *late) as graph:
        with pytest.raises(RuntimeError, match="markers ended with exit status 1; its last lines are above"):
            wait_ready(graph, observer, 60)
        assert any("cannot start" in line for line in lines), "its last lines are read before its end is told"
    assert not [line for line in lines if "Traceback" in line or "KeyboardInterrupt" in line]
    assert len(lines) <= 1 + len(late)


def test_where_only_problems_are_shown_the_last_lines_come_at_the_end():
    stream, log = StringIO(), StringIO()
    output = ProcessOutput(stream, ["sim", "streamer"], log=log)
    output.line("sim", "Traceback (most recent call last):")
    output.line("streamer", "tracking")
    output.line("sim", "MemoryError")
    assert stream.getvalue() == ""
    output.show_last("sim")
    assert stream.getvalue() == "[sim]      Traceback (most recent call last):\n[sim]      MemoryError\n"
    assert log.getvalue().count("\n") == 3


def test_nodes_end_with_their_parent():
    code = (
        "import os, sys\n"
        "from genima_ros.graph.graph import NodeProcess\n"
        "from genima_ros.graph.domain import node_environment\n"
        "from genima_ros.graph.processes import RunningGraph\n"
        "process = NodeProcess('markers', 'markers_node', {}, (), (), 10, False)\n"
        "with RunningGraph([process], node_environment(os.environ), lambda *_: None) as graph:\n"
        "    print(graph.pids['markers'], flush=True)\n"
        "    sys.stdin.read()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    assert alive(child)
    parent.kill()
    parent.wait()
    with Observer(DOMAIN) as observer:
        assert observer.spin_until(lambda: not alive(child), 60)
