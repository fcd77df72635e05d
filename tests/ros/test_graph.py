import json
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy")

from genima_core.config import from_overrides
from genima_ros.graph import graph
from genima_ros.graph.modes import MODES
from genima_ros.nodes.arm_monitor_node import ArmMonitorParameters
from genima_ros.nodes.board_node import BoardParameters
from genima_ros.nodes.camera_node import CameraParameters
from genima_ros.nodes.console_node import ConsoleParameters
from genima_ros.nodes.controller_node import ControllerParameters
from genima_ros.nodes.diffusion_node import DiffusionParameters
from genima_ros.nodes.franka_node import FrankaParameters
from genima_ros.nodes.gripper_node import GripperParameters
from genima_ros.nodes.leader_node import LeaderParameters
from genima_ros.nodes.markers_node import MarkersParameters
from genima_ros.nodes.rig_node import RigParameters
from genima_ros.nodes.sim_node import SimParameters
from genima_ros.nodes.streamer_node import StreamerParameters
from genima_ros.nodes.teleop_node import TeleopParameters

pytestmark = pytest.mark.ros

PARAMETERS = {
    "sim": SimParameters,
    "streamer": StreamerParameters,
    "diffusion": DiffusionParameters,
    "controller": ControllerParameters,
    "markers": MarkersParameters,
    "console": ConsoleParameters,
    "leader": LeaderParameters,
    "teleop": TeleopParameters,
    "arm_monitor": ArmMonitorParameters,
    "rig": RigParameters,
    "gripper": GripperParameters,
    "board": BoardParameters,
    "franka": FrankaParameters,
}
ROOT = Path(__file__).parents[2]
MOVING = [name for name, mode in MODES.items() if "streamer" in {node.name for node in mode.nodes}]
NEEDED = dict.fromkeys(("real", "teleop_real", "calibrate"), ("arm:=fr3",))
FOUND_OUT = {"rig", "leave_out", "arm", "arm_namespace", "leader_arm", "action", "rehearsed", "identical_frames"}
"""Parameters that follow from other things than arguments of the same name."""
DRIVERS = {"gripper/joint_states", "leader/gripper/joint_states", "robot_state"}
"""Topics that only some drivers have."""


def resolve(*texts: str, mode: str = "sim") -> dict[str, graph.NodeProcess]:
    return {process.name: process for process in graph.processes(mode, graph.parse_arguments(mode, texts))}


@pytest.mark.parametrize("mode", MODES)
def test_every_node_exists_and_has_its_parameters(mode):
    arguments = {argument.name for argument in MODES[mode].arguments}
    for node in MODES[mode].nodes:
        assert find_spec(f"genima_ros.nodes.{node.executable}")
        pairs = [text.partition("=") for text in node.parameters]
        assert {own for own, _, _ in pairs} <= {field.name for field in fields(PARAMETERS[node.kind or node.name])}
        assert {source or own for own, _, source in pairs} - FOUND_OUT <= arguments


@pytest.mark.parametrize("mode", MODES)
def test_parameter_files_are_valid(mode):
    sections = yaml.safe_load((ROOT / "config" / MODES[mode].parameter_file).read_text())
    kinds = {node.name: node.kind or node.name for node in MODES[mode].nodes}
    for node, section in sections.items():
        from_overrides(PARAMETERS[kinds[node]], section["ros__parameters"], node)


@pytest.mark.parametrize("mode", MOVING)
def test_the_streamer_is_the_least_nice(mode):
    niceness = {process.name: process.niceness for process in resolve(*NEEDED.get(mode, ()), mode=mode).values()}
    streamer = niceness.pop("streamer")
    niceness.pop("teleop", None)  # as light, and on the way to it
    assert all(streamer < other for other in niceness.values())


def test_arguments_of_one_name_are_the_same_in_every_graph():
    """Launch declares each once."""
    for mode in MODES.values():
        for argument in mode.arguments:
            assert all(
                argument == other
                for another in MODES.values()
                for other in another.arguments
                if other.name == argument.name
            )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), ("sim", ())),
        (("sim", "seed:=7"), ("sim", ("seed:=7",))),
        (("seed:=7",), ("sim", ("seed:=7",))),
        (("teleop", "sim", "seed:=7"), ("teleop_sim", ("seed:=7",))),
        (("teleop", "real"), ("teleop_real", ())),
        (("sim", "seed=7", "x"), ("sim", ("seed=7", "x"))),
    ],
)
def test_bare_words_name_the_graph(words, expected):
    assert graph.split_words(words) == expected


def test_an_arm_that_we_drive_ourselves_needs_an_address_and_no_other_driver():
    with pytest.raises(ValueError, match="our own driver of the fr3 needs robot_ip:=ADDRESS of its control box"):
        resolve("arm:=fr3_fci", mode="real")
    processes = resolve("arm:=fr3_fci", "robot_ip:=172.16.0.2", mode="real")
    assert processes["franka"].parameters == {"arm": "fr3_fci", "robot_ip": "172.16.0.2"}
    assert not processes["franka"].respawn
    assert not {"arm_monitor", "gripper", "sim", "leader_franka"} & set(processes)


def test_a_leader_of_ours_has_a_namespace_and_an_address_of_its_own():
    given = ("arm:=fr3_fci", "robot_ip:=172.16.0.2", "arm_namespace:=/follower")
    with pytest.raises(ValueError, match="needs leader_robot_ip:=ADDRESS"):
        resolve(*given, mode="teleop_real")
    processes = resolve(*given, "leader_robot_ip:=172.16.1.2", "leader_namespace:=/guide", mode="teleop_real")
    leader = processes["leader_franka"]
    assert leader.parameters == {"arm": "fr3_fci", "robot_ip": "172.16.1.2"}
    assert dict(leader.remappings) == {
        "__node": "leader_franka",
        "__ns": "/guide",
        "diagnostics": "/diagnostics",
    }
    assert dict(processes["teleop"].remappings)["leader/joint_states"] == "/guide/joint_states"
    assert dict(processes["franka"].remappings)["joint_states"] == "/follower/joint_states"


def test_a_rehearsal_renders_a_cell_around_the_arm():
    given = ("arm:=fr3_fci", "robot_ip:=127.0.0.1", "cameras:=sim", "task:=press_switch", "seed:=7")
    processes = resolve(*given, mode="real")
    expected = {"arm": "fr3_fci", "arm_is_elsewhere": True, "task": "press_switch", "seed": 7}
    assert {k: v for k, v in processes["sim"].parameters.items() if k != "rig"} == expected
    assert processes["diffusion"].parameters["identical_frames"] == 0, "rendered pictures have no noise"
    assert "identical_frames" not in resolve(*given[:2], mode="real")["diffusion"].parameters


def test_teleoperation_needs_no_checkpoint():
    processes = resolve("seed:=7", "size:=128", mode="teleop_sim")
    assert list(processes) == ["sim", "leader", "teleop", "streamer"]
    assert processes["sim"].parameters == {"seed": 7, "size": 128}
    assert list(resolve("arm:=fr3", mode="teleop_real")) == ["teleop", "streamer", "arm_monitor", "gripper"]
    assert [name for name, mode in MODES.items() if mode.learned] == ["sim", "real"]


def test_a_leader_beside_a_policy_is_the_teleoperations():
    alone, led = resolve(), resolve("leader:=true")
    assert led.keys() - alone.keys() == {"leader", "teleop"} and resolve("leader:=false").keys() == alone.keys()
    teleoperated = resolve(mode="teleop_sim")
    assert all(led[name].command()[:4] == teleoperated[name].command()[:4] for name in ("leader", "teleop"))


def test_a_real_policy_has_a_leader_only_where_one_is_named():
    given = ("arm:=fr3_fci", "robot_ip:=172.16.0.2", "arm_namespace:=/follower")
    assert not {"teleop", "leader_franka"} & resolve(*given, mode="real").keys()
    leader = ("leader_arm:=panda_fci", "leader_robot_ip:=172.16.1.2")
    led, teleoperated = (resolve(*given, *leader, mode=mode) for mode in ("real", "teleop_real"))
    for name in ("teleop", "leader_franka"):
        for what in ("parameters", "remappings", "executable", "niceness", "respawn"):
            assert getattr(led[name], what) == getattr(teleoperated[name], what)
    section = yaml.safe_load((ROOT / "config/real.yaml").read_text())["leader_franka"]
    assert section["ros__parameters"]["guided"] is True, "it carries its own weight"


@pytest.mark.parametrize(
    ("mode", "texts", "wanted"),
    [
        ("sim", (), True),
        ("sim", ("console:=false",), False),
        ("real", ("arm:=fr3",), False),
        ("real", ("arm:=fr3", "console:=true", "console_host:=0.0.0.0"), True),
    ],
)
def test_simulated_graphs_have_the_page_and_real_ones_on_demand(mode, texts, wanted, monkeypatch):
    assert "console" not in resolve(*set(texts) - {"console:=true"}, mode=mode), "as these tests want it"
    monkeypatch.delenv("GENIMA_CONSOLE")
    processes = resolve(*texts, mode=mode)
    assert ("console" in processes) == wanted
    monkeypatch.setattr(graph, "find_spec", lambda name: None)  # as where the extra is not installed
    if "console:=true" in texts:
        assert processes["console"].parameters["host"] == "0.0.0.0"
        with pytest.raises(RuntimeError, match=r"console:=true needs viser: .*pip install '.\[console\]'"):
            resolve(*texts, mode=mode)
    else:
        assert "console" not in resolve(*texts, mode=mode)


@pytest.mark.parametrize("mode", ["real", "teleop_real"])
def test_a_handle_in_place_of_a_second_arm(mode, monkeypatch):
    given = ("arm:=fr3_fci", "robot_ip:=172.16.0.2")
    processes = resolve(*given, "leader:=true", mode=mode)
    assert processes.keys() >= {"leader", "teleop", "streamer", "console"} and "leader_franka" not in processes
    assert processes["leader"].parameters == {"arm": "fr3_fci"}
    assert not [old for old, _ in processes["leader"].remappings if old.startswith("leader/")]
    section = yaml.safe_load((ROOT / "config" / MODES[mode].parameter_file).read_text())["leader"]["ros__parameters"]
    assert from_overrides(LeaderParameters, section, "leader").task == ""
    with pytest.raises(ValueError, match="leader:=true is no arm; leave it out, or leader_arm:=fr3"):
        resolve(*given, "leader:=true", "leader_arm:=fr3", mode=mode)
    monkeypatch.setattr(graph, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="console:=true needs viser"):
        resolve(*given, "leader:=true", mode=mode)


def test_a_real_cell_needs_an_arm():
    with pytest.raises(ValueError, match="teleop real needs arm:="):
        resolve(mode="teleop_real")
    with pytest.raises(FileNotFoundError, match="no arm 'ur5'; valid are fr3, fr3_fci, panda, panda_fci, sim"):
        resolve("arm:=ur5", mode="teleop_real")


def test_every_node_works_with_the_same_arm():
    processes = resolve("arm:=fr3", "arm_namespace:=/cell", "checkpoint:=/models/a", mode="real")
    for node in ("streamer", "controller", "markers", "rig", "gripper", "arm_monitor"):
        assert processes[node].parameters["arm"] == "fr3"
    for process in processes.values():
        renamed = dict(process.remappings)
        assert renamed["joint_states"] == "/cell/franka/joint_states"
        assert renamed["arm_controller/joint_trajectory"] == "/cell/fr3_arm_controller/joint_trajectory"
    assert processes["gripper"].parameters["action"] == "/cell/franka_gripper"


def test_a_fixed_tool_stands_in_for_a_gripper(tmp_path):
    arm = yaml.safe_load((ROOT / "config" / "arms" / "fr3.yaml").read_text()) | {"gripper": {"kind": "none"}}
    (tmp_path / "bare.yaml").write_text(yaml.safe_dump(arm))
    for mode in ("real", "teleop_real"):
        gripper = resolve(f"arm:={tmp_path / 'bare.yaml'}", mode=mode)["gripper"]
        assert gripper.parameters == {"arm": str(tmp_path / "bare.yaml")}
        assert resolve("arm:=fr3", mode=mode)["gripper"].executable == "gripper_node"
        assert "gripper" not in resolve("arm:=sim", mode=mode)


def test_the_state_of_an_arm_is_watched_where_its_driver_tells_it():
    monitor = resolve("arm:=panda", "arm_namespace:=/cell", mode="teleop_real")["arm_monitor"]
    assert monitor.parameters == {"arm": "panda"}
    assert dict(monitor.remappings)["robot_state"] == "/cell/franka_robot_state_broadcaster/robot_state"
    assert "arm_monitor" not in resolve("arm:=sim", mode="teleop_real")  # it publishes arm_status itself
    for mode in MOVING:
        section = yaml.safe_load((ROOT / "config" / MODES[mode].parameter_file).read_text())["streamer"]
        assert section["ros__parameters"]["watch_arm_status"] is True


def test_a_leader_is_like_the_follower_unless_it_is_said():
    processes = resolve("arm:=fr3", "arm_namespace:=follower", mode="teleop_real")
    teleop = processes["teleop"]
    assert teleop.parameters == {"arm": "fr3", "leader_arm": "fr3"}
    assert dict(teleop.remappings)["joint_states"] == "/follower/franka/joint_states"
    assert dict(teleop.remappings)["leader/joint_states"] == "/leader/franka/joint_states"
    teleop = resolve("arm:=fr3", "leader_arm:=panda", mode="teleop_real")["teleop"]
    assert teleop.parameters == {"arm": "fr3", "leader_arm": "panda"}
    assert dict(teleop.remappings)["leader/gripper/joint_states"] == "/leader/panda_gripper/joint_states"


def test_each_section_of_the_cameras_file_is_a_camera_node():
    path = ROOT / "config" / "cameras.yaml"
    processes = resolve(f"cameras:={path}", "arm:=fr3", mode="teleop_real")
    names = ["camera_wrist", "camera_front", "camera_right_shoulder", "camera_left_shoulder"]
    assert list(processes) == ["teleop", "streamer", "arm_monitor", "gripper", *names]
    for name in names:
        assert processes[name].parameter_files == (path,)
        assert f"__node:={name}" in processes[name].command()
        assert processes[name].respawn
        assert processes[name].niceness > processes["streamer"].niceness
    assert path not in processes["streamer"].parameter_files
    sections = yaml.safe_load(path.read_text())
    shared = sections.pop("/**")["ros__parameters"]
    serials = {
        from_overrides(CameraParameters, shared | section["ros__parameters"], name).serial
        for name, section in sections.items()
    }
    assert len(serials) == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("front: {ros__parameters: {}}", "section 'front'; valid are /.., camera_front"),
        ("/**: {ros__parameters: {}}", "has no camera"),
        ("", "has no camera"),
        ("camera_front: {serial: '1'}", "ros__parameters"),
    ],
)
def test_wrong_camera_files_are_explained(tmp_path, text, words):
    path = tmp_path / "cameras.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        resolve(f"cameras:={path}", "arm:=fr3", mode="teleop_real")


def test_renamed_topics_exist():
    from genima_ros.messages import interfaces

    names = {topic.name for topic in vars(interfaces).values() if isinstance(topic, interfaces.Topic)}
    for mode in ("real", "teleop_real"):
        assert {ours for ours, _ in resolve("arm:=fr3", mode=mode)["streamer"].remappings} <= names | DRIVERS


def test_the_next_step_is_said():
    def next_step(mode: str) -> str:
        return graph.describe_graph(mode, graph.parse_arguments(mode, NEEDED.get(mode, ()))).next_step

    assert next_step("sim") == ""
    assert next_step("teleop_sim").endswith("genima record push_button")
    assert "genima enable" in next_step("teleop_real")


def test_arguments_reach_the_nodes_that_take_them():
    processes = resolve("execution:=async", "seed:=7", "checkpoint:=/models/a", "denoising_steps:=2")
    assert processes["sim"].parameters == {"seed": 7, "rig": "/models/a/rig.json"}
    assert processes["streamer"].parameters == {"execution": "async"}
    assert processes["controller"].parameters == {"checkpoint": "/models/a"}
    assert processes["diffusion"].parameters == {"checkpoint": "/models/a", "denoising_steps": 2}


def test_what_is_not_given_is_left_to_the_nodes():
    assert resolve()["streamer"].parameters == {}


def test_command_lines_keep_types():
    command = resolve("instruction:=7", "checkpoint:=/a b")["diffusion"].command()
    assert "instruction:=" + json.dumps("7") in command
    assert 'checkpoint:="/a b"' in command
    assert command[3] == "diffusion_node"
    assert command[1:3] == ["-m", "genima_ros.nodes"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sed:=7", "no argument sed for sim; valid are task, seed"),
        ("seed=7", "write name:=value"),
        ("seed:=seven", "needs int"),
        ("execution:=fast", "choose from sync, async"),
        ("rviz:=maybe", "neither true nor false"),
    ],
)
def test_wrong_arguments_are_explained(text, words):
    with pytest.raises(ValueError, match=words):
        resolve(text)


def test_unknown_graph_lists_the_valid_ones():
    with pytest.raises(ValueError, match="valid are sim, teleop sim, real, teleop real"):
        graph.parse_arguments("moon", [])


def test_empty_means_not_given():
    assert graph.argument_values("sim", {"seed": "", "checkpoint": ""})["checkpoint"] == "checkpoints/demo"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("streamr:\n  ros__parameters: {}\n", "section 'streamr'; valid are /.., sim, leader, teleop, streamer"),
        ("streamer:\n  enabled: true\n", "ros__parameters"),
        ("just text", "must hold names with values"),
        ("a: [", "is not YAML"),
    ],
)
def test_wrong_parameter_files_are_explained(tmp_path, text, words):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        resolve(f"config:={path}")


def test_missing_parameter_file_is_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        resolve(f"config:={tmp_path / 'none.yaml'}")


def test_rviz_has_the_frames_and_the_robot_model_of_the_arm():
    command = graph.rviz_command(
        "real", graph.parse_arguments("real", ("arm:=fr3", "arm_namespace:=/cell", "rviz:=true"))
    )
    assert command[-5:] == ["-f", "fr3_link0", "--ros-args", "-r", "/robot_description:=/cell/robot_description"]
    assert "--ros-args" not in graph.rviz_command("sim", graph.parse_arguments("sim", ("rviz:=true",)))


@pytest.mark.parametrize("texts", [("teleop_sim",), ("teleop_real", "arm:=fr3")])
def test_teleoperation_has_markers_where_somebody_looks_at_them(texts):
    mode, *texts = texts
    assert "markers" in resolve("rviz:=true", *texts, mode=mode) and "markers" not in resolve(*texts, mode=mode)


CAMERAS = ("wrist", "front", "right_shoulder", "left_shoulder")


def displays(layout: str) -> list[dict]:
    """Those that listen to a topic."""
    shown = yaml.safe_load((ROOT / "config" / layout).read_text())["Visualization Manager"]["Displays"]
    return [display for display in shown if "Topic" in display]


def published(layout: str) -> dict:
    from genima_ros.messages import interfaces

    pictures = {
        "genima.rviz": (interfaces.TARGETS, *map(interfaces.target_image, CAMERAS)),
        "teleop.rviz": map(interfaces.camera_image, CAMERAS),
    }[layout]
    markers = interfaces.TARGET_MARKERS, interfaces.CAMERA_MARKERS, interfaces.ROBOT_MARKERS
    return {f"/{topic.name}": topic for topic in (*markers, *pictures)}


def test_teleoperation_has_a_layout_of_its_own():
    assert {name: mode.rviz for name, mode in MODES.items()} == {
        "sim": "genima.rviz",
        "teleop_sim": "teleop.rviz",
        "real": "genima.rviz",
        "teleop_real": "teleop.rviz",
        "calibrate": "teleop.rviz",
    }
    command = graph.rviz_command("teleop_sim", graph.parse_arguments("teleop_sim", ("rviz:=true",)))
    assert Path(command[2]).name == "teleop.rviz"


@pytest.mark.parametrize("layout", ["genima.rviz", "teleop.rviz"])
def test_rviz_shows_what_is_published_and_can_hear_it(layout):
    """A subscriber that asks for more than the publisher offers gets nothing, and RViz does not say so."""
    from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

    topics = published(layout)
    assert {display["Topic"]["Value"] for display in displays(layout)} == set(topics)
    kinds = {"MarkerArray": "rviz_default_plugins/MarkerArray", "Image": "rviz_default_plugins/Image"}
    for display in displays(layout):
        topic, asked = topics[display["Topic"]["Value"]], display["Topic"]
        assert display["Class"] == kinds[topic.type.__name__]
        assert asked["Reliability Policy"] == "Best Effort" or topic.qos.reliability == ReliabilityPolicy.RELIABLE
        assert asked["Durability Policy"] == "Volatile" or topic.qos.durability == DurabilityPolicy.TRANSIENT_LOCAL


@pytest.mark.parametrize("layout", ["genima.rviz", "teleop.rviz"])
def test_rviz_has_docks_and_a_robot_that_hides_no_target(layout):
    saved = yaml.safe_load((ROOT / "config" / layout).read_text())
    pictures = {display["Name"] for display in displays(layout) if display["Class"].endswith("/Image")}
    assert "QMainWindow State" in saved["Window Geometry"] and pictures <= set(saved["Window Geometry"])
    (robot,) = (d for d in saved["Visualization Manager"]["Displays"] if d["Class"].endswith("/RobotModel"))
    assert robot["Alpha"] == 0.5
