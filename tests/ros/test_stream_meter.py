import numpy as np
import pytest

pytest.importorskip("rclpy")

from genima_core.data.bags.stamps import WINDOW_S, StreamMeter


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def feed(meter: StreamMeter, clock: Clock, count: int, period_s: float, offset_s: float = 0.0) -> None:
    for _ in range(count):
        clock.now_s += period_s
        meter.add(round(1e9 * (clock.now_s + offset_s)))


def test_rate_age_and_losses():
    clock = Clock()
    meter = StreamMeter(30.0, clock)
    assert (meter.rate_hz, meter.silent_s, meter.lost) == (0.0, np.inf, 0)
    feed(meter, clock, 90, 1 / 30)
    assert meter.rate_hz == pytest.approx(30, abs=1)
    assert meter.age_s(round(1e9 * (clock.now_s + 0.5))) == pytest.approx(0.5)
    clock.now_s += 3 / 30
    feed(meter, clock, 1, 1 / 30)
    assert meter.lost == 3
    meter.lost = 0
    clock.now_s += WINDOW_S + 1
    assert meter.rate_hz == 0.0
    assert meter.silent_s == pytest.approx(WINDOW_S + 1)


def test_skew_is_the_distance_of_captures():
    clock = Clock()
    one, other = StreamMeter(None, clock), StreamMeter(None, clock)
    assert np.isnan(one.skew_ms(other))
    for _ in range(20):
        feed(one, clock, 1, 0.05)
        feed(other, clock, 1, 0.0, offset_s=0.004)
    assert other.skew_ms(one) == pytest.approx(4.0)
    assert one.skew_ms(one) == 0.0
