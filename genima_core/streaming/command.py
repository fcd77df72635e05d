"""What the streamer says: its commands and its statistics."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np


class State(StrEnum):
    HOLDING = "holding"
    TRACKING = "tracking"
    STOPPING = "stopping"
    FAULT = "fault"


@dataclass(frozen=True)
class Command:
    """What one period asks of the arm."""

    state: State
    reason: str
    """One sentence: why the arm is not tracking, or what is odd; "" when there is nothing to say."""
    wants_chunk: bool
    """Sync mode: the arm is at rest and the next chunk may come. Async mode: chunks are welcome."""
    q: np.ndarray | None
    """(7,) rad, set point for now; None means: publish nothing (no joint state yet, disabled, at rest in FAULT)."""
    dq: np.ndarray | None
    ddq: np.ndarray | None
    horizon_times_s: np.ndarray
    """(H,) s from now, strictly increasing, H >= 2, the first one period ahead; empty when q is None."""
    horizon_q: np.ndarray
    """(H, 7) rad, for receivers that interpolate: ends at rest, so that a dead streamer means a smooth stop."""
    horizon_dq: np.ndarray
    horizon_ddq: np.ndarray
    gripper_width_m: float | None
    """None until a chunk or a target has said something about the gripper."""
    restarted: bool
    """True for the first command of a stream, which equals the measured position."""

    @classmethod
    def none(cls, state: State, reason: str) -> "Command":
        """Nothing is commanded."""
        empty = np.empty((0, 7))
        return cls(state, reason, False, None, None, None, np.empty(0), empty, empty, empty, None, False)


@dataclass(frozen=True)
class Statistics:
    """Counters since the start, ages now."""

    accepted: int
    rejected: Mapping[str, int]
    """Kind of refusal to number of chunks."""
    joint_states_rejected: Mapping[str, int]
    stops: Mapping[str, int]
    """Kind of reason to number of stops before the end of a chunk."""
    last_rejection: str
    """The last chunk's refusal, "" when there was none."""
    limit_violations: int
    """Commands whose finite differences exceeded a limit of the arm: 0 unless there is a bug."""
    gaps: int
    """Steps more than max_gap_s after the one before, or before it."""
    longest_gap_s: float
    late_steps: int
    """Steps at least half a period late."""
    joint_state_age_s: float
    """inf before the first; likewise below."""
    chunk_age_s: float
    observation_age_s: float
    targets_accepted: int
    targets_rejected: Mapping[str, int]
    """Kind of refusal to number of targets."""
    target_age_s: float
    follow_latency_s: tuple[float, float, float]
    """p50, p99 and largest of the last times from a target's stamp to the first command that used it; NaN before."""
