"""From the exposure of a picture to the first command that reflects it, as a listener sees it."""

MOVING_RAD_S = 1e-6
"""A command with less velocity holds."""


class CommandLatency:
    """Feed chunks, whose stamps are those of their pictures, and set points as they arrive.

    A set point that moves the arm and arrives after a chunk is the first that reflects it: the streamer takes it on
    between two set points. One that no motion follows until the next comes is not counted.
    """

    def __init__(self) -> None:
        self.values_s: list[float] = []
        self._waiting_s: float | None = None

    def on_chunk(self, stamp_s: float) -> None:
        self._waiting_s = stamp_s

    def on_command(self, fastest_rad_s: float, now_s: float) -> None:
        """A set point whose fastest joint moves so fast arrived, in the time that stamps are in."""
        if self._waiting_s is not None and fastest_rad_s > MOVING_RAD_S:
            self.values_s.append(now_s - self._waiting_s)
            self._waiting_s = None
