"""`genima enable`, `stop` and the like, on a real streamer and where nobody offers what they call."""

from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("rclpy")

from genima_core.arm import PANDA
from genima_ros.cli import services
from genima_ros.cli.main import run
from genima_ros.cli.services import Graph, approve, disable, disengage, enable, engage, reject, reset, resume, stop
from genima_ros.clients.observer import user_name
from genima_ros.messages import conversions, interfaces
from genima_ros.nodes.streamer_node import StreamerNode
from genima_ros.nodes.teleop_node import TeleopNode

pytestmark = pytest.mark.ros


@pytest.fixture
def streamer(bench):
    node = bench.node(StreamerNode, parameters={"enabled": False})
    joints = interfaces.publish(bench.probe, interfaces.JOINT_STATES)
    state = conversions.to_joint_state
    bench.probe.create_timer(0.02, lambda: joints.publish(state(PANDA.joint_names, PANDA.home, bench.now_s())))
    return node.streamer


@pytest.fixture
def do(bench, capfd):
    """Calls a verb while the nodes run; what it prints."""

    def call(verb, **arguments) -> str:
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(verb, **arguments)
            bench.until(done.done)
        done.result()
        return capfd.readouterr().out

    return call


def test_an_operator_takes_over_and_gives_back(bench, do):
    bench.node(TeleopNode)
    with pytest.raises(RuntimeError, match="refused: No usable joint state of the leader"):
        do(engage)
    assert "given back" in do(disengage)
    with pytest.raises(RuntimeError, match="refused: The arm is given back already"):
        do(disengage)


def test_who_approves_comes_with_the_call(bench, do):
    said = []

    def answer(request, response):
        said.append(request.load_namespace)
        response.success = True
        return response

    for name in ("approve", "reject"):
        bench.probe.create_service(interfaces.SERVICES[name].type, f"controller/{name}", answer)
    do(approve, by="Ada")
    do(reject)
    assert said == ["Ada", user_name()] and "@" in said[1]


def test_they_work_with_nothing_but_services(do, streamer):
    assert do(enable) and streamer._enabled
    assert do(disable) and not streamer._enabled
    do(enable)
    assert "stopping" in do(stop) and not streamer._enabled
    do(stop, emergency=True)
    with pytest.raises(RuntimeError, match="refused"):
        do(enable)
    do(reset)
    assert do(enable) and streamer._enabled


@pytest.mark.parametrize(
    ("call", "name"),
    [(lambda: resume(), "/controller/resume"), (lambda: enable(Graph("cell")), "/cell/streamer/enable")],
)
def test_what_nobody_offers_is_said(call, name, monkeypatch):
    monkeypatch.setattr(services, "ANSWER_S", 0.5)
    with pytest.raises(RuntimeError, match=f"nobody offers the service {name} in ROS domain"):
        call()


def test_a_domain_that_is_none_is_named(monkeypatch, capfd):
    monkeypatch.setenv("ROS_DOMAIN_ID", "abc")
    assert run(["enable"]) == 1
    assert capfd.readouterr().err == "genima: ROS_DOMAIN_ID is 'abc'; set it to a number from 0 to 232, or unset it\n"
