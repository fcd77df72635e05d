import math

import pytest

from genima_core.timing import ClockPair, PeriodMeter


def test_regular_ticks_have_no_jitter():
    meter = PeriodMeter(0.02)
    for i in range(100):
        meter.tick(0.02 * i)
    assert meter.summary() == pytest.approx(
        {"period_ms_median": 20.0, "jitter_ms_p50": 0.0, "jitter_ms_p99": 0.0, "gap_ms_max": 20.0}, abs=1e-6
    )


def test_one_late_tick_is_the_longest_gap():
    meter = PeriodMeter(0.02)
    for now_s in (0.0, 0.02, 0.07, 0.08):
        meter.tick(now_s)
    assert meter.summary()["gap_ms_max"] == pytest.approx(50.0)


def test_a_pause_is_no_period():
    meter = PeriodMeter(0.02)
    for now_s in (0.0, 0.02, None, 60.0, 60.02):
        if now_s is None:
            meter.pause()
        else:
            meter.tick(now_s)
    assert len(meter.periods_s) == 2
    assert meter.summary()["gap_ms_max"] == pytest.approx(20.0)


def test_only_the_window_is_kept():
    meter = PeriodMeter(0.02, window=5)
    for i in range(50):
        meter.tick(0.02 * i)
    assert len(meter.periods_s) == 5


def test_nothing_measured_is_nan():
    assert all(math.isnan(value) for value in PeriodMeter(0.02).summary().values())


def test_clocks_are_translated_both_ways():
    pair = ClockPair(lambda: 10.0, lambda: 1010.0)
    assert pair.to_ros(12.0) == pytest.approx(1012.0)
    assert pair.to_steady(1012.0) == pytest.approx(12.0)


def test_an_interrupted_reading_is_not_used():
    steady_s = iter([10.0, 10.0, 10.0, 10.5])  # the second time, half a second passes between the two readings
    ros_s = iter([1010.0, 1010.5])
    pair = ClockPair(lambda: next(steady_s), lambda: next(ros_s))
    assert pair.to_ros(10.0) == pytest.approx(1010.0)
    assert pair.to_ros(10.0) == pytest.approx(1010.0)
