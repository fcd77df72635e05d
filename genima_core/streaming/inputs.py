"""Which chunks and targets fit the moment: their age, order, limits and jumps, and what has come of them."""

import math
from collections import Counter, deque
from collections.abc import Iterator

import numpy as np

from genima_core.arm import Arm
from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.playback import Playback, shaping_limits
from genima_core.streaming.reference import Blend, ChunkPath, TargetPath
from genima_core.streaming.states import Reason, Refusal, first_refusal
from genima_core.timing import stamp_problem
from genima_core.types import ActionChunk, Target

STRETCHED_SHARE = 0.9
"""Of the velocity limit, used by a chunk that was too fast; the rest is left for catching up."""
WIDTH_SLACK = 0.01
"""Share of the gripper's width by which it may be exceeded."""
POSITION_NOISE_RAD = 0.005
"""A step up to this is no jump, however close the stamps are."""
REST_SPEED = 0.02
"""rad/s; a sender that falls silent while no joint was faster has come to its end."""
LATENCIES = 6000
"""Kept: a minute at 100 Hz."""
OF_CHUNK = "check the controller's statistics and the order of its joints."
TOO_FAST = "its sender is faster than the arm may move."


def plan_chunk(
    arm: Arm, config: StreamerConfig, chunk: ActionChunk, step_s: float, now_s: float
) -> ChunkPath | Refusal:
    """The path of a chunk that came at now_s, the last step having been at step_s."""
    sync, positions, dt_s = config.execution != "async", chunk.positions, chunk.dt_s / config.velocity_scale
    start_s = step_s if sync else chunk.stamp_s + (chunk.start_s - chunk.stamp_s) / config.velocity_scale
    if sync and config.execution_horizon:
        positions = positions[: max(config.execution_horizon, 2)]
    with np.errstate(all="ignore"):  # of positions that are no numbers, which are refused below
        limits, steps = shaping_limits(arm.limits, config), np.diff(positions, axis=0) / dt_s
        speed = np.abs(steps) / limits.velocity
        near = limits.velocity_shares(positions[1:], steps)

    def problems() -> Iterator[tuple[Reason, str]]:
        yield from _outside(arm, "Action {} of the chunk", chunk.positions, OF_CHUNK)
        if chunk.gripper is not None and not (np.abs(chunk.gripper - 0.5) <= 0.5 + WIDTH_SLACK).all():
            most_m, lowest, highest = arm.gripper.max_width_m, chunk.gripper.min(), chunk.gripper.max()
            given = f"The chunk's gripper widths go from {most_m * lowest:.4f} to {most_m * highest:.4f} m"
            yield Reason.GRIPPER, f"{given}; valid is 0 to {most_m:g} m: convert openings to widths."
        age_s, ahead_s = now_s - chunk.stamp_s, start_s - now_s
        if not age_s <= config.max_observation_age_s:
            given = f"The chunk's observation is {age_s:.2f} s old; valid is up to"
            yield Reason.STALE, f"{given} {config.max_observation_age_s:g} s: the policy or a camera is too slow."
        if not max(-age_s, ahead_s) <= config.max_lead_s:
            given = f"The chunk is stamped {-age_s:.2f} s from now and begins {ahead_s:.2f} s from now"
            yield Reason.FUTURE, f"{given}; valid is up to {config.max_lead_s:g} s: synchronise the clocks."
        if not speed.max() <= config.max_speed_ratio:
            k, i = np.unravel_index(np.argmax(speed), speed.shape)
            turn = f"{arm.joint_names[i]} by {abs(positions[k + 1, i] - positions[k, i]):.3f} rad"
            given = f"{turn} between actions {k} and {k + 1}, {speed.max():.1f} times the velocity limit"
            valid = f"valid is up to {config.max_speed_ratio:g} times: look at the controller's output."
            yield Reason.JUMP, f"The chunk moves {given}; {valid}"

    if (refusal := first_refusal(problems())) is not None:
        return refusal
    widths_m = None
    if chunk.gripper is not None:
        widths_m = arm.gripper.max_width_m * np.clip(chunk.gripper[: len(positions)], 0.0, 1.0)
    # Where the arm must be slow near its position limits, a chunk is played slower, but not refused.
    fastest = max(float(speed.max()), min(float(near.max()), config.max_speed_ratio))
    dt_s *= max(1.0, fastest / STRETCHED_SHARE)
    path = ChunkPath(positions, dt_s, start_s, config.settle_s, config.smoothing, from_rest=sync, widths_m=widths_m)
    if sync or path.end_s >= now_s:
        return path
    valid = "at least one has to be due in the future: lengthen the chunk, or use sync mode."
    return Refusal(Reason.PAST, f"The chunk's last action was due {now_s - path.end_s:.2f} s ago; {valid}")


def find_jump(arm: Arm, config: StreamerConfig, path: ChunkPath, playback: Playback, now_s: float) -> Refusal | None:
    """Why a path must not be joined at its first due action: it is too far from where the command will be."""
    time_s, limit = max(path.start_s, now_s), config.max_jump_rad
    first = path.at(np.array([time_s]))[0][0]
    jump = np.abs(first - playback.position_at(time_s))
    if (i := worst(jump - limit)) is None:
        return None
    given = f"wants {arm.joint_names[i]} at {first[i]:.3f} rad, {jump[i]:.3f} rad from the command then"
    valid = f"valid is up to {limit:g} rad: check the controller, its joint order and the clocks."
    return Refusal(Reason.JUMP, f"The chunk's first due action {given}; {valid}")


def worst(excess: np.ndarray) -> int | None:
    """Index of the largest excess (7,), or of one that is not a number; None where none is above 0."""
    i = int(np.argmax(excess))
    return None if excess[i] <= 0 else i


def _outside(arm: Arm, what: str, q: np.ndarray, remedy: str) -> Iterator[tuple[Reason, str]]:
    """The first of positions (n, 7) that no arm of this kind can be at; NaN lies outside too."""
    lower, upper = arm.limits.lower, arm.limits.upper
    for k, i in np.argwhere(~((q >= lower) & (q <= upper)))[:1]:
        given = f"{arm.joint_names[i]} at {q[k, i]:.4f} rad, outside [{lower[i]:.4f}, {upper[i]:.4f}]"
        yield Reason.LIMITS, f"{what.format(k)} wants {given}; {remedy}"


class VelocityEstimate:
    """The slope of the last positions, for senders that measure no velocity."""

    def __init__(self, window_s: float = 0.04):
        self._window_s = window_s
        self._seen: deque[tuple[float, np.ndarray]] = deque(maxlen=64)

    def add(self, stamp_s: float, q: np.ndarray) -> np.ndarray:
        """Velocity (7,) at the newest position; zero after the first. Stamps must increase."""
        while self._seen and stamp_s - self._seen[0][0] > 1.5 * self._window_s:
            self._seen.popleft()
        self._seen.append((stamp_s, q))
        if len(self._seen) < 2:
            return np.zeros(7)
        times_s = np.array([seen[0] for seen in self._seen])
        times_s -= times_s.mean()
        return times_s @ np.array([seen[1] for seen in self._seen]) / (times_s @ times_s)

    def forget(self) -> None:
        self._seen.clear()


class TargetInput:
    """The sender of targets: it is followed while `active`, and locked out by its first mistake until it pauses."""

    def __init__(self, arm: Arm, config: StreamerConfig):
        self._arm, self._config = arm, config
        self.blend = Blend(config.follow_acceleration, config.follow_blend_s, config.max_blend_s)
        self.active = False
        self.accepted, self._last_rejection = 0, ""
        self.rejected: Counter[Reason] = Counter()
        self.accepted_at_s = -math.inf
        self.latencies_s: deque[float] = deque(maxlen=LATENCIES)
        """From the stamp of a target to the first command that used it."""
        self._locked, self._heard_s = False, -math.inf
        self._last: Target | None = None
        self._path: TargetPath | None = None
        self._estimate = VelocityEstimate()

    def take(
        self,
        target: Target | Refusal,
        unwelcome: Refusal | None,
        playback: Playback | None,
        step_s: float,
        now_s: float,
    ) -> Refusal | None:
        """None, and it is followed, else why not; who was refused has to pause. `unwelcome`: why none is for now."""
        quiet_s, self._heard_s = now_s - self._heard_s, now_s
        self._locked = self._locked and not quiet_s >= self._config.target_pause_s
        refusal = self._lock() if self._locked else unwelcome
        if refusal is None and isinstance(target, Refusal):
            refusal = target
        elif refusal is None and isinstance(target, Target) and playback is not None:
            # After a late step the command is older than the target, and the arm further on.
            since_s = min(max(target.stamp_s - step_s, 0.0), self._config.max_gap_s)
            refusal = first_refusal(self._problems(target, now_s, playback.motion.q + since_s * playback.motion.dq))
        if refusal is not None:
            self.rejected[refusal.kind] += 1
            if refusal.kind not in (Reason.OLDER, Reason.LATE, Reason.LOCKED):  # it only repeated itself
                self._locked, self._last_rejection = True, refusal.text
        elif isinstance(target, Target):
            self._follow(target, now_s)
        return refusal

    def _lock(self) -> Refusal:
        why = f"Targets are refused since one was ({self._last_rejection or 'the arm stopped'})"
        remedy = f"send none for {self._config.target_pause_s:g} s, then begin where the arm is."
        return Refusal(Reason.LOCKED, f"{why}; {remedy}")

    def _follow(self, target: Target, now_s: float) -> None:
        estimated = self._estimate.add(target.stamp_s, target.q)
        dq = estimated if target.dq is None else target.dq
        self._last = Target(target.q, dq, target.stamp_s, target.width_m)
        width_m = None if target.width_m is None else min(max(target.width_m, 0.0), self._arm.gripper.max_width_m)
        self._path = TargetPath(target.q, dq, target.stamp_s, self._config.target_timeout_s, width_m)
        self.accepted += 1
        self.active, self.accepted_at_s = True, now_s

    def _problems(self, target: Target, now_s: float, here: np.ndarray) -> Iterator[tuple[Reason, str]]:
        config, names = self._config, self._arm.joint_names
        width_m, most_m = target.width_m, self._arm.gripper.max_width_m
        yield from _outside(self._arm, "The target", target.q[None], "look at its sender.")
        if width_m is not None and not abs(width_m / most_m - 0.5) <= 0.5 + WIDTH_SLACK:
            valid = f"valid is 0 to {most_m:g} m: convert openings to widths."
            yield Reason.GRIPPER, f"The target wants the gripper {width_m:.4f} m open; {valid}"
        age_s, last = now_s - target.stamp_s, self._last
        if not abs(age_s) <= config.target_timeout_s:
            # A late one is skipped: whether it is the last one, or one of many, the watchdog finds out.
            kind = Reason.LATE if self.active and age_s > 0 else Reason.STALE
            yield kind, stamp_problem("The target", target.stamp_s, now_s, config.target_timeout_s)
        if last is not None and target.stamp_s <= last.stamp_s:
            given = f"The target's stamp {target.stamp_s:.3f} s is not after the one before ({last.stamp_s:.3f} s)"
            yield Reason.OLDER, f"{given}; only newer ones are used."
        dq, fastest = target.dq, config.max_speed_ratio * self._arm.limits.velocity
        if dq is not None and (i := worst(np.abs(dq) / fastest - 1)) is not None:
            valid = f"valid is up to {fastest[i]:.2f} rad/s: look at its sender."
            yield Reason.JUMP, f"The target moves {names[i]} at {dq[i]:.2f} rad/s; {valid}"
        if dq is not None and not self.active and (i := worst(np.abs(dq) - REST_SPEED)) is not None:
            valid = f"valid is up to {REST_SPEED:g} rad/s: begin at rest, where the arm is."
            yield Reason.JUMP, f"The first target moves {names[i]} at {dq[i]:.2f} rad/s; {valid}"
        if last is not None:
            step, dt_s = np.abs(target.q - last.q), target.stamp_s - last.stamp_s
            if (i := worst(step - fastest * dt_s - POSITION_NOISE_RAD)) is not None:
                given = f"The target of {names[i]} jumped by {step[i]:.3f} rad in {1e3 * dt_s:.0f} ms"
                yield Reason.JUMP, f"{given}; valid is up to {fastest[i]:.2f} rad/s: look at its sender."
        away, limit = np.abs(target.q - here), config.max_lag_rad if self.active else config.max_start_rad
        if (i := worst(away - limit)) is None:
            return
        if self.active:
            given, remedy = f"target of {names[i]} is {away[i]:.3f} rad from the command", TOO_FAST
        else:
            given = f"first target wants {names[i]} at {target.q[i]:.3f} rad, {away[i]:.3f} rad from where it is"
            remedy = "begin where the arm is."
        yield Reason.JUMP, f"The {given}; valid is up to {limit:g} rad: {remedy}"

    def take_path(self, now_s: float) -> TargetPath | None:
        """The path to follow from now on, if a target came since it was last asked for."""
        path, self._path = self._path, None
        if path is not None:
            self.latencies_s.append(now_s - path.stamp_s)
        return path

    def find_silence(self, now_s: float) -> str | None:
        """What is wrong with a sender that says no more; "" if it came to rest before, None while it goes on."""
        config, last = self._config, self._last
        rests = last is not None and last.dq is not None and bool((np.abs(last.dq) <= REST_SPEED).all())
        limit_s = config.target_timeout_s
        if rests:  # nothing goes astray meanwhile
            limit_s = max(limit_s, config.target_pause_s)
        if not self.active or last is None or now_s - last.stamp_s <= limit_s:
            return None
        return "" if rests else f"The newest target is more than {1e3 * limit_s:.0f} ms old; look at its sender."

    def end(self, reason: str = "") -> None:
        """Follow no more; with a reason, the sender has to pause before it may begin again."""
        if self.active and reason:
            self._locked, self._last_rejection = True, reason
        self.active, self._last, self._path = False, None, None
        self._estimate.forget()

    def forget_times(self, now_s: float) -> None:
        self._heard_s, self.accepted_at_s = min(self._heard_s, now_s), min(self.accepted_at_s, now_s)

    def latency_s(self) -> tuple[float, float, float]:
        """p50, p99 and largest of the last latencies; NaN before any."""
        if not self.latencies_s:
            return (math.nan, math.nan, math.nan)
        p50, p99, longest = np.percentile(self.latencies_s, [50, 99, 100])
        return float(p50), float(p99), float(longest)
