"""docs/recording.md as a user follows it: mirror, record, discard, record again, convert, train, evaluate, replay."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from genima_core.data.bags.episode_info import EpisodeInfo
from genima_core.data.bags.reader import find_bags, open_bag
from genima_core.data.dataset import Dataset
from genima_ros.cli import main as cli
from genima_ros.clients.observer import Observer
from genima_ros.clients.record_session import MISSING, RECORDER
from genima_ros.messages import interfaces

from .conftest import as_text

pytestmark = [pytest.mark.ros, pytest.mark.slow, pytest.mark.usefixtures("fresh_accelerate")]

ROOT = Path(__file__).parents[2]
PATIENCE_S = 240.0
"""Reached only by a test that fails."""
SEED = 1000
BOUNDS = {
    "joint_gap_s": 2.0,
    "leader_gap_s": 2.0,
    "camera_gap_s": 2.0,
    "lost_share": 0.9,
    "rate_share": 0.1,
    "skew_ms": 1000.0,
    "joint_skew_ms": 1000.0,
    "end_s": 2.0,
}
"""Wide enough for a machine that does other things: what makes an episode suspect has tests of its own."""


class Operator(Observer):
    """Watches the cell and presses keys."""

    def __init__(self, record: subprocess.Popen, up: subprocess.Popen, log: Path) -> None:
        super().__init__(int(os.environ["ROS_DOMAIN_ID"]), "operator")
        self.processes = record, up
        self.log = log
        self.teleop, self.recording, self.success, self.scene = "", None, False, None
        interfaces.subscribe(self.node, interfaces.TELEOP_STATE, lambda m: setattr(self, "teleop", as_text(m)))
        interfaces.subscribe(self.node, interfaces.RECORDING, lambda m: setattr(self, "recording", m.data))
        interfaces.subscribe(self.node, interfaces.SUCCESS, lambda m: setattr(self, "success", m.data))
        interfaces.subscribe(self.node, interfaces.SCENE, lambda m: setattr(self, "scene", m.data))

    def wait(self, condition, what: str) -> None:
        def over() -> bool:
            return condition() or any(process.poll() is not None for process in self.processes)

        assert self.spin_until(over, PATIENCE_S), f"waited in vain for {what}"
        assert condition(), f"a process ended before {what}"

    def press(self, keys: str) -> None:
        self.processes[0].stdin.write(keys)
        self.processes[0].stdin.flush()

    def engage(self) -> None:
        """Until it is accepted: on a busy machine the first joint states may be too far apart."""
        for _ in range(20):
            self.press("e")
            if self.spin_until(lambda: self.teleop.startswith(("approaching", "mirroring")), 5.0):
                break
        self.wait(lambda: self.teleop.startswith("mirroring"), "mirroring")

    def _refusals(self) -> int:
        return self.log.read_text().count(MISSING[RECORDER])

    def record(self, start: str = " ") -> None:
        """An episode in which the simulated operator solves the task; the key is pressed again if it was too early."""
        refusals = self._refusals()
        while not self.recording:
            self.press(start)
            self.wait(lambda seen=refusals: self.recording or self._refusals() > seen, "the start of an episode")
            refusals = self._refusals()
        self.wait(lambda: self.success, "the task's success")

    def end(self) -> None:
        scene = self.scene
        self.press(" ")
        self.wait(lambda: not self.recording, "the end of an episode")
        self.wait(lambda: self.scene != scene and not self.success, "the next scene")


def start(folder: Path, name: str, *arguments: object, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "genima_ros.cli.main", *map(str, arguments)],
        cwd=folder,
        text=True,
        stdout=(folder / f"{name}.log").open("w"),
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        # Tests that run in the background of a shell inherit that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
    )


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> Iterator[Path]:
    """A folder with bags/: three episodes, recorded with one discarded and one done again."""
    folder = tmp_path_factory.mktemp("session")
    (folder / "bounds.yaml").write_text(json.dumps({"recorder": {"ros__parameters": BOUNDS}}))
    up = start(folder, "up", "up", "teleop", "sim", f"seed:={SEED}")
    record = start(
        folder,
        "record",
        "record",
        "push_button",
        "--out",
        folder / "bags",
        "--episodes",
        3,
        "--config",
        folder / "bounds.yaml",
        stdin=subprocess.PIPE,
    )
    try:
        with Operator(record, up, folder / "record.log") as operator:
            operator.wait(
                lambda: {"sim", "leader", "teleop", "streamer", "recorder"} <= set(operator.diagnostics),
                "diagnostics of every node",
            )
            operator.engage()
            operator.record()
            operator.end()
            operator.press("y")
            operator.record()
            operator.end()
            operator.press("x")
            operator.record()
            operator.press("r")  # not good enough: once more, at once
            operator.wait(lambda: not operator.recording, "the end of the bad one")
            operator.wait(lambda: operator.recording and not operator.success, "the start of its repetition")
            operator.wait(lambda: operator.success, "success")
            operator.end()
            operator.press("y")
            operator.record()
            operator.end()
            operator.press("y")
            operator.spin_until(lambda: record.poll() is not None, PATIENCE_S)
        assert record.poll() == 0
        yield folder
    finally:
        for process in (record, up):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait()
        for name in ("up", "record"):
            print((folder / f"{name}.log").read_text())


def run(*arguments: object) -> None:
    assert cli.run([str(a) for a in arguments]) == 0, arguments


def test_the_kept_episodes_are_whole_and_labelled(session):
    bags = find_bags(session / "bags")
    assert [path.name for path in bags] == [f"episode_{i:06d}" for i in range(3)]
    seeds = []
    for path in bags:
        bag, info = open_bag(path), EpisodeInfo.load(path)
        assert bag.finished
        assert (info.task, info.label, info.suspect) == ("push_button", "success", ())
        assert info.quality["overflow"] == 0
        assert any(m.topic == "/joint_commands" for m in bag.messages(["/joint_commands"]))
        seeds.append(info.seed)
    assert seeds[0] == SEED
    assert len(set(seeds)) == 3
    assert max(seeds) < 10000  # for training


def test_recordings_become_a_checkpoint_that_evaluates(session):
    data = session / "data"
    run("convert", "bags", session / "bags", data)
    run("convert", "bags", session / "bags", data)  # adds nothing
    dataset = Dataset(data)
    assert len(dataset) == 3
    episode = dataset.episode(0)
    assert episode.success and episode.seed == SEED and episode.instruction
    assert abs(episode.image_stamps_s - episode.stamps_s[:, None]).max() < 0.1
    assert abs(episode.action_q[:-1] - episode.q[1:]).max() < 0.1  # the arm does what it is told
    run("train", "autoencoder", "--data", data, "--out", session / "autoencoder", "--steps", 2, "--workers", 1)
    run(
        "train",
        "diffusion",
        "--data",
        data,
        "--out",
        session / "diffusion",
        "--steps",
        1,
        "--workers",
        1,
        "--autoencoder",
        session / "autoencoder",
        "--checked",
        1,
        "--batch-size",
        2,
    )
    run(
        "train",
        "controller",
        "--data",
        data,
        "--out",
        session / "controller",
        "--steps",
        1,
        "--workers",
        1,
        "--autoencoder",
        session / "autoencoder",
        "--checked",
        2,
        "--batch-size",
        2,
        "--backgrounds",
        4,
    )
    run(
        "checkpoint",
        "--data",
        data,
        "--autoencoder",
        session / "autoencoder",
        "--diffusion",
        session / "diffusion",
        "--controller",
        session / "controller",
        "--out",
        session / "checkpoint",
    )
    run(
        "eval",
        "push_button",
        "--checkpoint",
        session / "checkpoint",
        "--episodes",
        1,
        "--timeout-s",
        0.5,
        "--score-episodes",
        0,
        "--json",
        session / "eval.json",
    )
    assert json.loads((session / "eval.json").read_text())["episodes"] == 1


def test_a_recorded_episode_solves_its_task_again(session):
    result = session / "replay.json"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "genima_ros.cli.main",
            "replay",
            session / "bags/episode_000000",
            "--sim",
            "--json",
            result,
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0
    assert json.loads(result.read_text())["success"]
