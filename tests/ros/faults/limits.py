"""When watchdogs notice, by the numbers of the configuration."""

import re

import numpy as np

from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.profile import PREVIEW

from .faulty_cell import FaultyCell
from .trial import Limit, Strike

STREAMER = StreamerConfig()
ENOUGH = 0.8
"""Of the commands in the window, to say something about all of them."""

AT_ONCE = Limit("at once", lambda cell, strike: 0.0)
JOINT_STATE_TIMEOUT = Limit(
    f"joint_state_timeout_s {STREAMER.joint_state_timeout_s:g}", lambda cell, strike: STREAMER.joint_state_timeout_s
)
ARM_STATUS_TIMEOUT = Limit(
    f"arm_status_timeout_s {STREAMER.arm_status_timeout_s:g}", lambda cell, strike: STREAMER.arm_status_timeout_s
)
HORIZON = Limit(
    f"horizon of {PREVIEW} periods of {STREAMER.period_s:g} s", lambda cell, strike: PREVIEW * STREAMER.period_s
)


def _end_of_chunk(cell: FaultyCell, strike: Strike) -> float:
    return max(0.0, *cell.chunk_ends_s[-50:], 0.0) - strike.at_s


def _deviation(cell: FaultyCell, strike: Strike) -> float:
    """When what was measured first lay max_deviation_rad from all commands of the window before."""
    if DEVIATION_SAID.after_s(cell, strike) == float("inf"):
        return float("inf")
    enough = ENOUGH * STREAMER.deviation_window_s / STREAMER.period_s
    for at_s, q in cell.told:
        recent = (
            np.array(
                [
                    command
                    for command_s, command in cell.commanded
                    if at_s - STREAMER.deviation_window_s <= command_s <= at_s
                ]
            )
            if at_s >= strike.at_s
            else ()
        )
        if (
            len(recent) >= enough
            and np.maximum(recent.min(axis=0) - q, q - recent.max(axis=0)).max() > STREAMER.max_deviation_rad
        ):
            return at_s - strike.at_s
    # Where a busy machine lost commands on the way here, the streamer's word has to do.
    return DEVIATION_SAID.after_s(cell, strike)


def said(who: str, pattern: str, source: str, last: bool = True) -> Limit:
    """What a watchdog looks for does not come at a known time: the limit is when it says so, for the last time or the
    first.
    """

    def after_s(cell: FaultyCell, strike: Strike) -> float:
        times_s = [
            at_s for at_s, name, what in cell.said if at_s >= strike.at_s and name == who and re.search(pattern, what)
        ]
        return times_s[-1 if last else 0] - strike.at_s if times_s else float("inf")

    return Limit(source, after_s)


DEVIATION_SAID = said("streamer_state", "(stopping|fault): .* is measured at .* from its command", "", last=False)
END_OF_CHUNK = Limit("the last action of the last chunk", _end_of_chunk)
DEVIATION = Limit(f"max_deviation_rad {STREAMER.max_deviation_rad:g}", _deviation)
