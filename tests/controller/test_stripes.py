"""The turn of the gripper's sphere, read from its stripes."""

from contextlib import closing

import numpy as np
import pytest
import torch

from genima_core.arm import PANDA
from genima_core.controller.kinematics import DrawnFrames
from genima_core.controller.stripes import GRIPPER, LAST, TURNS, StripeReader, wrapped_rad
from genima_core.sim.scene import default_rig
from genima_core.targets.renderer import TargetRenderer

SAMPLES = 96


@pytest.fixture(scope="module")
def frames():
    return DrawnFrames(default_rig(64, 64))


@pytest.fixture(scope="module")
def seen(frames):
    """Spheres of goals near home that are turned by up to a radian: images, joints now, goals, views, turns."""
    rng = np.random.default_rng(0)
    q = PANDA.home + rng.normal(0, 0.1, (SAMPLES, 7))
    goal, turn_rad = PANDA.home + rng.normal(0, 0.1, (SAMPLES, 7)), rng.uniform(-1, 1, SAMPLES)
    turned = goal.copy()
    turned[:, LAST] += turn_rad
    with closing(TargetRenderer(frames.rig)) as renderer:
        views = [renderer.render(*ends, rng.integers(2)) for ends in zip(q, turned, strict=True)]
    images = np.stack([v.rgb / 255 * (v.alpha[..., None] / 255) + 0.3 * (v.alpha[..., None] == 0) for v in views])
    q, goal, turned, turn_rad = (torch.from_numpy(a).float() for a in (q, goal, turned, turn_rad))
    shown = frames.visible(q, turned)[1][:, :, GRIPPER].float()
    images = torch.from_numpy(images).float().permute(0, 1, 4, 2, 3)
    return (images, q, goal, shown), turn_rad


def test_stripes_tell_the_turn(frames, seen):
    inputs, turn_rad = seen
    torch.manual_seed(0)
    reader, learn, test = StripeReader(frames), slice(0, 64), slice(64, SAMPLES)
    optimizer = torch.optim.Adam(reader.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        reader.loss(reader(*(x[learn] for x in inputs)), turn_rad[learn]).backward()
        optimizer.step()
    with torch.no_grad():
        read_rad = reader.turn(reader(*(x[test] for x in inputs)))[:, 0]
    error_rad = (read_rad - turn_rad[test]).abs()
    assert error_rad.median() < 0.08
    assert np.corrcoef(read_rad, turn_rad[test])[0, 1] > 0.9


def test_a_turned_goal_shifts_the_strip(frames, seen):
    images, q, goal, _ = seen[0]
    reader, sector = StripeReader(frames), 2 * np.pi / TURNS
    further = goal.clone()
    further[:, LAST] += 3 * sector
    strip, shifted = (reader.unroll(images, q, g) for g in (goal, further))
    torch.testing.assert_close(strip.roll(-3, -1), shifted, atol=1e-3, rtol=0)


def test_nothing_seen_is_no_turn(frames):
    images, q = torch.zeros(2, 4, 3, 64, 64), torch.from_numpy(np.tile(PANDA.home, (2, 1))).float()
    reader = StripeReader(frames)
    logits = reader(images, q, q, torch.zeros(2, 4))
    assert torch.equal(reader.turn(logits), torch.zeros(2, 1))


def test_a_turn_and_its_logits_agree(frames):
    reader, turn_rad = StripeReader(frames), torch.tensor([-3.1, -0.4, 0.0, 0.13, 1.0, 3.1])
    place = (turn_rad[:, None] / (2 * np.pi) * TURNS - torch.arange(TURNS)) % TURNS
    logits = (1 - torch.minimum(place, TURNS - place)).clamp(min=1e-6).log()
    torch.testing.assert_close(reader.turn(logits)[:, 0], turn_rad, atol=1e-3, rtol=0)
    off = [reader.loss(logits, wrapped_rad(turn_rad + angle)) for angle in (0.0, 0.1, 0.3)]
    assert off[0] < off[1] < off[2]
