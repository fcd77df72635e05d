"""Which pip extra or apt package brings what is missing, read from the distribution's own metadata."""

import os
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata, version
from types import ModuleType

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

DISTRIBUTION = "genima_ros"

_DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "franka": "franka-rs",
    "OpenGL": "pyrender",
    "PIL": "pillow",
    "rclpy": "ros-jazzy-rclpy",
    "rerun": "rerun-sdk",
    "yaml": "pyyaml",
}
"""Modules that are not called like the distribution that brings them."""

_APT = {
    *("control_msgs", "controller_manager_msgs", "easy_handeye2", "franka_msgs"),
    *("launch", "launch_ros", "rviz2", "tf2_msgs"),
}
"""ROS packages that no wheel brings."""

_APART = ("rlbench",)
"""Extras that `make env` leaves out."""

_FROM_SOURCE = {"easy_handeye2": "easy_handeye2", "franka_msgs": "franka_ros2 (FR3) or multipanda_ros2 (Panda)"}
"""Of these, those that the Debian packages of Jazzy lack, and what brings them."""


@dataclass(frozen=True)
class Package:
    """One requirement of the distribution, and what is installed of it."""

    name: str
    required: str
    """Version specifier, "" for any."""
    installed: str | None
    """Version, None where it is missing."""

    @property
    def ok(self) -> bool:
        wanted = Requirement(self.name + self.required).specifier
        return self.installed is not None and wanted.contains(self.installed, prereleases=True)


def extras() -> dict[str, list[Package]]:
    """Each extra's packages, the core's under ""; RuntimeError where the distribution itself is not installed."""
    try:
        info = metadata(DISTRIBUTION)
    except PackageNotFoundError as error:
        raise RuntimeError(f"{DISTRIBUTION} is not installed; in its source tree: pip install -e .") from error
    groups: dict[str, list[Package]] = {extra: [] for extra in ("", *(info.get_all("Provides-Extra") or ()))}
    for requirement in map(Requirement, info.get_all("Requires-Dist") or ()):
        # The core's has no marker, or one that holds without any extra.
        for extra, packages in groups.items():
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                packages.append(Package(requirement.name, str(requirement.specifier), _installed(requirement.name)))
                break
    return groups


def remedy(module: str) -> str:
    """How to get a module that could not be imported."""
    top = module.partition(".")[0]
    if top in _FROM_SOURCE:
        source = f"build {_FROM_SOURCE[top]} in a colcon workspace and source that"
        return f"{source}, or, where your distribution has it, apt-get install {apt_package(top)}"
    if top in _APT:
        return f"apt-get install {apt_package(top)}, and source that ROS 2"
    of_ros = top.endswith(("_msgs", "_srvs", "_interfaces"))
    name = canonicalize_name("ros-jazzy-common-interfaces" if of_ros else _DISTRIBUTIONS.get(top, top))
    for extra, packages in extras().items():
        if any(name == canonicalize_name(p.name) for p in packages):
            source = f"'.[{extra}]'" if extra else "."
            return f"in the source tree: {'' if extra in _APART else 'make env, or '}pip install {source}"
    return "genima doctor says what is missing here"


def import_messages(module: str, what: str) -> ModuleType:
    """A module of messages such as franka_msgs.action; RuntimeError where it is missing, which says `what` needs it."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise RuntimeError(f"{what} needs {package} ({error}): {remedy(package)}") from error


def apt_package(ros_package: str) -> str:
    """Name of the Debian package of a ROS package, for the ROS 2 that is sourced, else Jazzy."""
    return f"ros-{os.environ.get('ROS_DISTRO', 'jazzy')}-{ros_package.replace('_', '-')}"


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
