import itertools
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from std_msgs.msg import String

from genima_core.pixels import tile, untile
from genima_ros.messages import conversions, interfaces
from genima_ros.nodes.diffusion_node import DiffusionNode, DiffusionParameters, load_agent

pytestmark = pytest.mark.ros


class FakeAgent:
    """Draws the negative; remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[np.ndarray, str, int, int | None]] = []

    def draw(self, images, instruction, seed, steps=None):
        self.calls.append((images.copy(), instruction, seed, steps))
        return 255 - images


@pytest.fixture
def agent() -> FakeAgent:
    return FakeAgent()


@pytest.fixture
def graph(bench, agent, rig):
    return Graph(bench, agent, rig)


class Graph:
    """A diffusion node, four cameras and an operator."""

    def __init__(self, bench, agent, rig) -> None:
        self.bench, self.agent, self.rig = bench, agent, rig
        self.checkpoint = SimpleNamespace(rig=rig, unknown_instruction=lambda text: text * ("milk" in text))
        self.diagnostics = bench.listen(interfaces.DIAGNOSTICS)
        self.tiled = bench.listen(interfaces.TARGETS)
        self.views = {name: bench.listen(interfaces.target_image(name)) for name in rig.names}

    def start(self, **parameters) -> None:
        self.bench.node(DiffusionNode, lambda _: (self.agent, self.checkpoint), parameters=parameters)
        self.cameras = {name: self.bench.talk(interfaces.camera_image(name)) for name in self.rig.names}

    def instruct(self, text: str = "push the button") -> None:
        self.bench.talk(interfaces.INSTRUCTION).publish(String(data=text))
        self.bench.settle("diffusion")

    def send(self, drawing: np.ndarray, stamps_s) -> None:
        for (_, camera), view, stamp_s in zip(self.cameras.items(), drawing, stamps_s, strict=True):
            camera.publish(conversions.rgb_to_image(view, stamp_s))

    def refuses(self, words: str) -> None:
        self.bench.until(self.bench.problem("diffusion", self.diagnostics, words))
        assert not self.agent.calls
        assert not self.tiled


def test_four_images_become_one_drawing_with_their_stamp(graph, drawing):
    observed = graph.bench.listen(interfaces.OBSERVATION)
    graph.start(seed=5)
    graph.instruct()
    graph.send(drawing, [100.03, 100.01, 100.02, 100.04])
    graph.bench.until(lambda: observed and graph.tiled and all(graph.views.values()))
    images, instruction, seed, steps = graph.agent.calls[0]
    assert (images == drawing).all()
    assert (instruction, seed, steps) == ("push the button", 5, None)
    assert (conversions.image_to_rgb(graph.tiled[0]) == tile(255 - drawing)).all()
    assert (untile(conversions.image_to_rgb(graph.tiled[0]), 4) == 255 - drawing).all()
    for name, view in zip(graph.rig.names, 255 - drawing, strict=True):
        assert (conversions.image_to_rgb(graph.views[name][0]) == view).all()
    assert (untile(conversions.image_to_rgb(observed[0]), 4) == drawing).all()
    for message in (observed[0], graph.tiled[0], *(messages[0] for messages in graph.views.values())):
        assert conversions.seconds(message.header.stamp) == pytest.approx(100.01)


def test_other_encodings_are_drawn_on(graph, drawing):
    graph.start(instruction="push")
    for camera, view in zip(graph.cameras.values(), drawing, strict=True):
        message = conversions.rgb_to_image(np.ascontiguousarray(view[..., ::-1]), 1.0)
        message.encoding = "bgr8"
        camera.publish(message)
    graph.bench.until(lambda: graph.agent.calls)
    assert (graph.agent.calls[0][0] == drawing).all()


def test_images_too_far_apart_are_not_combined(graph, drawing):
    graph.start(instruction="push")
    seconds = itertools.count(100)

    def send_one_late() -> None:
        stamp_s = next(seconds)
        graph.send(drawing, [stamp_s, stamp_s, stamp_s, stamp_s + 0.5])

    timer = graph.bench.probe.create_timer(0.1, send_one_late)
    graph.refuses("500 ms apart")
    timer.cancel()
    graph.bench.settle("diffusion")
    graph.send(drawing, [1000.5, 1000.51, 1000.52, 1000.53])
    graph.bench.until(lambda: graph.tiled)
    assert conversions.seconds(graph.tiled[0].header.stamp) == pytest.approx(1000.5)


def test_a_frozen_camera_is_reported_and_not_drawn_on(graph, drawing):
    graph.start(instruction="push")
    graph.send(drawing, [100.0] * 4)
    graph.bench.until(lambda: graph.tiled)
    graph.agent.calls.clear()
    graph.tiled.clear()
    graph.send(drawing, [100.0, 101.0, 101.0, 101.0])
    graph.refuses("wrist is frozen")


def test_identical_pixels_count_as_frozen_where_asked(graph, drawing):
    graph.start(instruction="", identical_frames=2)
    graph.send(drawing, [100.0] * 4)
    graph.bench.settle("diffusion")
    graph.send(drawing, [101.0] * 4)
    graph.refuses("identical")


def test_missing_camera_is_named_with_its_topic(graph, drawing):
    graph.start(instruction="push")
    for name in graph.rig.names[:3]:
        graph.cameras[name].publish(conversions.rgb_to_image(drawing[0], 1.0))
    graph.refuses("/left_shoulder/color/image_raw")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda message: setattr(message, "encoding", "16UC1"), "encoding '16UC1'"),
        (lambda message: message.data.pop(), "bytes"),
        (lambda message: setattr(message, "height", message.height // 2), "bytes"),
    ],
)
def test_broken_images_are_explained(graph, drawing, change, words):
    graph.start(instruction="push")
    message = conversions.rgb_to_image(drawing[1], 1.0)
    change(message)
    graph.cameras["front"].publish(message)
    graph.refuses(words)


def test_wrong_size_is_explained(graph, drawing):
    graph.start(instruction="push")
    graph.send(drawing[:, ::2], [1.0] * 4)
    graph.refuses("64x32; the checkpoint draws on 64x64")


def test_without_instruction_nothing_is_drawn(graph, drawing):
    graph.start()
    graph.send(drawing, [1.0] * 4)
    graph.refuses("/instruction")


def test_an_agent_that_fails_does_not_end_the_node(graph, drawing):
    def fail(*_):
        raise RuntimeError("out of memory")

    graph.start(instruction="push")
    graph.agent.draw = fail
    graph.send(drawing, [1.0] * 4)
    graph.refuses("out of memory")


def test_an_instruction_that_was_never_taught_is_reported(graph):
    graph.start()
    graph.instruct("pour a glass of milk")
    graph.refuses("pour a glass of milk")


def test_missing_checkpoint_is_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match="the shipped checkpoints/demo"):
        load_agent(DiffusionParameters(checkpoint=tmp_path))
