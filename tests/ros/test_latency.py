import pytest

pytest.importorskip("rclpy")

from genima_ros.clients.latency import CommandLatency

pytestmark = pytest.mark.ros


def test_the_first_set_point_that_moves_after_a_chunk_reflects_it():
    latency = CommandLatency()
    latency.on_command(0.5, 0.9)  # of a chunk before
    latency.on_chunk(1.0)
    latency.on_command(0.0, 1.2)  # still held
    latency.on_command(0.1, 1.25)
    latency.on_command(0.2, 1.27)
    assert latency.values_s == [pytest.approx(0.25)]


def test_a_chunk_that_nothing_follows_is_not_counted():
    latency = CommandLatency()
    latency.on_chunk(1.0)
    latency.on_chunk(2.0)
    latency.on_command(0.1, 2.1)
    assert latency.values_s == [pytest.approx(0.1)]
