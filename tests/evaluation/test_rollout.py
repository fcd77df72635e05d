"""The closed loop with stand-ins for the two models: what they need not be trained for."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from genima_core.data.bags.chunks import chunk_of_message
from genima_core.data.bags.episodes import read_episode
from genima_core.data.bags.reader import open_bag
from genima_core.environment import follow
from genima_core.evaluation import sources
from genima_core.evaluation.config import Evaluation
from genima_core.evaluation.report import print_report, summarise
from genima_core.evaluation.rollout import roll_out
from genima_core.evaluation.scoring import score_scene, summarise_scores
from genima_core.loop import MOST_REFUSED
from genima_core.sim.cell import Cell
from genima_core.sim.scene import default_rig
from genima_core.sim.task import make_task
from genima_core.streaming.config import StreamerConfig
from genima_core.targets.detect import score_drawing
from genima_core.targets.draw import over_observation
from genima_core.targets.look import OURS
from genima_core.targets.renderer import TargetRenderer
from genima_core.types import ActionChunk

SEED = 10_000
K = 20


@pytest.fixture(scope="module")
def cell():
    cell = Cell(make_task("push_button"), default_rig(64, 64))
    yield cell
    cell.close()


@pytest.fixture(scope="module")
def renderer(cell):
    renderer = TargetRenderer(cell.rig)
    yield renderer
    renderer.close()


class Oracle:
    """A policy that draws and acts as the expert would from the cell's present state, or that stands still."""

    def __init__(self, cell, renderer, moves=True):
        self.cell, self.renderer, self.moves = cell, renderer, moves
        self.checkpoint = SimpleNamespace(info=SimpleNamespace(chunk_size=K), rig=cell.rig, look=OURS)
        self.controller, self.dt_s = self, 0.05

    def draw(self, observation, seed):
        trajectory = self.cell.plan()
        k = min(K, len(trajectory)) - 1
        views = self.renderer.render(observation.q, trajectory.q[k], float(trajectory.gripper[k]))
        return over_observation(views, observation.views(self.cell.rig.names))

    def act(self, drawing, q, gripper, instruction):
        actions = np.tile(self.cell.q, (K, 1))
        if self.moves:
            trajectory = self.cell.plan()
            actions = np.concatenate([trajectory.q[:K], np.tile(trajectory.q[-1], (max(0, K - len(trajectory)), 1))])
        return actions, np.zeros(K)


def test_the_experts_chunks_solve_the_task_through_the_streamer(cell, renderer):
    policy = Oracle(cell, renderer)
    result = roll_out(cell, policy, SEED, record=True)
    assert result.success
    assert result.limit_violations == 0
    assert 2 <= result.drawings <= 12
    assert {"observe", "draw", "act", "stream"} <= set(result.stage_ms)
    assert result.frames and result.frames[0].shape == (128, 256, 3)


def test_a_recording_holds_what_happened_and_changes_nothing(cell, renderer, tmp_path):
    policy = Oracle(cell, renderer)
    plain = roll_out(cell, policy, SEED)
    recorded = roll_out(cell, policy, SEED, recording=tmp_path / "episode")
    assert (recorded.ending, recorded.duration_s, recorded.drawings) == (plain.ending, plain.duration_s, plain.drawings)
    bag = open_bag(tmp_path / "episode")
    assert bag.info.label == "success" and not bag.info.suspect and bag.info.seed == SEED
    assert bag.info.instruction == plain.instruction and bag.info.task == "push_button"
    counts = {name: topic.count for name, topic in bag.topics.items()}
    assert counts["/targets/image/compressed"] == counts["/action_chunk"] == plain.drawings
    assert counts["/joint_states"] == round(plain.duration_s / 0.02)
    assert counts["/front/color/image_raw/compressed"] == pytest.approx(10 * plain.duration_s, abs=1)
    chunks = [chunk_of_message(m.decode(), cell.arm) for m in bag.messages({"/action_chunk"})]
    assert all(chunk.positions.shape == (K, 7) and chunk.dt_s == pytest.approx(0.05) for chunk in chunks)
    episode, rig = read_episode(tmp_path / "episode")
    assert episode.success and rig.fingerprint() == cell.rig.fingerprint()
    assert np.abs(episode.action_q - episode.q).max() < 0.1 and np.ptp(episode.q, axis=0).max() > 0.1


def test_async_mode_draws_on_while_the_arm_moves(cell, renderer):
    policy = Oracle(cell, renderer)
    cell.reset(SEED)
    before = cell.q
    config = StreamerConfig(execution="async")
    result = roll_out(cell, policy, SEED, config=config, timeout_s=3.0, latency_s=0.2)
    assert np.abs(cell.q - before).max() > 0.03  # this oracle starts from rest each time
    assert not result.stops and not result.rejected and result.limit_violations == 0
    assert 4 <= result.drawings <= 7  # each chunk, of a second, is followed for 0.6 s of it before the next is drawn


@pytest.mark.parametrize("execution", ["sync", "async"])
def test_a_closed_gate_ends_the_episode_with_its_reason(cell, renderer, execution):
    policy = Oracle(cell, renderer)
    gate = SimpleNamespace(check=lambda drawing, q, observation: SimpleNamespace(reasons=("it is noisy",)))
    result = roll_out(cell, policy, SEED, config=StreamerConfig(execution=execution), gate=gate)
    assert (result.ending, result.pause_reason) == ("paused", "it is noisy")
    assert result.drawings == MOST_REFUSED and result.duration_s < 1.0


def test_an_arm_that_stands_still_does_not_succeed(cell, renderer):
    policy = Oracle(cell, renderer, moves=False)
    cell.reset(SEED)
    before = cell.q
    result = roll_out(cell, policy, SEED, timeout_s=3.0)
    assert result.ending == "timeout"
    assert result.duration_s == pytest.approx(3.0)
    assert np.abs(cell.q - before).max() < 0.01


def test_true_targets_show_where_the_expert_goes(cell, renderer):
    cell.reset(SEED + 1)
    observation = cell.observe()
    trajectory = cell.plan()
    views = renderer.render(cell.q, trajectory.q[K - 1], float(trajectory.gripper[K - 1]))
    drawing = sources.truth(cell, renderer, K)(observation, 0)
    scored = score_drawing(drawing, views, observation.views(cell.rig.names))
    assert scored.found[scored.visible].all()
    assert np.nanmedian(scored.error_px) < 0.5


def test_blank_targets_are_the_observation(cell):
    cell.reset(SEED)
    observation = cell.observe()
    np.testing.assert_array_equal(sources.blank(cell)(observation, 0), observation.views(cell.rig.names))


def test_shuffled_shows_another_episode_as_it_goes_on(cell, renderer):
    policy = Oracle(cell, renderer)
    policy.draw = lambda observation, seed: observation.views(cell.rig.names)
    draw = sources.shuffled(policy, cell, SEED + 7)
    cell.reset(SEED)
    first = draw(cell.observe(), 0)
    cell.step(cell.q, 1.0, 1.0)
    second = draw(cell.observe(), 1)
    assert np.abs(first.astype(int) - cell.observe().views(cell.rig.names)).max() > 50
    assert np.abs(first.astype(int) - second).max() > 50
    cell.step(cell.q, 1.0, 60.0)  # longer than it takes: it stays as it ended
    draw(cell.observe(), 2)


class Memory:
    """A policy that remembers the true drawing and the true joints of every state of some demonstrations."""

    def __init__(self, cell, renderer, seeds):
        self.checkpoint = SimpleNamespace(info=SimpleNamespace(chunk_size=K, dt_s=0.05), rig=cell.rig, look=OURS)
        self.known = {}
        for seed in seeds:
            cell.reset(seed)
            trajectory = cell.plan()
            states = [cell.q for _ in follow(cell, trajectory)]
            for k, q in enumerate(states):
                last = min(k + K, len(states) - 1)
                opening = float(trajectory.gripper[min(k + K, len(states)) - 1])
                views = renderer.render(q, states[last], opening)
                self.known[q.tobytes()] = views, states[last]

    def draw(self, observation, seed):
        return over_observation(self.known[observation.q.tobytes()][0], np.stack(list(observation.images.values())))

    def act(self, drawing, observation):
        goal = self.known[observation.q.tobytes()][1]
        return ActionChunk(np.tile(goal, (K, 1)), np.zeros(K), 0.05, observation.stamp_s, observation.stamp_s)


def score(cell, policy, renderer, seeds):
    return summarise_scores([s for seed in seeds for s in score_scene(cell, policy, renderer, seed)], cell.rig.names)


def test_perfect_drawings_and_actions_score_perfectly(cell, renderer):
    seeds = range(SEED, SEED + 2)
    result = score(cell, Memory(cell, renderer, seeds), renderer, seeds)
    assert result["draw_found_rate"] > 0.99
    assert result["draw_error_px_median"] < 0.3
    assert result["follow_error_rad_median"] == 0.0
    assert result["follow_drawn_error_cm_median"] == pytest.approx(0.0, abs=1e-6)


def test_scenes_without_a_way_are_left_out(cell, renderer, monkeypatch):
    def plan(dt_s=0.05):
        raise ValueError("out of reach")

    policy = Memory(cell, renderer, [SEED])
    monkeypatch.setattr(cell, "plan", plan)
    assert score(cell, policy, renderer, range(SEED, SEED + 2)) == {}


def test_missing_spheres_are_not_found(cell, renderer, capsys):
    policy = Memory(cell, renderer, [SEED])
    policy.draw = lambda observation, seed: np.stack(list(observation.images.values()))
    scores = score(cell, policy, renderer, range(SEED, SEED + 1))
    assert scores["draw_found_rate"] < 0.05
    assert scores["draw"]["front"]["gripper"]["error_px_median"] is None
    json.dumps(scores, allow_nan=False)
    rollout = roll_out(cell, Oracle(cell, renderer, moves=False), SEED, timeout_s=0.1)
    print_report(summarise(Evaluation(), "push_button", [rollout], scores))
    assert "median error - px" in capsys.readouterr().out.replace("\n", " ")


def test_a_gripper_in_the_colour_of_another_opening_is_not_found(cell, renderer):
    policy = Memory(cell, renderer, [SEED])
    views = {q: (renderer.render(np.frombuffer(q), end, 0.0), end) for q, (_, end) in policy.known.items()}
    opened = {q: (renderer.render(np.frombuffer(q), end, 1.0), end) for q, (_, end) in policy.known.items()}
    found = []
    for policy.known in (views, opened):
        scores = score(cell, policy, renderer, range(SEED, SEED + 1))["draw"]
        assert scores["front"]["elbow"]["found"] == scores["front"]["elbow"]["visible"]
        found.append(scores["front"]["gripper"]["found"])
    assert sum(found) == scores["front"]["gripper"]["visible"]


class Wild(Oracle):
    """Its chunks begin far from where the arm is."""

    def act(self, drawing, q, gripper, instruction):
        return np.tile(self.cell.q + 1.0, (K, 1)), np.zeros(K)


def test_refused_chunks_are_counted_in_the_summary(cell, renderer):
    rollout = roll_out(cell, Wild(cell, renderer), SEED, timeout_s=0.5)
    assert rollout.ending == "timeout"
    result = summarise(Evaluation(), "push_button", [rollout, rollout], {})
    assert result["rejected"] == {name: 2 * count for name, count in rollout.rejected.items()}
    assert sum(rollout.rejected.values()) >= 1


def test_the_summary_counts_and_bounds(cell, renderer):
    policy = Oracle(cell, renderer, moves=False)
    rollouts = [roll_out(cell, policy, SEED, timeout_s=0.5) for _ in range(2)]
    result = summarise(Evaluation(targets="truth"), "push_button", rollouts, {})
    assert (result["successes"], result["episodes"], result["targets"], result["timeout_s"]) == (0, 2, "truth", 25.0)
    low, high = result["success_interval_95"]
    assert low == pytest.approx(0.0, abs=1e-9) and 0.5 < high < 0.9  # Wilson's interval for 0 of 2
