import json
import math

import av
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("rclpy")

from genima_core.arm import PANDA
from genima_core.data.bags.reader import find_bags
from genima_ros.cli.bag import describe
from genima_ros.cli.demo import demo
from genima_ros.clients.demo_film import FPS, write_films
from genima_ros.clients.demo_observer import CommandSet, Episode, Frame, violations

pytestmark = pytest.mark.ros

KEYS = {
    "episodes",
    "successes",
    "target_rate_hz",
    "command_rate_hz",
    "command_jitter_p99_ms",
    "command_gap_max_ms",
    "limit_violations",
    "latency_ms",
    "memory_peak_mb",
}


def stream(q: np.ndarray, dq: np.ndarray, period_s: float = 0.02) -> list[CommandSet]:
    return [CommandSet(period_s * i, *pair) for i, pair in enumerate(zip(q, dq, strict=True))]


def test_smooth_motion_violates_nothing():
    t = 0.02 * np.arange(200)[:, None]
    q, dq = PANDA.home + 0.3 * np.sin(t), 0.3 * np.cos(t)
    assert violations(stream(q * np.ones(7), dq * np.ones(7)), PANDA.limits) == 0


@pytest.mark.parametrize(("what", "by"), [("q", 0.1), ("dq", 0.5)])
def test_a_step_is_a_violation(what, by):
    q, dq = np.tile(PANDA.home, (20, 1)), np.zeros((20, 7))
    {"q": q, "dq": dq}[what][10:, 1] += by
    assert violations(stream(q, dq), PANDA.limits) == 1


def test_a_missed_period_is_none():
    dq = np.full((20, 7), 1.0)
    q = PANDA.home + 0.02 * np.arange(20)[:, None] * dq
    commands = stream(q, dq)
    del commands[10]
    assert violations(commands, PANDA.limits) == 0


def test_the_film_runs_at_the_speed_of_life(tmp_path):
    picture = np.full((128, 128, 3), 90, np.uint8)
    frames = [Frame(0.3 * i, picture, picture if i else None, i == 9) for i in range(10)]
    episode = Episode(0.0, 0.0, "push the button", frames=frames, followed=[picture])
    write_films(tmp_path, [("push_button_20000", episode, True), ("open_drawer_20001", episode, False)])
    with av.open(str(tmp_path / "episode_push_button_20000.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == round(2.7 * FPS) + 1
    with Image.open(tmp_path / "demo.gif") as gif:
        durations_ms = [(gif.seek(i), gif.info["duration"])[1] for i in range(gif.n_frames)]
    assert sum(durations_ms) == 5600
    assert (tmp_path / "demo.gif").stat().st_size < 2e6
    assert (tmp_path / "episode_push_button_20000_targets_0.png").is_file()


def test_nothing_to_film_is_no_error(tmp_path):
    write_films(tmp_path, [("push_button_1", Episode(0.0, 0.0, ""), False)])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_demo_does_its_job_whether_or_not_the_policy_succeeds(untrained, tmp_path, capfd):
    demo(checkpoint=untrained, out=tmp_path / "runs", timeout_s=4.0, json=tmp_path / "result.json")
    summary = json.loads((tmp_path / "result.json").read_text())
    assert set(summary) >= KEYS
    assert summary["episodes"] == len(summary["tasks"]) == 2
    assert [(run["task"], run["scene"]) for run in summary["runs"]] == [("push_button", 20000), ("open_drawer", 20001)]
    assert "drawer" in summary["runs"][1]["instruction"]
    assert summary["limit_violations"] == 0
    assert all(math.isfinite(summary[key]) for key in KEYS - {"latency_ms"})
    folder = next((tmp_path / "runs").iterdir())
    written = {path.name for path in folder.iterdir()}
    assert written >= {"summary.json", "nodes.log", "demo.gif", "episode_push_button_20000.mp4"}
    described = [describe(bag) for bag in find_bags(folder / "recordings")]
    assert [row["info"]["task"] for row in described] == ["push_button", "open_drawer"]
    assert [row["info"]["label"] for row in described] == [
        "success" if r["success"] else "failure" for r in summary["runs"]
    ]
    for row, told in zip(described, summary["runs"], strict=True):
        assert row["state"] == "finished" and row["info"]["seed"] == told["scene"]
        assert row["info"]["label"] == ("success" if told["success"] else "failure")
        assert row["topics"]["/targets/image/compressed"]["count"] >= told["drawings"] - 2
        assert row["topics"]["/action_chunk"]["count"] >= told["chunks"] - 1
        assert row["topics"]["/joint_states"]["count"] > 100
    assert str(folder) in capfd.readouterr().out


def test_an_unknown_task_is_told_before_anything_starts(untrained, tmp_path):
    with pytest.raises(ValueError, match="unknown task 'juggle'; the tasks are"):
        demo(task="juggle", checkpoint=untrained, out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_missing_checkpoint_is_told_before_anything_starts(tmp_path):
    with pytest.raises(FileNotFoundError, match="the shipped checkpoints/demo"):
        demo(checkpoint=tmp_path / "none", out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
