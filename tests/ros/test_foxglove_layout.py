"""config/foxglove_layout.json: every topic and service in it is one of ours, and has the fields that are read of it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from diagnostic_msgs.srv import AddDiagnostics
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger
from visualization_msgs.msg import MarkerArray

from genima_core.arm import PANDA
from genima_core.sim.scene import default_rig
from genima_ros.graph.modes import MODES
from genima_ros.messages import interfaces

pytestmark = pytest.mark.ros

LAYOUT = json.loads((Path(__file__).parents[2] / "config" / "foxglove_layout.json").read_text())
CAMERAS = default_rig(64, 64).names
OURS = {f"/{topic.name}": topic.type for topic in vars(interfaces).values() if isinstance(topic, interfaces.Topic)}
OURS |= {f"/{interfaces.camera_image(name).name}": Image for name in CAMERAS}
RECORDED = {f"{topic}/compressed": CompressedImage for topic, kind in OURS.items() if kind is Image}
"""As the recorder stores images."""
DRIVERS = {"/robot_description": String}
"""Of a real arm."""
NODES = {node.name for mode in MODES.values() for node in mode.nodes}


def panels(kind: str) -> Iterator[dict[str, Any]]:
    return (config for name, config in LAYOUT["configById"].items() if name.partition("!")[0] == kind)


def check_path(path: str) -> None:
    """A message path, such as /joint_states.position[0], leads to a field of one of our topics."""
    topic, *rest = re.findall(r"/[\w/]+|\.\w+|\[[^\]]*\]|\{[^}]*\}", path)
    assert "".join((topic, *rest)) == path
    assert topic in OURS, f"{topic} is not ours"
    fields = OURS[topic].get_fields_and_field_types()
    for part in rest:
        if part.startswith("."):
            assert part[1:] in fields, f"{path}: valid are {', '.join(fields)}"
            fields = KeyValue.get_fields_and_field_types() if "KeyValue" in fields[part[1:]] else fields
        elif part.startswith("{"):
            assert re.fullmatch(r'\{(\w+)=="\w+"\}', part)[1] in fields


def leaves(node: str | dict[str, Any]) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    else:
        yield from (*leaves(node["first"]), *leaves(node["second"]))


def test_every_panel_is_shown_once():
    tabs = [tab["layout"] for config in panels("Tab") for tab in config["tabs"]]
    shown = [name for node in (LAYOUT["layout"], *tabs) for name in leaves(node)]
    assert sorted(shown) == sorted(LAYOUT["configById"])


def test_pictures_are_those_of_the_cameras_and_the_drawing_live_and_recorded():
    asked = {config["imageMode"]["imageTopic"] for config in panels("Image")}
    wanted = {f"/{interfaces.camera_image(name).name}" for name in CAMERAS} | {f"/{interfaces.TARGETS.name}"}
    assert asked == wanted | {f"{topic}/compressed" for topic in wanted}
    assert all({**OURS, **RECORDED}[topic] in (Image, CompressedImage) for topic in asked)


def test_the_scene_shows_what_rviz_shows():
    [scene] = panels("3D")
    assert {topic: ({**OURS, **DRIVERS})[topic] for topic in scene["topics"]} == {
        f"/{interfaces.ROBOT_MARKERS.name}": MarkerArray,
        f"/{interfaces.TARGET_MARKERS.name}": MarkerArray,
        f"/{interfaces.CAMERA_MARKERS.name}": MarkerArray,
        "/robot_description": String,
    }
    assert scene["followTf"] == PANDA.base_frame


def test_what_is_plotted_and_told_is_there():
    paths = [
        path["value"] for kind in ("Plot", "StateTransitions") for panel in panels(kind) for path in panel["paths"]
    ]
    paths += [panel["topicPath"] for panel in panels("RawMessages")]
    for path in paths:
        check_path(path)
    for what in (interfaces.JOINT_STATES, interfaces.JOINT_COMMANDS):
        assert {f"/{what.name}.position[{i}]" for i in range(7)} <= set(paths)
    [summary] = panels("DiagnosticSummary")
    assert OURS[summary["topicToRender"]] is DiagnosticArray
    assert OURS[f"/{interfaces.STREAMER_STATE.name}"] is DiagnosticStatus


@pytest.mark.parametrize(
    "path", ["/joint_states.positions[0]", "/joint_stats.position[0]", '/gate.values[:]{name=="a"}']
)
def test_a_path_that_leads_nowhere_is_found(path):
    with pytest.raises(AssertionError):
        check_path(path)


def test_buttons_call_our_services_with_what_they_take():
    called = {}
    for panel in panels("CallService"):
        _, node, name = panel["serviceName"].split("/")
        kind, request = interfaces.SERVICES[name].type, json.loads(panel["requestPayload"])
        assert node in NODES
        assert set(request) <= set(kind.Request.get_fields_and_field_types())
        called[name] = kind
    assert called == {
        **dict.fromkeys(("emergency_stop", "reset_fault", "resume"), Trigger),
        "enable": SetBool,
        **dict.fromkeys(("approve", "reject"), AddDiagnostics),
    }
    enabling = {json.loads(p["requestPayload"])["data"] for p in panels("CallService") if "enable" in p["serviceName"]}
    assert enabling == {True, False}
    assert all(
        interfaces.BY in json.loads(p["requestPayload"]) for p in panels("CallService") if "approve" in p["serviceName"]
    )
