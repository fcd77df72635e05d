"""Is a cell as the graph needs it that runs there? What was seen of it for a few seconds, judged."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from genima_core.arm import Arm
from genima_core.cameras import CameraRig, PinholeCamera
from genima_core.checkpoint import Checkpoint
from genima_core.streaming.states import State, Status
from genima_core.targets.gate import GateState
from genima_core.timing import stamp_problem

LATE_S = 0.5
"""A picture or joint state that is older than this when it arrives does not show the cell as it is now."""
FUTURE_S = 0.02
LEAST_CAMERA_HZ, LEAST_JOINT_HZ = 5.0, 50.0
SLACK_S = 0.06
"""Between the pictures of a drawing, where the diffusion node does not say its own."""
JOINT_SKEW_S = 0.025
"""Between a picture and the nearest joint state."""
STILL_RAD = 0.01


@dataclass
class Stream:
    stamps_s: list[float] = field(default_factory=list)
    ages_s: list[float] = field(default_factory=list)
    publishers: int = 1

    def hear(self, stamp_s: float, now_s: float) -> None:
        self.stamps_s.append(stamp_s)
        self.ages_s.append(now_s - stamp_s)

    @property
    def rate_hz(self) -> float:
        span_s = self.stamps_s[-1] - self.stamps_s[0] if len(self.stamps_s) > 1 else 0.0
        return (len(self.stamps_s) - 1) / span_s if span_s > 0 else 0.0

    def __str__(self) -> str:
        ages = f", {1e3 * np.median(self.ages_s):.0f} ms old" if self.ages_s else ""
        return f"{self.rate_hz:.0f} Hz{ages}"


@dataclass
class CameraSeen:
    pictures: Stream = field(default_factory=Stream)
    size: tuple[int, int] | None = None
    """Width and height of the newest; None if none could be read."""
    repeated: int = 0
    """Pictures with the pixels of the one before."""
    camera: PinholeCamera | None = None
    problems: dict[str, str] = field(default_factory=dict)
    """Why the newest picture or camera_info cannot be used."""


@dataclass
class ArmSeen:
    states: Stream = field(default_factory=Stream)
    names: tuple[str, ...] = ()
    q: list[np.ndarray] = field(default_factory=list)
    """(n, 7) rad."""
    status: tuple[int, str] | None = None


@dataclass
class CellSeen:
    cameras: dict[str, CameraSeen]
    arm: ArmSeen = field(default_factory=ArmSeen)
    rig: CameraRig | None = None
    streamer: Status | None = None
    gate: Status | None = None
    instruction: str = ""
    drawings: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    """Of each node that was heard, by name; "" for none."""
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    commanders: Sequence[str] = ()
    """Full names of the nodes that command the arm; one for each publisher."""


@dataclass(frozen=True)
class Wanted:
    """What the graph needs that runs."""

    checkpoint: Checkpoint | None
    """None for a graph that runs none: teleoperation."""
    cameras: tuple[str, ...]
    nodes: tuple[str, ...]
    arm: Arm
    arm_name: str
    """As the nodes are told it: a name in config/arms, or a file."""
    simulated: bool
    """Simulated pictures repeat, and nobody says where the cameras are but the simulation."""

    @property
    def trained_rig(self) -> CameraRig | None:
        return None if self.checkpoint is None else self.checkpoint.rig


Judgement = tuple[Literal["ok", "warning", "failed"], str, str]
"""Status, what was found, and the remedy or ""."""


@dataclass(frozen=True)
class Finding:
    name: str
    status: Literal["ok", "warning", "failed"]
    found: str
    remedy: str = ""


def judge(seen: CellSeen, wanted: Wanted) -> Iterator[Finding]:
    """What there is to say, in the order in which to mend it."""
    for name in wanted.cameras:
        yield Finding(f"camera {name}", *_camera(name, seen, wanted))
    if len(wanted.cameras) > 1:
        yield Finding("skew of cameras", *_skew(seen, wanted))
    yield Finding("rig", *_rig(seen.rig, wanted.trained_rig))
    yield Finding("joint states", *_joints(seen.arm, wanted.arm))
    if wanted.cameras:
        yield Finding("pictures to joint states", *_joint_skew(seen))
    yield Finding("arm", *_arm(seen.arm.status))
    yield Finding("streamer", *_streamer(seen))
    yield Finding("nodes", *_nodes(seen.problems, wanted.nodes))
    yield Finding("configuration", *_configuration(seen.settings, wanted))
    if wanted.checkpoint is not None:
        yield Finding("policy", *_policy(seen, wanted.checkpoint))


def _camera(name: str, seen: CellSeen, wanted: Wanted) -> Judgement:
    camera, trained = seen.cameras.get(name, CameraSeen()), wanted.trained_rig
    found = str(camera.pictures) + ("" if camera.size is None else f", {camera.size[0]}x{camera.size[1]}")
    if problem := _silent(camera.pictures, "start its driver or camera node, and compare the names of topics"):
        return problem
    if camera.size is None or camera.problems:
        return "failed", "; ".join(camera.problems.values()), "correct its driver's settings"
    if trained is not None and camera.size != trained.size:
        remedy = f"the checkpoint draws on {trained.size[0]}x{trained.size[1]}: set crop and size as in recording"
        return "failed", found, remedy
    if camera.repeated and not wanted.simulated:
        found += f"; {camera.repeated} with the pixels of the one before"
        return "failed", found, "its stream is frozen: restart its driver"
    running = seen.rig if seen.rig is not None and name in seen.rig.names else trained
    if text := camera.camera and running and running[name].intrinsics.difference(camera.camera):
        found += f"; by its camera_info {text}"
        return "failed", found, "crop and resize as for the calibration, or calibrate again"
    if camera.pictures.rate_hz < LEAST_CAMERA_HZ:
        return "warning", found, "drawings are only as new as their pictures: raise its rate"
    return "ok", found, ""


def _skew(seen: CellSeen, wanted: Wanted) -> Judgement:
    """The quartile: an observer on busy cores loses pictures, and where one of a moment is lost, its neighbour in time
    stands for it. Clocks that differ and cameras that run freely show in every moment.
    """
    stamps = [np.array(camera.pictures.stamps_s) for camera in seen.cameras.values()]
    if len(stamps) < len(wanted.cameras) or not all(len(s) for s in stamps):
        return "failed", "not all cameras were seen", "see above"
    spreads_s = [np.ptp([s[np.argmin(np.abs(s - t))] for s in stamps]) for t in stamps[0]]
    skew_ms = 1e3 * float(np.percentile(spreads_s, 25))
    slack_ms = 1e3 * seen.settings.get("diffusion", {}).get("slack_s", SLACK_S)
    if skew_ms > slack_ms:
        mend = "synchronise the cameras, set all clocks by one time server, or raise slack_s of the diffusion node"
        return "failed", f"{skew_ms:.0f} ms", f"drawings need {slack_ms:.0f} ms: {mend}"
    return "ok", f"{skew_ms:.0f} ms", ""


def _rig(rig: CameraRig | None, trained: CameraRig | None) -> Judgement:
    if rig is None:
        found = "nobody publishes camera_rig" + ("" if trained is None else f"; assumed to be {trained.fingerprint()}")
        return "warning", found, "start with rig:=rig.json, which `genima calibrate check` can verify"
    if trained is not None and (differences := trained.differences(rig.in_order(trained.names))):
        found = f"{rig.fingerprint()}, not {trained.fingerprint()}: {'; '.join(differences)}"
        remedy = "put the cameras back where they were in training, or train on recordings of this rig"
        return "warning", found, remedy
    return "ok", rig.fingerprint(), ""


def _joints(seen: ArmSeen, arm: Arm) -> Judgement:
    if problem := _silent(seen.states, "start the arm's driver, and compare the names of topics (arm:=...)"):
        return problem
    missing = [name for name in arm.joint_names if name not in seen.names]
    if missing:
        found = f"{', '.join(missing)} missing; there are {', '.join(seen.names)}"
        return "failed", found, "choose the right arm (arm:=...), or a file with its joint names"
    if len(seen.q) == 0:
        return "failed", "positions are missing or not finite", "look at the arm's driver"
    newest = seen.q[-1]
    over = np.maximum(arm.limits.lower - newest, newest - arm.limits.upper)
    if (over > 0).any():
        i = int(np.argmax(over))
        found = f"{arm.joint_names[i]} is at {newest[i]:.3f} rad, beyond its limit by {over[i]:.3f} rad"
        return "failed", found, "guide the arm back by hand"
    found = str(seen.states)
    if (turned := float(np.ptp(seen.q, axis=0).max())) > STILL_RAD:
        return "warning", f"{found}; the arm moved by {turned:.3f} rad", "check again while it is at rest"
    if seen.states.rate_hz < LEAST_JOINT_HZ:
        remedy = f"{LEAST_JOINT_HZ:.0f} Hz are needed: take the driver's own joint states, not the merged ones"
        return "warning", found, remedy
    return "ok", found, ""


def _joint_skew(seen: CellSeen) -> Judgement:
    pictures = [t for camera in seen.cameras.values() for t in camera.pictures.stamps_s]
    states = np.array(seen.arm.states.stamps_s)
    inside = [t for t in pictures if len(states) and states[0] <= t <= states[-1]]
    if not inside:
        return "failed", "no picture was captured while joint states came", "set all clocks by one time server"
    away_s = float(np.median([np.abs(states - t).min() for t in inside]))
    found = f"{1e3 * away_s:.0f} ms (median)"
    if away_s > JOINT_SKEW_S:
        remedy = "raise the rate of the joint states, set all clocks by one time server"
        return "failed", found, f"{1e3 * JOINT_SKEW_S:.0f} ms are allowed: {remedy}"
    return "ok", found, ""


def _arm(status: tuple[int, str] | None) -> Judgement:
    if status is None:
        return "failed", "nobody publishes arm_status", "start the arm monitor: genima up real arm:=..."
    level, message = status
    if level:
        return "failed", message, "genima recover" if level > 1 else "bring it into its move mode"
    return "ok", "may be moved", ""


def _streamer(seen: CellSeen) -> Judgement:
    if len(seen.commanders) > 1:
        return "failed", f"{', '.join(seen.commanders)} all command the arm", "end all but one streamer"
    if seen.streamer is None:
        return "failed", "says nothing", "start it: genima up real arm:=..."
    scale = seen.settings.get("streamer", {}).get("velocity_scale")
    found = str(seen.streamer) + ("" if scale is None else f" (velocity_scale {scale:g})")
    if seen.streamer.state is State.FAULT:
        return "failed", found, "fix what it reports, then: genima recover"
    if seen.streamer.state is not State.HOLDING:
        return "warning", found, "the arm moves: check again while it is at rest"
    return "ok", found, ""


def _nodes(problems: dict[str, str], wanted: Sequence[str]) -> Judgement:
    if missing := [name for name in wanted if name not in problems]:
        return "failed", f"not heard: {', '.join(missing)}", "start the graph again: genima up ..."
    if said := [f"{name}: {problem}" for name, problem in problems.items() if problem]:
        return "warning", "; ".join(said), "read what each reports"
    return "ok", ", ".join(sorted(problems)), ""


def _configuration(settings: dict[str, dict[str, Any]], wanted: Wanted) -> Judgement:
    """Whether all work with the same checkpoint and arm."""
    given = {node: values["checkpoint"] for node, values in settings.items() if "checkpoint" in values}
    if len(set(given.values())) > 1:
        told = "; ".join(f"{node} has {value}" for node, value in given.items())
        return "failed", f"checkpoint differs: {told}", "start all nodes by one command"
    for node, own in settings.items():
        if own.get("arm", wanted.arm_name) != wanted.arm_name:
            found = f"{node} works with the arm {own['arm']}, not with {wanted.arm_name}"
            return "failed", found, "name the arm that runs here (--arm ...)"
    if wanted.checkpoint is None:
        return "ok", f"arm {wanted.arm_name}", ""
    info = wanted.checkpoint.info
    execution = next((values["execution"] for values in settings.values() if "execution" in values), "unknown")
    span = f"{info.chunk_size} actions in {info.chunk_size * info.dt_s:g} s"
    return "ok", f"{', '.join(info.tasks)}; {span}; execution {execution}", ""


def _policy(seen: CellSeen, checkpoint: Checkpoint) -> Judgement:
    if not seen.instruction:
        return "failed", "has no instruction", "start with instruction:='...', or publish one"
    if seen.gate is not None and seen.gate.state is GateState.CLOSED:
        return "failed", f"the target gate is {seen.gate}", "genima resume"
    if not seen.drawings:
        return "failed", "draws nothing", "see what the diffusion node says"
    if unknown_instruction := checkpoint.unknown_instruction(seen.instruction):
        return "warning", unknown_instruction, "publish an instruction that it knows"
    gate = "the target gate is open" if seen.gate is not None else "the target gate is off"
    return "ok", f"draws; {gate}; instruction {seen.instruction!r}", ""


def _silent(stream: Stream, remedy: str) -> Judgement | None:
    """What there is to say of a stream that is of no use."""
    if stream.publishers > 1:
        return "failed", f"{stream.publishers} publishers", "end all but one"
    if len(stream.stamps_s) < 2:
        return "failed", "nothing comes", remedy
    newest_s, age_s = stream.stamps_s[-1], float(np.median(stream.ages_s))
    if -FUTURE_S <= age_s <= LATE_S:
        return None
    text = stamp_problem("it", newest_s, newest_s + age_s, LATE_S if age_s > 0 else FUTURE_S)
    problem, _, todo = text.partition(": ")
    return "failed", problem, todo
