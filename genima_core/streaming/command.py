"""What the streamer gives: its commands and its statistics."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from genima_core.streaming.states import Reason, Status


def _no_points() -> np.ndarray:
    return np.empty((0, 7))


@dataclass(frozen=True, eq=False)
class Command(Status):
    """What one period asks of the arm, and the streamer's `State` with its reason."""

    wants_chunk: bool = False
    """Sync mode: the arm is at rest and the next chunk may come. Async mode: chunks are welcome."""
    q: np.ndarray | None = None
    """(7,) rad, set point for now; None means: publish nothing (no joint state yet, disabled, at rest in FAULT)."""
    dq: np.ndarray | None = None
    ddq: np.ndarray | None = None
    horizon_times_s: np.ndarray = field(default_factory=lambda: np.empty(0))
    """(H,) s from now, strictly increasing, H >= 2, the first one period ahead; empty when q is None."""
    horizon_q: np.ndarray = field(default_factory=_no_points)
    """(H, 7) rad, for receivers that interpolate: ends at rest, so that a dead streamer means a smooth stop."""
    horizon_dq: np.ndarray = field(default_factory=_no_points)
    horizon_ddq: np.ndarray = field(default_factory=_no_points)
    gripper_width_m: float | None = None
    """None until a chunk or a target has said something about the gripper."""
    restarted: bool = False
    """True for the first command of a stream, which equals the measured position."""

    @property
    def status(self) -> Status:
        return Status(self.state, self.reason, self.text)


@dataclass(frozen=True)
class Statistics:
    """Counters since the start; ages now, inf before the first. `Reason`s are those of refusals, or of stops."""

    accepted: int
    """Chunks."""
    rejected: Mapping[Reason, int]
    joint_states_rejected: Mapping[Reason, int]
    stops: Mapping[Reason, int]
    """Before the end of a chunk."""
    limit_violations: int
    """Commands whose finite differences exceeded a limit of the arm: 0 unless there is a bug."""
    gaps: int
    """Steps more than max_gap_s after the one before, or before it."""
    joint_state_age_s: float
    chunk_age_s: float
    observation_age_s: float
    targets_accepted: int
    targets_rejected: Mapping[Reason, int]
    target_age_s: float
    follow_latency_s: tuple[float, float, float]
    """p50, p99 and largest of the last times from a target's stamp to the first command that used it; NaN before."""
