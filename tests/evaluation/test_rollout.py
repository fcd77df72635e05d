"""The closed loop with stand-ins for the two models: what they need not be trained for."""

from types import SimpleNamespace

import numpy as np
import pytest

from genima_core.arm import PANDA
from genima_core.evaluation import sources
from genima_core.evaluation.report import summarise
from genima_core.evaluation.rollout import roll_out
from genima_core.evaluation.scoring import score
from genima_core.sim import experts
from genima_core.sim.cell import Cell, default_rig
from genima_core.sim.task import make_task
from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.streamer import Streamer
from genima_core.targets.detect import score_drawing
from genima_core.targets.draw import over_observation
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
        self.checkpoint = SimpleNamespace(info=SimpleNamespace(chunk_size=K, dt_s=0.05), rig=cell.rig)

    def draw(self, observation, seed):
        trajectory = experts.plan(self.cell)
        k = min(K, len(trajectory)) - 1
        views = self.renderer.render(observation.q, trajectory.q[k], float(trajectory.gripper[k]))
        return over_observation(views, sources.stack(self.cell, observation))

    def act(self, drawing, observation, start_s):
        q, gripper = np.tile(self.cell.q, (K, 1)), np.zeros(K)
        if self.moves:
            trajectory = experts.plan(self.cell)
            q = np.concatenate([trajectory.q[:K], np.tile(trajectory.q[-1], (max(0, K - len(trajectory)), 1))])
        return ActionChunk(q, gripper, 0.05, start_s, observation.stamp_s)


def test_the_experts_chunks_solve_the_task_through_the_streamer(cell, renderer):
    policy = Oracle(cell, renderer)
    cell.reset(SEED)
    result = roll_out(cell, policy, policy.draw, SEED, timeout_s=12.0, config=StreamerConfig(), record=True)
    assert result.success
    assert result.limit_violations == 0
    assert 2 <= result.drawings <= 12
    assert {"observe", "draw", "act", "stream"} <= set(result.stage_ms)
    assert result.frames and result.frames[0].shape == (128, 256, 3)


def test_an_arm_that_stands_still_does_not_succeed(cell, renderer):
    policy = Oracle(cell, renderer, moves=False)
    cell.reset(SEED)
    before = cell.q
    result = roll_out(cell, policy, policy.draw, SEED, timeout_s=3.0, config=StreamerConfig())
    assert not result.success
    assert np.abs(cell.q - before).max() < 0.01


def test_true_targets_show_where_the_expert_goes(cell, renderer):
    cell.reset(SEED + 1)
    observation = cell.observe()
    trajectory = experts.plan(cell)
    views = renderer.render(cell.q, trajectory.q[K - 1], float(trajectory.gripper[K - 1]))
    scored = score_drawing(sources.truth(cell, renderer, K)(observation, 0), views)
    assert scored.found[scored.visible].all()
    assert np.nanmedian(scored.error_px) < 0.5


def test_blank_targets_are_the_observation(cell):
    cell.reset(SEED)
    observation = cell.observe()
    np.testing.assert_array_equal(sources.blank(cell)(observation, 0), sources.stack(cell, observation))


def test_shuffled_shows_another_episode_as_it_goes_on(cell, renderer):
    policy = Oracle(cell, renderer)
    policy.draw = lambda observation, seed: sources.stack(cell, observation)
    draw, other = sources.shuffled(policy, "push_button", SEED + 7)
    cell.reset(SEED)
    first = draw(cell.observe(), 0)
    cell.step(cell.q, 1.0, 1.0)
    second = draw(cell.observe(), 1)
    assert np.abs(first.astype(int) - sources.stack(cell, cell.observe())).max() > 50
    assert np.abs(first.astype(int) - second).max() > 50
    assert other.time_s >= 1.0
    other.close()


class Memory:
    """A policy that remembers the true drawing and the true joints of every state of some demonstrations."""

    def __init__(self, cell, renderer, seeds):
        self.checkpoint = SimpleNamespace(info=SimpleNamespace(chunk_size=K, dt_s=0.05), rig=cell.rig)
        self.known = {}
        for seed in seeds:
            cell.reset(seed)
            trajectory = experts.plan(cell)
            states = [cell.q for _ in experts.follow(cell, trajectory)]
            for k, q in enumerate(states):
                last = min(k + K, len(states) - 1)
                views = renderer.render(q, states[last], float(trajectory.gripper[last]))
                self.known[q.tobytes()] = views, states[last]

    def draw(self, observation, seed):
        return over_observation(self.known[observation.q.tobytes()][0], np.stack(list(observation.images.values())))

    def act(self, drawing, observation, start_s):
        goal = self.known[observation.q.tobytes()][1]
        return ActionChunk(np.tile(goal, (K, 1)), np.zeros(K), 0.05, start_s, observation.stamp_s)


def test_perfect_drawings_and_actions_score_perfectly(cell, renderer):
    seeds = range(SEED, SEED + 2)
    scores = score(cell, Memory(cell, renderer, seeds), renderer, seeds, stride=25)
    result = scores.to_dict()
    assert result["draw_found_rate"] > 0.99
    assert result["draw_error_px_median"] < 0.3
    assert result["follow_error_rad_median"] == 0.0
    assert result["follow_drawn_error_cm_median"] == pytest.approx(0.0, abs=1e-6)


def test_missing_spheres_are_not_found(cell, renderer):
    policy = Memory(cell, renderer, [SEED])
    policy.draw = lambda observation, seed: np.stack(list(observation.images.values()))
    assert score(cell, policy, renderer, range(SEED, SEED + 1), stride=25).found_rate < 0.05


def test_the_streamer_refuses_a_bad_chunk_and_says_why():
    streamer = Streamer(PANDA)
    streamer.enable()
    chunk = ActionChunk(np.full((K, 7), np.nan), np.zeros(K), 0.05, 0.05, 0.0)
    assert streamer.on_chunk(chunk, 0.0) is not None


def test_the_summary_counts_and_bounds(cell, renderer):
    policy = Oracle(cell, renderer, moves=False)
    cell.reset(SEED)
    rollouts = [roll_out(cell, policy, policy.draw, SEED, 0.5, StreamerConfig()) for _ in range(2)]
    result = summarise("push_button", "somewhere", "truth", rollouts, None)
    assert result["successes"] == 0 and result["episodes"] == 2
    low, high = result["success_interval_95"]
    assert low == pytest.approx(0.0, abs=1e-9) and 0.5 < high < 0.9  # Wilson's interval for 0 of 2
