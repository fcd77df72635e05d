"""Shared fixtures: a small rig, markers that need hardware, and a ROS domain of its own for every test process."""

import importlib.util
import os
from collections.abc import Iterator

# Set before anything imports numpy or torch: tests run side by side, and child processes inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["GENIMA_CONSOLE"] = "false"  # graphs have the page only where a test asks for it: it costs time

import numpy as np
import pytest
from hypothesis import settings

from genima_core import geometry
from genima_core.cameras import CameraRig, PinholeCamera, RigCamera
from genima_ros.graph.domain import choose_transport, own_domain

_domain = own_domain()  # for as long as this process lives
os.environ["ROS_DOMAIN_ID"] = str(_domain.__enter__())
choose_transport(os.environ)  # before a test makes a node in this process

# The time of one example says more about the machine than about the code.
settings.register_profile("genima", deadline=None)
settings.load_profile("genima")


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what this machine cannot run, and gives slow ROS tests to one worker: node graphs need the processors."""
    reasons = {}
    if importlib.util.find_spec("rclpy") is None:
        reasons["ros"] = "rclpy cannot be imported"
    if any(item.get_closest_marker("gpu") for item in items) and not _has_cuda():
        reasons["gpu"] = "no CUDA device"
    for item in items:
        if item.get_closest_marker("ros"):
            item.add_marker(pytest.mark.xdist_group("graphs" if item.get_closest_marker("slow") else item.path.stem))
        for marker, reason in reasons.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _ros_log_directory(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps ROS from writing logs into the home directory."""
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path_factory.getbasetemp() / "ros_log"))


@pytest.fixture
def fresh_accelerate() -> Iterator[None]:
    """Accelerate's state is global: usually one process trains at one precision."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def rig() -> CameraRig:
    """One camera on the hand and three around the arm, 64×64."""
    intrinsics = PinholeCamera.from_fov(64, 64, np.deg2rad(60.0))
    T_hand_cam = geometry.make_transform(np.eye(3), np.array([0.0, 0.05, 0.0]))
    middle = np.array([0.4, 0.0, 0.3])
    return CameraRig(
        (
            RigCamera("wrist", intrinsics, "hand", T_hand_cam, 0.03),
            RigCamera("front", intrinsics, "base", geometry.look_at(np.array([1.6, 0.0, 0.8]), middle), 0.08),
            RigCamera(
                "right_shoulder", intrinsics, "base", geometry.look_at(np.array([-0.2, -0.9, 1.0]), middle), 0.065
            ),
            RigCamera("left_shoulder", intrinsics, "base", geometry.look_at(np.array([-0.2, 0.9, 1.0]), middle), 0.065),
        )
    )


def _has_cuda() -> bool:
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()
