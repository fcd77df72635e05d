"""Limits of the gate from true drawings: they pass with a margin, and what they are made of moves the limits."""

from dataclasses import replace

import numpy as np
import pytest

from genima_core.arm import PANDA
from genima_core.targets.draw import over_observation
from genima_core.targets.gate import Gate, GateConfig
from genima_core.targets.limits import AROUND_M, MARGIN, limits_of


@pytest.fixture
def gate(rig):
    return Gate(rig, duration_s=1.0)


@pytest.fixture
def drawings(renderer, scene, rng):
    """Of an arm that moves by up to 0.1 rad a chunk."""
    result = []
    for _ in range(12):
        q = PANDA.home + rng.uniform(-0.2, 0.2, 7)
        target = q + rng.uniform(-0.1, 0.1, 7)
        result.append((over_observation(renderer.render(q, target, 1.0), scene), q, scene))
    return result


def test_true_drawings_keep_their_own_limits(gate, drawings):
    fitted = replace(gate, config=limits_of(gate, drawings))
    assert all(fitted.check(*drawing).passed for drawing in drawings)
    points = np.concatenate([gate.check(*drawing).points[1:] for drawing in drawings])
    np.testing.assert_allclose(fitted.config.workspace_lower_m, points.min(axis=0) - AROUND_M, atol=2e-3)
    np.testing.assert_allclose(fitted.config.workspace_upper_m, points.max(axis=0) + AROUND_M, atol=2e-3)


def test_a_faster_arm_may_be_faster(gate, drawings):
    slow, fast = (limits_of(replace(gate, duration_s=duration_s), drawings) for duration_s in (1.0, 0.25))
    assert slow.tcp_speed_m_s < GateConfig().tcp_speed_m_s < fast.tcp_speed_m_s
    assert slow.joint_speed < fast.joint_speed <= 1.0


def test_noisy_cameras_may_be_noisy(gate, drawings, rng):
    assert limits_of(gate, drawings).noise_levels == GateConfig().noise_levels
    noisy = [
        (np.clip(drawing + 15 * rng.standard_normal(drawing.shape), 0, 255).astype(np.uint8), q, scene)
        for drawing, q, scene in drawings
    ]
    assert limits_of(gate, noisy).noise_levels == pytest.approx(15 * MARGIN, rel=0.3)


def test_without_drawings_there_are_no_limits(gate):
    with pytest.raises(ValueError, match="there are none"):
        limits_of(gate, [])
