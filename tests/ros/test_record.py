"""`genima record` as an operator uses it: over a pipe and at a terminal, with a cell of small images beside it."""

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy")

from genima_core.data.bags.episode_info import EpisodeInfo
from genima_core.data.bags.reader import open_bag
from genima_core.data.bags.recording import UNFINISHED
from genima_ros.cli.terminal.keyboard import Keyboard, keys
from genima_ros.cli.terminal.record_table import names, show

from .synthetic_cell import FPS

pytestmark = [pytest.mark.ros, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
"""Reached only by a test that fails."""


@pytest.fixture
def cell() -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("synthetic_cell.py"))],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()
    yield
    process.kill()
    process.wait()


class Operator:
    """Types, and reads what is shown."""

    def __init__(self, folder: Path, *options: str, terminal: bool = False) -> None:
        self.out = folder / "recordings" / "push_button"
        self.shown = ""
        self.master = None
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        if terminal:
            self.master, self.slave = pty.openpty()
            self.before = termios.tcgetattr(self.slave)
            streams = dict.fromkeys(("stdin", "stdout"), self.slave)

        def prepare() -> None:
            # Tests that run in the background of a shell inherit that Ctrl-C is ignored.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if terminal:
                os.setsid()
                import fcntl

                fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        lenient = folder / "lenient.yaml"
        lenient.write_text(
            "recorder: {ros__parameters: {lost_share: 1.0, rate_share: 0.0, camera_gap_s: 60.0, "
            "joint_gap_s: 60.0, skew_ms: 10000.0, joint_skew_ms: 10000.0, end_s: 60.0, delay_s: 60.0, "
            "least_s: 0.0, reserve_mb: 0.0, stale_s: 30.0, rerecord_s: 0.2}}"
        )
        command = [
            sys.executable,
            "-m",
            "genima_ros.cli.main",
            "record",
            "--fps",
            str(FPS),
            "--config",
            str(lenient),
            *options,
        ]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            preexec_fn=prepare,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"},
            **streams,
        )

    def type(self, keys: str) -> None:
        os.write(self.master or self.process.stdin.fileno(), keys.encode())

    def wait(self, text: str) -> None:
        """Until this is shown, after what was waited for before."""
        file, end_s = self.master or self.process.stdout.fileno(), time.monotonic() + PATIENCE_S
        while text not in self.shown:
            assert time.monotonic() < end_s, f"waited in vain for {text!r}"
            assert select.select([file], [], [], PATIENCE_S)[0], f"waited in vain for {text!r}; shown is {self.shown}"
            try:
                data = os.read(file, 65536)
            except OSError:
                data = b""  # a terminal whose other end is closed
            assert data, f"ended without {text!r}; shown was {self.shown}"
            self.shown += data.decode(errors="replace")
        self.shown = self.shown.split(text, 1)[1]

    def read_line(self) -> str:
        """The next whole line."""
        file = self.process.stdout.fileno()
        while "\n" not in self.shown:
            assert select.select([file], [], [], PATIENCE_S)[0], f"no line came; shown is {self.shown!r}"
            data = os.read(file, 65536)
            assert data, "ended"
            self.shown += data.decode()
        line, self.shown = self.shown.split("\n", 1)
        return line

    def begin(self) -> str:
        """Asks for an episode until all streams are there; the answer."""
        while True:
            self.type(" ")
            line = self.read_line()
            if line.startswith("episode"):
                return line

    def end(self) -> int:
        if self.process.stdin is not None:
            self.process.stdin.close()
        return self.process.wait()


@pytest.fixture
def operators() -> Iterator[list[Operator]]:
    started: list[Operator] = []
    yield started
    for operator in started:
        if operator.process.poll() is None:
            operator.process.kill()
            operator.process.wait()


def test_a_session_over_a_pipe(cell, tmp_path, operators):
    """Episode 0 is kept, 1 discarded, 1 recorded, recorded again and kept."""
    operator = Operator(tmp_path, "--episodes", "2", "--json", "summary.json", "--instruction", "push it")
    operators.append(operator)
    operator.wait("recorder: ready\n")
    assert operator.begin() == "episode 0"
    operator.type("e")
    assert "no node teleop" in operator.read_line()
    operator.type("a")
    assert operator.read_line().startswith("no policy asks for approval")
    operator.type(" y")
    assert operator.read_line().startswith("episode 0: ")
    assert operator.read_line() == "episode 0 is labelled success"
    operator.type(" x")
    assert operator.read_line() == "episode 1"
    assert operator.read_line() == "episode 1 is discarded"
    operator.type("inew \x18words\n")
    assert operator.read_line().startswith("there is no node streamer")
    assert operator.read_line() == "instruction: new words"
    operator.type(" n r")
    assert operator.read_line() == "episode 1"
    assert operator.read_line() == "episode 1 is labelled failure"
    assert operator.read_line().startswith("episode 1: ")
    while not (line := operator.read_line()).startswith("episode 1 is discarded"):
        assert "kept" in line  # the goal was reached in between
    assert operator.begin().startswith("episode 1")
    operator.type(" ")
    while not operator.read_line().startswith("episode 1: "):
        pass
    operator.type("y")
    assert operator.end() == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["kept"], summary["discarded"]) == (2, 2)
    assert [(e["episode"], e["label"]) for e in summary["episodes"]] == [(0, "success"), (1, "success")]
    assert sorted(path.name for path in operator.out.iterdir()) == ["episode_000000", "episode_000001"]
    assert [EpisodeInfo.load(operator.out / f"episode_00000{k}").instruction for k in (0, 1)] == [
        "push it",
        "new words",
    ]
    assert all(open_bag(path).finished for path in operator.out.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_running_episode_is_finished_when_it_is_ended(cell, tmp_path, operators, number):
    operator = Operator(tmp_path)
    operators.append(operator)
    operator.wait("recorder: ready\n")
    operator.begin()
    operator.process.send_signal(number)
    assert operator.end() == 0
    assert open_bag(operator.out / "episode_000000").finished
    info = EpisodeInfo.load(operator.out / "episode_000000")
    assert info.label == ""
    assert UNFINISHED not in info.suspect


def test_at_a_terminal_it_shows_a_table_and_puts_the_terminal_back(cell, tmp_path, operators):
    operator = Operator(tmp_path, "--bell", terminal=True)
    operators.append(operator)
    operator.wait("leader_joint_states")
    operator.wait("next is episode 0")
    operator.type(" ")
    operator.wait("\a")
    operator.type("q")
    while operator.process.poll() is None:
        if select.select([operator.master], [], [], 0.1)[0]:
            operator.shown += os.read(operator.master, 65536).decode(errors="replace")
    assert operator.process.returncode == 0
    assert termios.tcgetattr(operator.slave) == operator.before


def test_a_second_recorder_is_refused(cell, tmp_path, operators):
    first = Operator(tmp_path)
    operators.append(first)
    first.wait("recorder: ready\n")
    second = Operator(tmp_path)
    operators.append(second)
    second.wait("a recorder runs already")
    assert second.end() == 1
    first.type("q")
    assert first.end() == 0


def test_keys_come_from_a_pipe_and_its_end_is_no_key():
    reading, writing = os.pipe()
    with os.fdopen(reading) as stream, Keyboard(stream) as keyboard:
        assert keyboard.read() == []
        os.write(writing, "eü".encode()[:2])
        assert keyboard.read() == ["e"]
        os.write(writing, "ü".encode()[1:] + b" ")
        assert keyboard.read() == ["ü", " "]
        os.close(writing)
        assert keyboard.read() == []
        assert keyboard.read() == []


def test_keys_that_are_no_characters_are_no_commands():
    assert keys("a\x1b[Db\x1bOAc\x1b[1;5Cd\x1b[3~e\x1bxf") == ["a", "left", "b", "up", "c", "d", "e", "f"]
    assert keys("\x1b") == ["\x1b"]


def test_the_table_shows_what_the_recorder_says():
    from rich.console import Console

    values = {
        "front.rate_hz": 29.9,
        "front.age_ms": 12.0,
        "front.skew_ms": float("nan"),
        "front.lost": 3.0,
        "state": "recording",
        "episode": 4.0,
        "seconds": 2.0,
        "written_mb": 7.0,
        "again_in_s": 0.0,
        "label": "success",
        "kept": 4.0,
        "suspect": 1.0,
        "discarded": 2.0,
        "minutes_left": "None",
        "free_gb": 10.0,
        "waiting_mb": 0.0,
        "overflow": 0.0,
        "last_suspect": 1.0,
        "level": 1.0,
        "message": "front is silent",
        "instruction": "push",
    }
    assert names(values) == ["front"]
    console = Console(width=120, record=True, file=io.StringIO())
    session = SimpleNamespace(
        recorder=values,
        states={"teleop": "mirroring"},
        note="a note",
        bell=True,
        kept_before=0,
        line="say",
    )
    console.print(show(session, 5))
    text = console.export_text()
    for expected in (
        "29.9",
        "episode 4  2.0 s",
        "episode 4 is labelled success",
        "4 of 5 kept",
        "front is silent",
        "teleop mirroring",
        "a note",
        "bell on",
        "Esc leaves it): say",
    ):
        assert expected in text
    session.recorder = {}
    console.print(show(session, 0))
