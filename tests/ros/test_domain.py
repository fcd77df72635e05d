"""Domains that nothing else on the machine is in, and the one worker of the ROS tests."""

import os
import subprocess
import sys

import pytest

from genima_ros.graph import domain
from genima_ros.graph.domain import claim, own_domain

pytestmark = pytest.mark.ros


def test_two_processes_get_different_domains():
    code = (
        "from genima_ros.graph.domain import own_domain\nwith own_domain() as ours:\n print(ours, flush=True); input()"
    )
    others = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    try:
        theirs = [int(other.stdout.readline()) for other in others]
        with own_domain() as ours:
            assert len({*theirs, ours, int(os.environ["ROS_DOMAIN_ID"])}) == 5
    finally:
        for other in others:
            other.communicate("\n")


def test_a_domain_is_free_again_afterwards():
    with own_domain() as first, claim("own", first) as claimed:
        assert not claimed
    with claim("own", first) as claimed:
        assert claimed


def test_a_domain_with_a_node_of_somebody_else_is_left_alone(monkeypatch):
    rclpy = pytest.importorskip("rclpy")
    with own_domain() as inhabited:  # and by nobody else, unlike the one of this process
        monkeypatch.setattr(domain, "claim", lambda purpose, number: claim("test", number))
        monkeypatch.setattr(domain, "DOMAINS", (inhabited,))
        context = rclpy.Context()
        rclpy.init(args=[], context=context, domain_id=inhabited)
        somebody = rclpy.create_node("somebody", context=context)
        with pytest.raises(RuntimeError, match="--domain"), own_domain():
            pass
        somebody.destroy_node()
        rclpy.shutdown(context=context)
        with own_domain() as ours:
            assert ours == inhabited


def test_ros_tests_of_one_file_run_on_one_worker(request):
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("runs under pytest-xdist with --dist loadgroup, as in make test")
    assert request.node.nodeid.endswith("@test_domain"), "this pytest-xdist does not group tests under this pytest"
