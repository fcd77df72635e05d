"""Is a cell as the graph needs it that runs there? What was seen of it for a few seconds, judged."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from genima_core.arm import Arm
from genima_core.cameras import CameraRig, PinholeCamera
from genima_core.checkpoint import Checkpoint
from genima_core.streaming.states import State, Status
from genima_core.targets.gate import GateState
from genima_core.timing import stamp_problem

LATE_S = 0.5
"""A picture or joint state that is older when it comes tells of yesterday's cell."""
FUTURE_S = 0.02
LEAST_CAMERA_HZ, LEAST_JOINT_HZ = 5.0, 50.0
SLACK_S = 0.06
"""Between the four pictures of a drawing, where the diffusion node does not say its own."""
JOINT_SKEW_S = 0.025
"""Between a picture and the nearest joint state."""
STILL_RAD = 0.01


@dataclass(frozen=True)
class Stream:
    """Messages of one topic in the order in which they came."""

    stamps_s: tuple[float, ...] = ()
    ages_s: tuple[float, ...] = ()
    """When each came, less its stamp."""
    publishers: int = 1

    @property
    def rate_hz(self) -> float:
        span_s = self.stamps_s[-1] - self.stamps_s[0] if len(self.stamps_s) > 1 else 0.0
        return (len(self.stamps_s) - 1) / span_s if span_s > 0 else 0.0


@dataclass(frozen=True)
class CameraSeen:
    pictures: Stream
    size: tuple[int, int] | None = None
    """Width and height of the newest; None if none could be read."""
    repeated: int = 0
    """Pictures with the pixels of the one before."""
    camera: PinholeCamera | None = None
    """Of its camera_info."""
    problem: str = ""
    """Why the newest picture or camera_info cannot be used."""


@dataclass(frozen=True)
class ArmSeen:
    states: Stream
    names: tuple[str, ...] = ()
    q: np.ndarray | None = None
    """(n, 7) rad."""
    status: tuple[int, str] | None = None
    """Level and message of arm_status."""


@dataclass(frozen=True)
class CellSeen:
    cameras: Mapping[str, CameraSeen]
    arm: ArmSeen
    rig: CameraRig | None = None
    streamer: Status | None = None
    gate: Status | None = None
    instruction: str = ""
    drawings: int = 0
    problems: Mapping[str, str] | None = None
    """Of each node that was heard, by name; "" for none."""
    settings: Mapping[str, Mapping[str, object]] | None = None
    """Parameters of nodes, by node and name."""
    commanders: tuple[str, ...] = ()
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


@dataclass(frozen=True)
class Finding:
    name: str
    status: Literal["ok", "warning", "failed"]
    found: str
    remedy: str = ""


def judge(seen: CellSeen, wanted: Wanted) -> Iterator[Finding]:
    """What there is to say, in the order in which to mend it."""
    for name in wanted.cameras:
        yield _camera(name, seen.cameras.get(name, CameraSeen(Stream(publishers=0))), seen.rig, wanted)
    if len(wanted.cameras) > 1:
        yield _skew(seen, wanted)
    yield _rig(seen, wanted)
    yield _joints(seen.arm, wanted)
    if wanted.cameras:
        yield _joint_skew(seen)
    yield _arm(seen.arm)
    yield _streamer(seen)
    yield _nodes(seen, wanted)
    yield _settings(seen, wanted)
    if wanted.checkpoint is not None:
        yield _policy(seen, wanted.checkpoint)


def _camera(name: str, camera: CameraSeen, rig: CameraRig | None, wanted: Wanted) -> Finding:
    check, stream, trained = f"camera {name}", camera.pictures, wanted.trained_rig
    found = _describe(stream) + ("" if camera.size is None else f", {camera.size[0]}x{camera.size[1]}")
    if (problem := _silent(stream, "start its driver or camera node, and compare the names of topics")) is not None:
        return Finding(check, "failed", *problem)
    if camera.size is None or camera.problem:
        return Finding(check, "failed", camera.problem or "no picture can be read", "correct its driver's settings")
    if trained is not None and camera.size != trained.size:
        return Finding(
            check,
            "failed",
            found,
            f"the checkpoint draws on {trained.size[0]}x{trained.size[1]}: set crop and size as in recording",
        )
    if camera.repeated and not wanted.simulated:
        return Finding(
            check,
            "failed",
            f"{found}; {camera.repeated} with the pixels of the one before",
            "its stream is frozen: restart its driver",
        )
    running = rig if rig is not None and name in rig.names else trained
    text = camera.camera and running and running[name].intrinsics.difference(camera.camera)
    if text:
        return Finding(
            check,
            "failed",
            f"{found}; by its camera_info {text}",
            "crop and resize as for the calibration, or calibrate again",
        )
    if stream.rate_hz < LEAST_CAMERA_HZ:
        return Finding(check, "warning", found, "drawings are only as new as their pictures: raise its rate")
    return Finding(check, "ok", found)


def _skew(seen: CellSeen, wanted: Wanted) -> Finding:
    """The quartile: an observer on busy cores loses pictures, and where one of a moment is lost, its neighbour in time
    stands for it. Clocks that differ and cameras that run freely show in every moment.
    """
    stamps = [np.array(camera.pictures.stamps_s) for camera in seen.cameras.values()]
    if len(stamps) < len(wanted.cameras) or not all(len(s) for s in stamps):
        return Finding("skew of cameras", "failed", "not all cameras were seen", "see above")
    spreads_s = [np.ptp([s[np.argmin(np.abs(s - t))] for s in stamps]) for t in stamps[0]]
    skew_s = float(np.percentile(spreads_s, 25))
    found = f"{1e3 * skew_s:.0f} ms"
    slack_s = float(str((seen.settings or {}).get("diffusion", {}).get("slack_s", SLACK_S)))
    if skew_s > slack_s:
        return Finding(
            "skew of cameras",
            "failed",
            found,
            f"drawings need {1e3 * slack_s:.0f} ms: synchronise "
            "the cameras, set all clocks by one time server, or raise slack_s of the diffusion node",
        )
    return Finding("skew of cameras", "ok", found)


def _rig(seen: CellSeen, wanted: Wanted) -> Finding:
    trained = wanted.trained_rig
    if seen.rig is None:
        return Finding(
            "rig",
            "warning",
            "nobody publishes camera_rig" + ("" if trained is None else f"; assumed to be {trained.fingerprint()}"),
            "start with rig:=rig.json, which `genima calibrate check` can verify",
        )
    differences = () if trained is None else trained.differences(seen.rig)
    if trained is not None and differences:
        return Finding(
            "rig",
            "warning",
            f"{seen.rig.fingerprint()}, not {trained.fingerprint()}: {'; '.join(differences)}",
            "put the cameras back where they were in training, or train on recordings of this rig",
        )
    return Finding("rig", "ok", seen.rig.fingerprint())


def _joints(arm: ArmSeen, wanted: Wanted) -> Finding:
    found = _describe(arm.states)
    problem = _silent(arm.states, "start the arm's driver, and compare the names of topics (arm:=...)")
    if problem is not None:
        return Finding("joint states", "failed", *problem)
    missing = [name for name in wanted.arm.joint_names if name not in arm.names]
    if missing or arm.q is None:
        return Finding(
            "joint states",
            "failed",
            f"{', '.join(missing)} missing; there are {', '.join(arm.names)}",
            "choose the right arm (arm:=...), or a file with its joint names",
        )
    over = np.maximum(wanted.arm.limits.lower - arm.q[-1], arm.q[-1] - wanted.arm.limits.upper)
    if (over > 0).any():
        i = int(np.argmax(over))
        return Finding(
            "joint states",
            "failed",
            f"{wanted.arm.joint_names[i]} is at {arm.q[-1, i]:.3f} rad, beyond its limit by {over[i]:.3f} rad",
            "guide the arm back by hand",
        )
    if (turned := float(np.ptp(arm.q, axis=0).max())) > STILL_RAD:
        return Finding(
            "joint states", "warning", f"{found}; the arm moved by {turned:.3f} rad", "check again while it is at rest"
        )
    if arm.states.rate_hz < LEAST_JOINT_HZ:
        return Finding(
            "joint states",
            "warning",
            found,
            f"{LEAST_JOINT_HZ:.0f} Hz are needed: take the driver's own joint states, not the merged ones",
        )
    return Finding("joint states", "ok", found)


def _joint_skew(seen: CellSeen) -> Finding:
    check = "pictures to joint states"
    pictures = [t for camera in seen.cameras.values() for t in camera.pictures.stamps_s]
    states = np.array(seen.arm.states.stamps_s)
    inside = [t for t in pictures if len(states) and states[0] <= t <= states[-1]]
    if not inside:
        return Finding(
            check, "failed", "no picture was captured while joint states came", "set all clocks by one time server"
        )
    away_s = float(np.median([np.abs(states - t).min() for t in inside]))
    found = f"{1e3 * away_s:.0f} ms (median)"
    if away_s > JOINT_SKEW_S:
        return Finding(
            check,
            "failed",
            found,
            f"{1e3 * JOINT_SKEW_S:.0f} ms are allowed: raise the rate of the joint "
            "states, set all clocks by one time server",
        )
    return Finding(check, "ok", found)


def _arm(arm: ArmSeen) -> Finding:
    if arm.status is None:
        return Finding("arm", "failed", "nobody publishes arm_status", "start the arm monitor: genima up real arm:=...")
    level, message = arm.status
    if level:
        return Finding("arm", "failed", message, "genima recover" if level > 1 else "bring it into its move mode")
    return Finding("arm", "ok", "may be moved")


def _streamer(seen: CellSeen) -> Finding:
    if len(seen.commanders) > 1:
        return Finding(
            "streamer", "failed", f"{', '.join(seen.commanders)} all command the arm", "end all but one streamer"
        )
    if seen.streamer is None:
        return Finding("streamer", "failed", "says nothing", "start it: genima up real arm:=...")
    scale = (seen.settings or {}).get("streamer", {}).get("velocity_scale")
    found = str(seen.streamer) + ("" if scale is None else f" (velocity_scale {scale:g})")
    if seen.streamer.state is State.FAULT:
        return Finding("streamer", "failed", found, "fix what it reports, then: genima recover")
    if seen.streamer.state is not State.HOLDING:
        return Finding("streamer", "warning", found, "the arm moves: check again while it is at rest")
    return Finding("streamer", "ok", found)


def _nodes(seen: CellSeen, wanted: Wanted) -> Finding:
    problems = seen.problems or {}
    missing = [name for name in wanted.nodes if name not in problems]
    if missing:
        return Finding("nodes", "failed", f"not heard: {', '.join(missing)}", "start the graph again: genima up ...")
    said = [f"{name}: {problem}" for name, problem in problems.items() if problem]
    if said:
        return Finding("nodes", "warning", "; ".join(said), "read what each reports")
    return Finding("nodes", "ok", ", ".join(sorted(problems)))


def _settings(seen: CellSeen, wanted: Wanted) -> Finding:
    """Whether all work with the same checkpoint, arm and execution."""
    settings = seen.settings or {}
    for name in ("checkpoint", "execution"):
        given = {node: str(values[name]) for node, values in settings.items() if name in values}
        if len(set(given.values())) > 1:
            return Finding(
                "configuration",
                "failed",
                f"{name} differs: " + "; ".join(f"{node} has {value}" for node, value in given.items()),
                "start all nodes by one command",
            )
    for node, own in settings.items():
        if own.get("arm", wanted.arm_name) != wanted.arm_name:
            return Finding(
                "configuration",
                "failed",
                f"{node} works with the arm {own['arm']}, not with {wanted.arm_name}",
                "name the arm that runs here (--arm ...)",
            )
    if wanted.checkpoint is None:
        return Finding("configuration", "ok", f"arm {wanted.arm_name}")
    info = wanted.checkpoint.info
    found = (
        f"{', '.join(info.tasks)}; {info.chunk_size} actions in {info.chunk_size * info.dt_s:g} s; "
        f"execution {next((v['execution'] for v in settings.values() if 'execution' in v), 'unknown')}"
    )
    return Finding("configuration", "ok", found)


def _policy(seen: CellSeen, checkpoint: Checkpoint) -> Finding:
    if not seen.instruction:
        return Finding("policy", "failed", "has no instruction", "start with instruction:='...', or publish one")
    if seen.gate is not None and seen.gate.state is GateState.CLOSED:
        return Finding("policy", "failed", f"the target gate is {seen.gate}", "genima resume")
    if not seen.drawings:
        return Finding("policy", "failed", "draws nothing", "see what the diffusion node says")
    if unknown_instruction := checkpoint.unknown_instruction(seen.instruction):
        return Finding("policy", "warning", unknown_instruction, "publish an instruction that it knows")
    gate = "the target gate is open" if seen.gate is not None else "the target gate is off"
    return Finding("policy", "ok", f"draws; {gate}; instruction {seen.instruction!r}")


def _describe(stream: Stream) -> str:
    ages = f", {1e3 * np.median(stream.ages_s):.0f} ms old" if stream.ages_s else ""
    return f"{stream.rate_hz:.0f} Hz{ages}"


def _silent(stream: Stream, remedy: str) -> tuple[str, str] | None:
    """What was found and the remedy, for a stream that is of no use."""
    if stream.publishers > 1:
        return f"{stream.publishers} publishers", "end all but one"
    if len(stream.stamps_s) < 2:
        return "nothing comes", remedy
    if (age_s := float(np.median(stream.ages_s))) > LATE_S or age_s < -FUTURE_S:
        limit_s = LATE_S if age_s > 0 else FUTURE_S
        problem, _, todo = stamp_problem("it", stream.stamps_s[-1], stream.stamps_s[-1] + age_s, limit_s).partition(
            ": "
        )
        return problem, todo
    return None
