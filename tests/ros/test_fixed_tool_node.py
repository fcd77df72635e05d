import pytest

pytest.importorskip("rclpy")

from genima_ros.messages import conversions, interfaces
from genima_ros.nodes.fixed_tool_node import FixedToolNode

pytestmark = pytest.mark.ros


def test_it_says_that_it_is_closed_now(bench):
    began_s = bench.now_s()
    bench.node(FixedToolNode)
    heard = bench.listen(interfaces.GRIPPER_STATE)
    bench.until(lambda: len(heard) > 2)
    stamps_s = [conversions.seconds(message.header.stamp) for message in heard]
    assert began_s < stamps_s[0] < stamps_s[-1] <= bench.now_s()
    assert [*heard[-1].name] == [conversions.GRIPPER_JOINT] and [*heard[-1].position] == [0.0]


def test_a_rate_must_be_positive(bench):
    with pytest.raises(ValueError, match="rate_hz is 0"):
        bench.node(FixedToolNode, parameters={"rate_hz": 0.0})
