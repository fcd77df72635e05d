"""Who commands the arm: a policy by its chunks, or an operator who takes over with the leader and gives back."""

from genima_core.streaming.mirror import Mirroring
from genima_core.streaming.reference import ChunkPath, TargetPath
from genima_core.streaming.states import Commander, Reason, Status


class Control:
    """The operator has the arm from engaging until giving it back, whatever happens in between.

    A leader that falls silent, a fault or a teleop node that was started again therefore gives nothing back: that must
    be said (`Mirror.disengage`).
    """

    def __init__(self) -> None:
        self.taken_over = False
        self._mirrors = False
        self._followed: ChunkPath | TargetPath | None = None

    def hear(self, teleop: Status) -> None:
        """What teleoperation says of itself; it repeats that."""
        if teleop.state is not Mirroring.IDLE:
            self.taken_over = True
        elif teleop.reason is Reason.OPERATOR:
            self.taken_over = False
        self._mirrors = teleop.state is Mirroring.MIRRORING

    def follow(self, path: ChunkPath | TargetPath | None) -> None:
        """What moves the arm from now on; None after it was given up."""
        self._followed = path

    @property
    def commander(self) -> Commander:
        if isinstance(self._followed, ChunkPath):
            return Commander.POLICY
        return Commander.HUMAN if self._followed is not None and self._mirrors else Commander.NONE
