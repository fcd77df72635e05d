"""Records episodes of all cameras, both arms and the commands, as they arrive."""

import time
from collections import deque
from datetime import UTC, datetime
from typing import Any

from std_msgs.msg import String

from genima_core.cameras import CameraRig
from genima_core.checkpoint import git_revision
from genima_core.data.bags.episode_info import EpisodeInfo, folder_of, next_number
from genima_core.data.bags.recording import EpisodeRecorder, Message, free_bytes
from genima_core.data.bags.stamps import StreamMeter
from genima_ros.messages import conversions, interfaces
from genima_ros.nodes.base import GraphNode
from genima_ros.nodes.recording import JOINTS, LATCHED, RecorderParameters, StreamInputs, check_start, name_of

TAKE_S = 0.01
WATCH_S = 0.1
ADAPT_EVERY = 10
"""Looks at what publishers offer are far between: they cost more than they change."""
DIAGNOSTICS_S = 0.5
"""The operator's table shows them."""


class RecorderNode(GraphNode[RecorderParameters]):
    """Records episodes: every 10 ms it passes what has arrived to the `EpisodeRecorder` that runs.

    Publishes: recording (Bool, latched), diagnostics (twice a second and after each episode: every stream, disk,
    session).
    Subscribes: <camera>/color/image_raw, <camera>/color/camera_info, joint_states, leader/joint_states, joint_commands,
    gripper/command, gripper/state, approval, instruction, success, scene, camera_rig, streamer_state (who commands),
    targets/image, action_chunk, gate.
    Stored are the bytes as received; log_time is when the middleware received them, publish_time when they were
    captured (by the header), or sent if there is no header.
    Services: ~/start, ~/stop, ~/discard, ~/rerecord (Trigger), ~/label (SetBool, true for success).
    """

    def __init__(self, **options) -> None:
        super().__init__("recorder", RecorderParameters, **options)
        self._rig = None if self.parameters.rig is None else CameraRig.load(self.parameters.rig).to_dict()
        self._inputs = StreamInputs(self, self.parameters.streams, self.parameters.fps)
        self._meters = {
            role: StreamMeter(self.parameters.fps if role in self.parameters.camera_roles else None)
            for role in (*self.parameters.expected, *JOINTS, "joint_commands", "gripper_command")
        }
        self._revision = git_revision()
        self._latched: dict[str, Message] = {}
        self._told: dict[str, Any] = {}
        self._joints: dict[str, deque[Message]] = {role: deque(maxlen=20) for role in JOINTS}
        self._episode: EpisodeRecorder | None = None
        self._last: EpisodeRecorder | None = None
        self._begun_s, self._watched = 0.0, 0
        self._again_s: float | None = None
        self._discarded = 0
        self._kept: dict[int, bool] = {}
        """Number of each episode since the node started to whether it is suspect."""
        self.announce(interfaces.RECORDING)
        self.say(interfaces.RECORDING, data=False)
        self.serve("start", self._start)
        self.serve("stop", self._stop)
        self.serve("discard", lambda: self._discard() if self._again_s is None else self._stop())
        self.serve("rerecord", self._rerecord)
        self.serve("label", self._label)
        self.diagnostics.every(DIAGNOSTICS_S)
        self.every(TAKE_S, self._take)
        self.every(WATCH_S, self._watch)

    def close(self) -> None:
        """Finishes an episode that runs, without a label that nobody gave."""
        if self._episode is not None:
            self.get_logger().info(self._finish(self._episode))
        self._inputs.close()

    def _take(self) -> None:
        for role, message in self._inputs.take():
            if role in LATCHED:
                with self.using(message.topic, role):
                    self._told[role] = getattr(message.decode(), "data", None)
                    self._latched[role] = message
            elif role in self._meters:
                self._meters[role].add(message.published_ns)
            if role in self._joints:
                self._joints[role].append(message)
            if self._episode is not None:
                self._episode.add(message)

    def _watch(self) -> None:
        episode, self._watched = self._episode, self._watched + 1
        if episode is None:
            if self._watched % ADAPT_EVERY == 0:
                self._inputs.adapt()
            if self._again_s is not None and time.monotonic() >= self._again_s:
                try:
                    self._start()
                except RuntimeError as error:
                    self.diagnostics.warn(f"not recorded again: {error}", "start")
            return
        if episode.problem:
            self.diagnostics.warn(f"the recording stopped: {self._finish(episode)}", "disk")
        elif episode.minutes_left is not None and episode.minutes_left < self.parameters.warn_minutes:
            text = f"the disk of {self.parameters.out} is full in {episode.minutes_left:.1f} min: make space, or stop"
            self.diagnostics.warn(text, "disk")
        for role in self.parameters.expected:
            if (silent_s := self._meters[role].silent_s) > self.parameters.stale_s:
                self.diagnostics.warn(f"{name_of(role)} is silent for {silent_s:.0f} s", role)

    def _start(self) -> str:
        self._again_s = None
        if self._episode is not None:
            raise RuntimeError(f"{self._episode.name} is being recorded; stop it first")
        self._take()  # what came before does not belong to it
        check_start(self.parameters, self._inputs, self._meters, self._joints, time.time_ns())
        p, number = self.parameters, next_number(self.parameters.out)
        folder, roles, latched = folder_of(p.out, number), (*p.expected, "joint_commands"), self._latched.values()
        try:
            self._episode = EpisodeRecorder(folder, self._about(), roles, p, time.time_ns(), latched)
        except OSError as error:
            raise RuntimeError(f"episode {number} cannot be written: {error}") from error
        self._begun_s = time.monotonic()
        for meter in self._meters.values():
            meter.lost = 0
        self.say(interfaces.RECORDING, data=True)
        self.get_logger().info(f"episode {number} starts")
        return f"episode {number}"

    def _stop(self) -> str:
        if self._episode is not None:
            return self._finish(self._episode)
        if self._again_s is None:
            raise RuntimeError("nothing is being recorded")
        self._again_s = None
        return "it will not be recorded again"

    def _finish(self, episode: EpisodeRecorder) -> str:
        self._take()
        ended_ns = time.time_ns()
        self.say(interfaces.RECORDING, data=False)
        self._episode = None
        info = episode.finish(ended_ns, self._instruction())
        self._last = episode
        self._kept[episode.number] = bool(info.suspect)
        self.diagnostics.publish()
        return episode.verdict

    def _rerecord(self) -> str:
        text = self._discard()
        self._again_s = time.monotonic() + self.parameters.rerecord_s
        return f"{text}; it starts again in {self.parameters.rerecord_s:g} s"

    def _discard(self) -> str:
        episode = self._newest("discard")
        if self._episode is not None:
            self.say(interfaces.RECORDING, data=False)
        self._episode = self._last = None
        self._kept.pop(episode.number, None)
        self._discarded += 1
        try:
            episode.discard()
        except OSError as error:
            raise RuntimeError(f"{episode.name} cannot be removed: {error}") from error
        return f"{episode.name} is discarded"

    def _newest(self, purpose: str) -> EpisodeRecorder:
        episode = self._episode or self._last
        if episode is None:
            raise RuntimeError(f"there is no episode of this session to {purpose}")
        return episode

    def _label(self, success: bool) -> str:
        episode = self._newest("label")
        try:
            episode.relabel("success" if success else "failure")
        except OSError as error:
            raise RuntimeError(f"{episode.name} cannot be labelled: {error}") from error
        return f"{episode.name} is labelled {episode.info.label}"

    def _about(self) -> EpisodeInfo:
        rig = self._rig
        if rig is None and "camera_rig" in self._told:
            try:
                rig = conversions.read_rig(String(data=self._told["camera_rig"])).to_dict()
            except ValueError as error:
                self.diagnostics.warn(f"{error}; or give the recorder a rig file", "camera_rig")
        return EpisodeInfo(
            task=self.parameters.task,
            instruction=self._instruction(),
            streams=self._inputs.topics,
            arm=self.parameters.setup.arm,
            rig=rig,
            seed=self._told.get("scene", -1),
            revision=self._revision,
            begun_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )

    def _instruction(self) -> str:
        return self._told.get("instruction", self.parameters.instruction)

    def values(self) -> dict[str, object]:
        episode, last, now_s, now_ns = self._episode, self._last, time.monotonic(), time.time_ns()
        newest = episode or last
        reference = self._meters[self.parameters.camera_roles[0]]
        values: dict[str, object] = {
            "state": "recording" if episode else "again" if self._again_s is not None else "idle",
            "episode": episode.number if episode else next_number(self.parameters.out),
            "seconds": now_s - self._begun_s if episode else 0.0,
            "again_in_s": 0.0 if self._again_s is None else max(0.0, self._again_s - now_s),
            "label": newest.info.label if newest else "",
            "instruction": self._instruction(),
            "kept": len(self._kept),
            "suspect": sum(self._kept.values()),
            "last_suspect": int(last is not None and bool(last.info.suspect)),
            "discarded": self._discarded,
            "verdict": last.verdict if last else "",
            "free_gb": free_bytes(self.parameters.out) / 1e9,
            "minutes_left": newest.minutes_left if newest else None,
            "written_mb": episode.written_mb if episode else 0.0,
            "waiting_mb": episode.waiting_mb if episode else 0.0,
            "overflow": episode.overflow if episode else 0,
        }
        for role, meter in self._meters.items():
            age_ms, skew_ms = 1e3 * meter.age_s(now_ns), meter.skew_ms(reference)
            told = {"rate_hz": meter.rate_hz, "age_ms": age_ms, "skew_ms": skew_ms, "lost": meter.lost}
            values |= {f"{name_of(role)}.{key}": value for key, value in told.items()}
        return values
