import pytest

pytest.importorskip("rclpy")

from rclpy.node import Node

from genima_ros.messages import interfaces
from genima_ros.messages import status as module
from genima_ros.messages.status import LETTERS, PROBLEMS, Diagnostics, read_diagnostics

pytestmark = pytest.mark.ros


def test_what_is_said_of_ever_new_problems_stays_bounded(bench, monkeypatch):
    heard = bench.listen(interfaces.DIAGNOSTICS)
    node = bench.node(lambda **options: Node("quoting", **options))
    diagnostics = Diagnostics(node)
    for i in range(3 * PROBLEMS):
        diagnostics.warn(f"problem {i} {'x' * 2 * LETTERS}")
    diagnostics.publish()
    bench.until(lambda: heard)
    message = read_diagnostics(heard[-1])["quoting"]["message"]
    assert message.count("problem") == PROBLEMS and f"problem {3 * PROBLEMS - 1} " in message
    assert len(message) <= PROBLEMS * (LETTERS + 10)
    monkeypatch.setattr(module, "WARN_EVERY_S", 0.0)
    diagnostics.publish()
    assert not diagnostics._logged
