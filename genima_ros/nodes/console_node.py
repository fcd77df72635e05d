"""The graph in a browser: watching it, telling it what to do, stopping it, recording it."""

import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from std_msgs.msg import String

from genima_core.checkpoint import Checkpoint
from genima_core.config import check_within
from genima_core.targets.locate import Drawn
from genima_core.targets.look import OURS, TARGET_NAMES
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.checks import find_instruction_fault
from genima_ros.nodes.base import ArmParameters, GraphNode
from genima_ros.nodes.console.address import LOOPBACK, address_of
from genima_ros.nodes.console.calls import Calls
from genima_ros.nodes.console.desk import NODES, SERVICES, Desk
from genima_ros.nodes.console.lead import LeadTab
from genima_ros.nodes.console.pictures import compose
from genima_ros.nodes.console.scene import Scene
from genima_ros.nodes.console.server import serve
from genima_ros.nodes.console.tabs import RecordTab, TellTab
from genima_ros.nodes.console.watch import Watch

GRIPPER = TARGET_NAMES.index("gripper")
IDLE_EVERY = 5
"""Steps from one look for a viewer to the next while there is none."""
SCENE_EVERY = 2
"""Steps from one picture of the scene to the next: drawing it costs a browser without a GPU more than pictures do."""
LOCATING_SHARE = 0.05
"""Of a core, at most: with large pictures not every drawing is located in space."""
RATE_OVER = 20


@dataclass(frozen=True)
class ConsoleParameters(ArmParameters):
    host: str = "127.0.0.1"
    """Address of this machine that it listens on; beyond 127.0.0.1 whoever has the token sees the cameras and moves the
    arm."""
    port: int = 0
    """0: the first that is free, from 8080 on."""
    wish: bool = False
    """Whether another port will do where `port` is taken."""
    token: str = ""
    """What the address has to end with beyond 127.0.0.1; by default one is made at each start."""
    arm_namespace: str = ""
    """Of the arm's driver, which is asked to recover."""
    rate_hz: float = 12.0
    """Of the pictures, at most."""
    checkpoint: str = ""
    """Folder of the trained models, whose instructions can be chosen and whose targets are drawn; "" for none."""

    def __post_init__(self) -> None:
        check_within(self, 0, 65535, "port")
        check_within(self, 1, 30, "rate_hz")


class ConsoleNode(GraphNode[ConsoleParameters]):
    """A page that shows the graph and lets an operator act on it, by what every other node and person uses.

    Everything that is large or frequent is received only while somebody looks. Each picture is encoded once, however
    many look; a slow viewer gets the newest one, and what it missed is dropped.

    Publishes: instruction, leader/joint_command (while somebody leads the arm by the handle), diagnostics.
    Subscribes: streamer_state, teleop_state, arm_status, gate, instruction, scene, success, recording, proposal,
    camera_rig, diagnostics; while somebody looks also <camera>/color/image_raw, targets/image, action_chunk,
    joint_states, joint_commands, leader/joint_states.
    Calls: streamer/enable, streamer/emergency_stop, streamer/reset_fault, controller/approve, controller/reject,
    controller/resume, sim/reset, recorder/start, recorder/stop, recorder/discard, recorder/rerecord, recorder/label,
    teleop/engage, teleop/pause, teleop/disengage, what `genima recover` calls; sets parameters of streamer, sim and
    diffusion.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("console", ConsoleParameters, **options)
        p, self.setup = self.parameters, self.parameters.setup
        checkpoint = Checkpoint.open(Path(p.checkpoint)) if p.checkpoint else None
        look = OURS if checkpoint is None else checkpoint.look
        self.server, self.address = serve(p.host, p.port, p.token, p.wish)
        self.watch = Watch(self, self.setup.arm, look, None if checkpoint is None else checkpoint.rig)
        self.calls = Calls(self, SERVICES, NODES)
        self.announce(interfaces.LEADER_COMMAND)
        self._recovery = threading.Thread()
        self._instructing: Any = None
        self._told = ""
        known = () if checkpoint is None else checkpoint.info.instructions
        tabs = (
            ("Tell", lambda gui: TellTab(gui, self.calls, known, self.instruct)),
            ("Record", lambda gui: RecordTab(gui, self.calls)),
            ("Lead", self._make_lead),
        )
        self.scene = Scene(self.server, self.setup.arm, look)
        self.desk = Desk(self.server, self.calls, self.setup.arm, self.recover, tabs)
        self._located: tuple[object, Drawn | None] = (None, None)
        self._locate_s = 0.0
        self._pictured_s: deque[float] = deque(maxlen=RATE_OVER)
        self._shown: object = None
        self._steps = 0
        if p.port and address_of(p.host, p.port) not in self.address:
            self.get_logger().warning(f"port {p.port} was taken meanwhile: console at {self.address}")
        else:
            self.get_logger().info(f"console at {self.address}")
        if p.host not in LOOPBACK:
            exposed = "whoever has this address sees the cameras and moves the arm; it is not encrypted"
            self.get_logger().warning(f"{exposed}: use it in a network that you trust, or an SSH tunnel")
        self.every(1 / p.rate_hz, self._step)

    def close(self) -> None:
        self.lead.close()
        self.watch.close()
        self.server.stop()

    def _make_lead(self, _: object) -> LeadTab:
        self.lead = LeadTab(self.server, self.calls, self.setup.arm, self.send_leader)
        return self.lead

    # ---- what the page asks for, from its threads

    def instruct(self, text: str) -> None:
        if fault := find_instruction_fault(text):
            self.calls.tell("instruction", False, fault)
            return
        if self._instructing is None:
            self._instructing = interfaces.publish(self, interfaces.INSTRUCTION)
        self._told = text.strip()
        self._instructing.publish(String(data=self._told))
        self.calls.tell("instruction", True, self._told)

    def recover(self) -> None:
        if self._recovery.is_alive():
            self.calls.tell("recover", False, "its steps are under way already")
            return
        self._recovery = threading.Thread(target=self._recover, daemon=True)
        self._recovery.start()

    def _recover(self) -> None:
        """The steps of `genima recover`, each told."""
        from genima_ros.clients.recovery_client import RecoveryLink  # loads actions, which are seldom needed

        try:
            with RecoveryLink(self.context.get_domain_id()) as link:
                for outcome in link.recover(self.setup, self.parameters.arm_namespace):
                    todo = f"; {outcome.todo}" if outcome.todo else ""
                    self.calls.tell(outcome.step, outcome.ok, f"{outcome.message}{todo}")
        except RuntimeError as error:  # the driver's messages are not installed
            self.calls.tell("recover", False, str(error))

    def send_leader(self, q: np.ndarray, opening: float) -> None:
        """Where the leader should be."""
        arm = self.setup.arm
        positions, names = np.append(q, arm.gripper.joint_positions(opening)), (*arm.joint_names, *arm.gripper.joints)
        self.say(interfaces.LEADER_COMMAND, conversions.to_joint_state(names, positions, self.ros_now_s()))

    # ---- what it shows

    def _step(self) -> None:
        self.calls.step()
        self._forget_instruction()
        self._steps += 1
        looked_at = bool(self.server.get_clients())
        self.watch.look(looked_at)
        self.watch.fetch()
        self.lead.step(self.watch)
        if not looked_at and self._steps % IDLE_EVERY:
            return
        began_s = self.clock_s()
        drawn = self._drawn() if looked_at else None
        with self.using("what is shown", "show"):
            if looked_at:
                self._show_picture()
                if self._steps % SCENE_EVERY == 0:
                    self.scene.show(self.watch, drawn)
            self.desk.plots.add(self.watch, self._apart_m(drawn))
            self.desk.show(self.watch, self._rate_hz())
        self.diagnostics.worked(self.clock_s() - began_s)

    def _forget_instruction(self) -> None:
        """An instruction of somebody else replaces ours also for nodes that start later."""
        if self._instructing is not None and self.watch.instructed and self.watch.instruction not in ("", self._told):
            self.destroy_publisher(self._instructing)
            self._instructing = None

    def _show_picture(self) -> None:
        watch, panel = self.watch, self.desk.pictures
        if watch.rig is None or not watch.images:
            return
        newest = (*watch.images.values(), watch.drawing, panel.share, panel.beside)
        key = tuple(map(id, newest))
        if key == self._shown:
            return
        self._shown = key
        panel.show(compose(watch.images, watch.rig.names, watch.drawing, panel.share, panel.beside))
        self._pictured_s.append(time.monotonic())

    def _drawn(self) -> Drawn | None:
        now_s = self.clock_s()
        if self._located[0] is not self.watch.drawing and now_s >= self._locate_s:
            self._located = self.watch.drawing, self.watch.drawn()
            self._locate_s = now_s + (self.clock_s() - now_s) / LOCATING_SHARE
        return self._located[1]

    def _apart_m(self, drawn: Drawn | None) -> float:
        """From where the gripper is drawn to where the plan that follows from it ends."""
        chunk = self.watch.chunk
        if drawn is None or chunk is None or self.watch.now_s - chunk.stamp_s > 2.0:
            return float("nan")
        planned = self.setup.arm.target_poses(chunk.positions[-1:])[0, GRIPPER, :3, 3]
        return float(np.linalg.norm(drawn.points[GRIPPER] - planned))

    def _rate_hz(self) -> float:
        times_s = self._pictured_s
        if len(times_s) < 2 or time.monotonic() - times_s[-1] > 1.0:
            return 0.0
        return (len(times_s) - 1) / (times_s[-1] - times_s[0])

    def values(self) -> dict[str, object]:
        viewers = len(self.server.get_clients())
        return {"address": self.address, "viewers": viewers, "picture_rate_hz": self._rate_hz()}
