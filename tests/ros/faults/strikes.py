"""How faults strike, and what it takes to go on after them."""

import json
import signal
from collections.abc import Callable

import numpy as np
from std_msgs.msg import String

from genima_core.arm import PANDA
from genima_core.calibration.store import placed
from genima_core.cameras import CameraRig
from genima_ros.messages import interfaces
from genima_ros.messages.interfaces import Topic

from . import spoiling
from .faulty_cell import FaultyCell
from .trial import GoOn, Strike
from .wire import Change

FINGERTIP_BELOW_TCP_M, TOUCH_M = 0.009, 0.002

# ---- what it takes to go on

BY_ITSELF = GoOn("continues by itself")
RESET = GoOn("`genima reset`", lambda cell: cell.do("streamer", "reset_fault"))
ENABLE = GoOn("`genima enable`", lambda cell: cell.do("streamer", "enable", data=True))
RESUME = GoOn("look at the drawing, then `genima resume`", lambda cell: cell.do("controller", "resume"))


def _reset_and_enable(cell: FaultyCell) -> None:
    cell.do("streamer", "reset_fault")
    cell.do("streamer", "enable", data=True)


def _restart_streamer(cell: FaultyCell) -> None:
    cell.restart("streamer")
    # The one that was killed could not say good-bye: for some seconds it counts as a second streamer.
    cell.do("streamer", "enable", patiently=True, data=True)


def _recover(cell: FaultyCell) -> None:
    try:
        cell.run("recover")
    except RuntimeError:  # on a busy machine it does not find the nodes in its time; an operator tries again
        cell.run("recover")
    cell.do("streamer", "enable", data=True)


RECOVER = GoOn("`genima recover`, then `genima enable`", _recover)
RESET_AND_ENABLE = GoOn("`genima reset`, then `genima enable`", _reset_and_enable)
RESTART = GoOn("start the streamer again (`genima up`), then `genima enable`", _restart_streamer)

# ---- how faults strike


def on_wire(topic: Topic | tuple[Topic, ...], make: Callable[[], Change], late_s: float = 0.0):
    """A message of these topics becomes something else."""
    topics = topic if isinstance(topic, tuple) else (topic,)

    def strike(cell: FaultyCell) -> None:
        for each in topics:
            cell.wire.spoil(each, make(), late_s)

    return strike


def on_cameras(make: Callable[[], Change], late_s: float = 0.0):
    """As `on_wire`, of all four cameras."""
    return lambda cell: on_wire(tuple(map(interfaces.camera_image, cell.cameras)), make, late_s)(cell)


def clock_set(offset_s: int):
    """Of all nodes, as a time server sets it."""
    return lambda cell: cell.clock.set(offset_s)


def killed(node: str):
    return lambda cell: cell.signal(node, signal.SIGKILL)


def paused(node: str):
    return lambda cell: cell.signal(node, signal.SIGSTOP)


def continued(node: str):
    return lambda cell: cell.signal(node, signal.SIGCONT)


def bad_chunk(spoil: Callable[[object], object]):
    """One bad chunk; its sender sends no other meanwhile."""

    def strike(cell: FaultyCell) -> None:
        cell.scripted = False
        cell.wire.send(interfaces.ACTION_CHUNK, spoil(cell.script.chunk(cell.now_s())))

    return strike


def called(node: str, service: str, **request: object):
    return lambda cell: cell.do(node, service, **request)


def chunk_of(change: Callable[[np.ndarray], np.ndarray]):
    return bad_chunk(lambda message: spoiling.with_values(message, change(spoiling.values_of(message))))


def chunk_with(row: int, column: int, value: float):
    def change(values: np.ndarray) -> np.ndarray:
        values[row, column] = value
        return values

    return chunk_of(change)


def shaken(values: np.ndarray) -> np.ndarray:
    values[::2, 0] += 0.3
    return values


def draws_nothing(cell: FaultyCell) -> None:
    """The drawing is what was drawn over."""
    cell.wire.spoil(interfaces.TARGETS, lambda message: cell.observation)


def camera_moved(by_m: float):
    """The rig says that the front camera is elsewhere than in training."""

    def strike(cell: FaultyCell) -> None:
        rig = CameraRig.from_dict(json.loads(cell.rig.data))
        T_base_cam = rig["front"].T_mount_cam.copy()
        T_base_cam[0, 3] += by_m
        moved = placed(rig, {"front": ("base", T_base_cam)})
        cell.wire.send(interfaces.CAMERA_RIG, String(data=json.dumps(moved.to_dict())))

    return strike


def camera_put_back(cell: FaultyCell) -> None:
    cell.wire.send(interfaces.CAMERA_RIG, cell.rig)


def above_the_table(cell: FaultyCell, strike: Strike) -> None:
    lowest_m = min(PANDA.forward_kinematics(sample.q)[-1][2, 3] for sample in cell.arm.since(strike.at_s))
    assert lowest_m - FINGERTIP_BELOW_TCP_M > TOUCH_M, f"the fingertips were {1e3 * lowest_m:.0f} mm above the table"
