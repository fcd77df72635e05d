"""docs/safety.md says what the code does."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from genima_core.arm import FR3, PANDA, Arm
from genima_core.sim.margins import Margins
from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.playback import shaping_limits
from genima_core.streaming.profile import Profile

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/safety.md").read_text()


def section(title: str) -> str:
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)[1]


def rows(text: str) -> list[list[str]]:
    """Cells of a table, without its head."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return lines[2:]


def test_the_numbers_of_the_watchdogs_are_the_defaults():
    told = {name.strip("`"): float(value) for name, value, *_ in rows(section("Watchdogs"))}
    assert len(told) > 15
    config, margins = StreamerConfig(), Margins()
    assert told == {name: getattr(config, name, None) or getattr(margins, name) for name in told}


def test_numbers_in_the_text_are_those_of_the_configuration():
    real = yaml.safe_load((ROOT / "config/real.yaml").read_text())
    assert f"{real['streamer']['ros__parameters']['velocity_scale']:g} of the arm's speed" in TEXT
    assert f"({real['diffusion']['ros__parameters']['identical_frames']} in `config/real.yaml`)" in TEXT


@pytest.mark.parametrize(
    ("arm", "scale", "longest_s"), [(PANDA, 1.0, 0.34), (FR3, 1.0, 0.61), (PANDA, 0.1, 0.1), (FR3, 0.1, 0.1)]
)
def test_stops_take_as_long_as_it_says(arm, scale, longest_s):
    config = StreamerConfig(velocity_scale=scale, period_s=0.005)
    stop_s = max(stop_from_full_speed_s(arm, config, joint) for joint in range(7))
    if scale == 1.0:
        assert stop_s == pytest.approx(longest_s, abs=2 * config.period_s)
        assert f"{longest_s} s" in TEXT
    else:
        assert stop_s < longest_s


def stop_from_full_speed_s(arm: Arm, config: StreamerConfig, joint: int) -> float:
    """Time that one joint needs to stop from its greatest velocity."""
    limits = shaping_limits(arm.limits, config)
    start = (limits.lower + limits.upper) / 2
    start[joint] = limits.lower[joint]
    profile = Profile(limits, config.period_s, start)
    speed = np.where(np.arange(7) == joint, limits.velocity, 0.0)
    steps = 0
    while profile.motion.dq[joint] < 0.999 * speed[joint]:
        begin_s = steps * config.period_s
        profile.track(
            lambda t, s=begin_s: (start + np.outer(s + t, speed), np.tile(speed, (len(t), 1)), np.zeros((len(t), 7)))
        )
        steps += 1
        assert steps < 2000
    steps = 0
    while not profile.motion.at_rest:
        profile.stop()
        steps += 1
    return steps * config.period_s


def test_bad_input_is_proved_by_tests_that_exist():
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", section("Bad input"))
    assert len(named) > 10
    for path, test in named:
        assert f"def {test}(" in (ROOT / path).read_text(), f"{path} has no {test}"


@pytest.mark.ros
def test_the_faults_are_those_that_are_injected():
    pytest.importorskip("rclpy")
    from .ros.faults.catalogue import FAULTS

    told = {name: (limit, to_go_on) for name, limit, _, _, to_go_on in rows(section("Faults"))}
    assert len(told) >= 20
    assert told == {
        fault.name: (fault.limit.source if fault.limit else "does not stop", fault.go_on.words) for fault in FAULTS
    }


def test_every_fault_ended_in_time():
    late = [
        name
        for name, limit, after_s, *_ in rows(section("Faults"))
        if (after_s == "") != (limit == "does not stop") or float(after_s or 0.0) > 0.3
    ]
    assert not late
