"""Real nodes in a context of their own; an untrained checkpoint."""

import gc
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from genima_core.cameras import CameraRig

from . import built_interfaces as built

LIMIT_S = 60.0
"""Of every wait; reached only by a test that fails."""


def as_text(message) -> str:
    """A status as "state" or "state: text"."""
    from genima_ros.messages.status import values_of

    state = values_of(message)["state"]
    return f"{state}: {message.message}" if message.message else state


class Bench:
    """Nodes under test and a probe, spun together in this thread."""

    def __init__(self) -> None:
        import rclpy

        from genima_ros.nodes.base import make_executor

        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=int(os.environ["ROS_DOMAIN_ID"]))
        self.executor = make_executor(self.context)
        self.nodes: list = []
        self._refused = False
        self.probe = rclpy.create_node("probe", context=self.context)
        self.executor.add_node(self.probe)

    def node(self, kind: Callable, *args, parameters: dict | None = None, **options):
        """A node of this class with these parameters, spun with the others."""
        from rclpy.parameter import Parameter

        overrides = [Parameter(name, value=value) for name, value in (parameters or {}).items()]
        try:
            node = kind(*args, context=self.context, parameter_overrides=overrides, **options)
        except Exception:
            self._refused = True
            raise
        self.executor.add_node(node)
        self.nodes.append(node)
        return node

    def listen(self, topic) -> list:
        """Messages of a topic, as they come."""
        from genima_ros.messages import interfaces

        messages: list = []
        interfaces.subscribe(self.probe, topic, messages.append)
        return messages

    def talk(self, topic):
        """A publisher that already has a listener."""
        from genima_ros.messages import interfaces

        publisher = interfaces.publish(self.probe, topic)
        self.until(lambda: publisher.get_subscription_count() > 0)
        return publisher

    def until(self, condition: Callable[[], object]) -> None:
        """Handles messages until the condition holds."""
        end_ns = self.probe.get_clock().now().nanoseconds + int(LIMIT_S * 1e9)
        while not condition():
            if self.probe.get_clock().now().nanoseconds > end_ns:
                raise TimeoutError("what the test waits for did not happen")
            self.executor.spin_once(timeout_sec=0.05)

    def settle(self, node: str) -> None:
        """Returns when the node has handled what was sent to it before: it answers in order."""
        from rcl_interfaces.srv import ListParameters

        client = self.probe.create_client(ListParameters, f"{node}/list_parameters")
        self.until(client.service_is_ready)
        future = client.call_async(ListParameters.Request())
        self.until(future.done)
        self.probe.destroy_client(client)

    def call(self, node: str, service: str, **request: object):
        """The response of a service."""
        from genima_ros.messages import interfaces

        kind = interfaces.SERVICES[service].type
        client = self.probe.create_client(kind, f"{node}/{service}")
        self.until(client.service_is_ready)
        future = client.call_async(kind.Request(**request))
        self.until(future.done)
        return future.result()

    def set(self, node: str, name: str, value: object):
        """What a node answers to another value of a parameter."""
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        client = self.probe.create_client(SetParameters, f"{node}/set_parameters")
        self.until(client.service_is_ready)
        parameter = Parameter(name, value=value).to_parameter_msg()
        future = client.call_async(SetParameters.Request(parameters=[parameter]))
        self.until(future.done)
        return future.result().results[0]

    def problem(self, node: str, diagnostics: list, text: str) -> Callable[[], bool]:
        """Whether the node's newest diagnostics report a problem with this text."""
        from genima_ros.messages.status import read_diagnostics

        def reported() -> bool:
            return any(text in read_diagnostics(message).get(node, {}).get("message", "") for message in diagnostics)

        return reported

    def now_s(self) -> float:
        return self.probe.get_clock().now().nanoseconds * 1e-9

    def end(self, name: str) -> None:
        """Of a node that dies."""
        node = next(node for node in self.nodes if node.get_name() == name)
        self.nodes.remove(node)
        self.executor.remove_node(node)
        later = self.executor.create_task(lambda: None)  # the executor handles what came for the node before
        self.until(later.done)
        if hasattr(node, "close"):
            node.close()
        node.destroy_node()

    def close(self) -> None:
        import rclpy

        for node in (*self.nodes, self.probe):
            self.executor.remove_node(node)
        self.executor.shutdown()
        for node in (*self.nodes, self.probe):
            if hasattr(node, "close"):  # as `nodes.base.run` ends it: a node may have parts of its own
                node.close()
            node.destroy_node()
        rclpy.shutdown(context=self.context)
        if self._refused:  # the error's traceback keeps half a node, which others see until it is collected
            gc.collect()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


@pytest.fixture
def cell(bench: Bench, rig: CameraRig, rng: np.random.Generator):
    """What a console meets."""
    from .console_cell import ConsoleCell  # needs ROS and viser

    return ConsoleCell(bench, rig, rng)


@pytest.fixture(scope="session")
def built_interfaces() -> Path:
    """The prefix with the packages of tests/interfaces/ that are not installed here, built once a machine."""
    if reason := built.obstacle():
        pytest.skip(reason)
    return built.provide()


@pytest.fixture
def interface_packages(built_interfaces: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes control_msgs, franka_msgs and the like importable, in this process and in those that it starts."""
    modules = str(built.site_packages(built_interfaces))
    monkeypatch.syspath_prepend(modules)
    monkeypatch.setenv("PYTHONPATH", modules, prepend=os.pathsep)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(built_interfaces / "lib"), prepend=os.pathsep)
    return built_interfaces


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete checkpoint of the demo's classes and sizes. Its drawings mean nothing; its chunks turn joint 1."""
    from genima_core.sim.scene import default_rig

    return save_untrained(tmp_path_factory.mktemp("untrained"), default_rig(64, 64))


def save_untrained(folder: Path, rig: CameraRig) -> Path:
    import torch

    from genima_core.checkpoint import FORMAT, CheckpointInfo
    from genima_core.controller.config import DEMO
    from genima_core.controller.keypoint_act import KeypointAct
    from genima_core.controller.policy import Controller
    from genima_core.diffusion.agent import DiffusionAgent
    from genima_core.diffusion.autoencoder import PatchAutoencoder
    from genima_core.diffusion.building import build
    from genima_core.diffusion.config import PRESETS
    from genima_core.language import TextEncoder
    from genima_core.targets.gate import GateConfig

    torch.manual_seed(0)
    diffusion = replace(PRESETS["demo"], size=rig.size)
    PatchAutoencoder(diffusion.autoencoder.latent_channels, diffusion.autoencoder.width).save_pretrained(folder / "vae")
    networks = build(diffusion, folder).networks
    DiffusionAgent.assemble(networks, diffusion.size, diffusion.draw_steps).save(folder / "diffusion")
    controller = replace(DEMO.model, size=rig.size)
    ramp = torch.zeros(controller.chunk_size, 7)
    ramp[:, 0] = torch.linspace(0.01, 0.2, controller.chunk_size)
    # A prior that no sphere moves: the goal is where the arm is.
    statistics = {
        **KeypointAct.unit_statistics(controller.chunk_size),
        "action_mean": ramp,
        "action_std": torch.full((controller.chunk_size, 7), 1e-4),
        "goal_precision": 1e9 * torch.eye(7),
    }
    network = KeypointAct(controller, rig, statistics)
    Controller(network, TextEncoder.tiny(controller.text_dim)).save(folder / "controller")
    info = CheckpointInfo(
        format=FORMAT,
        preset="demo",
        tasks=("push_button", "open_drawer"),
        instructions=("push the button",),
        chunk_size=controller.chunk_size,
        dt_s=controller.dt_s,
        view_size=rig.size[0],
        rig=rig.fingerprint(),
        dataset="none",
        seeds=(1,),
        revision="unknown",
    )
    rig.save(folder / "rig.json")
    (folder / "gate.json").write_text(json.dumps(asdict(GateConfig())))
    (folder / "checkpoint.json").write_text(json.dumps(asdict(info)))
    return folder


@pytest.fixture
def drawing(rng: np.random.Generator, rig: CameraRig) -> np.ndarray:
    """(4, H, W, 3) of noise in the size of the rig."""
    width, height = rig.size
    return rng.integers(0, 256, (4, height, width, 3), dtype=np.uint8)
