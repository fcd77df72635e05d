"""A Franka arm over the vendor's network protocol (FCI), by the package franka-rs; no ROS.

The 1 kHz loop runs on a thread of Rust inside that package. Here a slower thread keeps the connection: it connects,
reads states, begins and ends control, and recovers. Nothing that others call waits for the network, but `recover` and
`close`.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from genima_core.arm import Arm
from genima_core.arm_status import MODES, ArmStatus, Level, read_status
from genima_core.franka.config import FrankaConfig
from genima_core.franka.sent import SentMeter
from genima_core.trajectory_follower import TrajectoryFollower

FCI_VERSIONS = {"panda": 5, "fr3": 10}
"""Of the protocol that each arm speaks."""
READ_S = 0.001
"""Between two looks at the newest state while control runs; the arm sends one each millisecond."""
ROW_S = 0.005
"""Between two targets of a trajectory that is handed to the 1 kHz loop."""
RETRY_S = 1.0
"""Between two attempts to connect."""
NO_ANSWER_S = 3.0
"""An arm that is there answers at once; one that has another client never does."""
BEGIN_S = 3.0
"""Within this time the arm is in the mode "move" after control began; its brakes open meanwhile."""
RECOVER_S = 15.0
FAR_RAD = 0.2
"""A trajectory that begins further from where the arm is, is not for this arm as it stands."""
LONGEST_S = 5.0
"""Of a trajectory: the streamer's, up to where it rests, takes less than a second."""
INSIDE_RAD = 0.01
"""Targets stay so far inside the arm's position limits."""
ANYWHERE_RAD = 7.0
"""The package ends control where an arm strays further from its start; the streamer watches for that."""


@dataclass(frozen=True)
class Reading:
    """A state of the arm."""

    q: np.ndarray
    """(7,) rad."""
    dq: np.ndarray
    """(7,) rad/s."""
    time_s: float
    """By the arm's clock, which starts anew with each connection."""
    received_s: float
    """By the steady clock here."""
    success_rate: float
    """Share of the last 100 packets that reached the arm in time; 0 while nothing is controlled."""


@dataclass(frozen=True)
class _Ended:
    """Why control is not running."""

    text: str
    mode: str = "idle"
    level: Level = Level.WARN


def connect(config: FrankaConfig) -> Any:
    """A `franka.Robot`; RuntimeError where the package is missing, its own error where the arm is not reached.

    The package gives the calling thread the highest real-time priority, which whatever that starts would inherit, so it
    gets its own back. The 1 kHz loop is a thread of the package, which takes that priority by itself.
    """
    local = config.robot_ip == "localhost" or config.robot_ip.startswith("127.")
    realtime = ("ignore" if local else "enforce") if config.realtime == "auto" else config.realtime
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        return franka_package().Robot(config.robot_ip, realtime=realtime)
    finally:
        os.sched_setscheduler(0, policy, parameters)


def franka_package() -> Any:
    """The module of franka-rs; RuntimeError where it is not installed."""
    try:
        import franka
    except ImportError as error:
        raise RuntimeError(f"franka-rs is not installed ({error}): pip install 'genima_ros[franka]'") from error
    return franka


class FrankaLink:
    """Keeps an arm connected and controlled; `reading` and `status` are always the newest.

    Control begins by itself when the arm is reached and is in no error: it holds where it is. When control ends, be it
    by a reflex, a lost cable or the user stop, it begins again only by `recover`.
    """

    def __init__(
        self,
        config: FrankaConfig,
        arm: Arm,
        connect: Callable[[FrankaConfig], Any] = connect,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config, self.arm = config, arm
        self.reading: Reading | None = None
        self.robot: Any = None
        """The `franka.Robot`, once connected."""
        self.aborted: dict[str, int] = {}
        """How often control was ended, by reason."""
        self.sent = SentMeter(arm, config.guided or config.backend == "impedance")
        self._connect, self._clock_s = connect, clock_s
        self._control: Any = None
        self._follower: TrajectoryFollower | None = None
        self._ended: _Ended | None = None
        self._connecting_since_s: float | None = clock_s()
        self._why_not = ""
        self._mode, self._errors, self._last_errors = "other", (), ()  # type: tuple[str, tuple[str, ...], tuple[str, ...]]
        self._requests: queue.SimpleQueue[Future[str]] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="franka", daemon=True)
        self._thread.start()

    # ---- called from outside

    @property
    def status(self) -> ArmStatus:
        """Whether the arm may be moved; a guided arm may not."""
        if self.robot is None:
            return ArmStatus(Level.ERROR if self._why_not else Level.WARN, self._unreached(), "silent")
        if self._control is None and self._ended is not None and self._mode in ("idle", "move", "other"):
            return ArmStatus(self._ended.level, self._ended.text, self._ended.mode, self._last_errors)
        status = read_status(MODES.index(self._mode), self._errors, self._last_errors)
        if status.level is Level.OK and self.config.guided:
            return ArmStatus(Level.WARN, "it is guided by hand and takes no commands", "guiding")
        return status

    @property
    def controlled(self) -> bool:
        """Whether it holds, or follows what it is told."""
        return self._control is not None

    def follow(self, times_s: np.ndarray, q: np.ndarray, dq: np.ndarray | None) -> None:
        """Follow the points `q` (n, 7) rad with velocities `dq` (n, 7) rad/s, due `times_s` (n,) from now; then rest.

        Each call replaces the trajectory before. ValueError: not such points, or the arm does not take them.
        """
        control, follower, reading = self._control, self._follower, self.reading
        if control is None or follower is None or reading is None:
            raise ValueError(f"the arm is not controlled: {self.status.message or 'it is starting'}")
        if self.config.guided:
            raise ValueError("the arm is guided by hand; set guided to false to command it")
        if len(times_s) and not times_s[-1] <= LONGEST_S:
            raise ValueError(f"the trajectory takes {times_s[-1]:g} s; valid are up to {LONGEST_S:g}")
        first = np.asarray(q, np.float64)[:1]
        if first.shape == (1, 7) and not (near := np.abs(first[0] - reading.q) <= FAR_RAD).all():
            joint = int(np.argmin(near))
            told = abs(first[0, joint] - reading.q[joint])
            where = f"joint {joint + 1} is told to be {told:.2f} rad from where it is"
            raise ValueError(f"{where}; valid are {FAR_RAD:g}: is this trajectory for another arm?")
        now_s = self._clock_s()
        follower.replace(now_s, now_s, times_s, q, dq)
        try:
            control.follow(self._rows(follower, now_s, float(times_s[-1])), dt=ROW_S)
        except Exception as error:  # of the package, which has ended control at this moment
            raise ValueError(f"the arm does not take the trajectory: {error}") from error

    def recover(self) -> str:
        """Clears the arm's errors and begins control again; waits for it. RuntimeError: why it is not possible."""
        if self.robot is None:
            raise RuntimeError(f"not recovered: {self._unreached()}")
        request: Future[str] = Future()
        self._requests.put(request)
        try:
            return request.result(RECOVER_S)
        except TimeoutError:
            raise RuntimeError(f"not recovered within {RECOVER_S:g} s: {self.status.message}") from None

    def close(self) -> None:
        """Comes to rest and gives the arm free."""
        self._closing.set()
        self._thread.join(BEGIN_S)

    # ---- the thread

    def _run(self) -> None:
        while not self._closing.is_set():
            if self.robot is None:
                self._reach()
                continue
            try:
                self._serve_requests()
                self._read()
            except Exception as error:  # the package's own kinds, and whatever a broken connection brings
                self._lose(str(error))
        self._end_control()

    def _reach(self) -> None:
        self._connecting_since_s = self._clock_s()
        try:
            robot = self._connect(self.config)
            self._check_version(robot.fci_version)
            robot.set_collision_behavior_simple(
                *2 * [list(self.config.collision_torque_nm)], *2 * [list(self.config.collision_force_n)]
            )
            state = robot.read_once()
        except Exception as error:
            self._why_not = f"{self.config.robot_ip} is not reached: {_one_line(error)}; {_remedy(error)}"
            self._closing.wait(RETRY_S)
            return
        self._take(state)
        self.robot, self._why_not, self._connecting_since_s = robot, "", None
        if self._ended is None and self._mode == "idle" and not self._errors:
            self._begin()
        elif self._ended is None:
            self._ended = _Ended("it is not controlled yet; genima recover")

    def _check_version(self, version: int) -> None:
        wanted = FCI_VERSIONS.get(self.arm.name)
        if wanted in (None, version):
            return
        known = {number: name for name, number in FCI_VERSIONS.items()}
        is_one = f"it speaks version {version} of the FCI, as a {known.get(version, 'newer arm')} does"
        raise RuntimeError(f"{is_one}, and the arm's file says {self.arm.name}")

    def _begin(self) -> None:
        """Hold where the arm is, and follow from there."""
        config = self.config
        options: dict[str, Any] = {"backend": "impedance", "joint_stiffness": [0.0] * 7}
        options["joint_damping"] = [config.guiding_damping] * 7
        if not config.guided:
            options = {"backend": config.backend}
            if config.backend == "impedance":
                options |= {
                    "joint_stiffness": list(config.joint_stiffness),
                    "joint_damping": list(config.joint_damping),
                    "velocity_feedforward": config.velocity_feedforward,
                    "leash": config.leash_rad,
                    "torque_cutoff": config.torque_cutoff_hz,
                }
        try:
            control = self.robot.joint_targets(fraction=config.limits_share, max_deviation=ANYWHERE_RAD, **options)
        except Exception as error:
            self._ended = _Ended(f"control did not begin: {_one_line(error)}; genima recover", level=Level.ERROR)
            return
        self._follower, self._ended = TrajectoryFollower(np.array(self.robot.read_once().q)), None
        self._control = control

    def _read(self) -> None:
        control = self._control
        if control is None:
            self._take(self.robot.read_once())
            return
        state = control.state()
        self._take(state)
        self.sent.add(state)
        if not control.running:
            self._end_control()
        else:
            self._closing.wait(READ_S)

    def _take(self, state: Any) -> None:
        if self.reading is None or state.time != self.reading.time_s:
            q, dq = np.array(state.q, np.float64), np.array(state.dq, np.float64)
            self.reading = Reading(q, dq, state.time, self._clock_s(), state.control_command_success_rate)
        self._mode = state.robot_mode if state.robot_mode in MODES else "other"
        self._errors = tuple(state.current_errors)
        self._last_errors = tuple(state.last_motion_errors)

    def _end_control(self) -> None:
        """It has ended, or is to: the arm comes to rest, and the reason is kept."""
        control, self._control, self._follower = self._control, None, None
        if control is None:
            return
        reason, errors = "it was ended", ()  # type: tuple[str, tuple[str, ...]]
        try:
            control.stop()
        except Exception as error:
            errors = tuple(getattr(error, "errors", None) or ())
            reason = ", ".join(errors) or _one_line(error)
        self.aborted[reason] = self.aborted.get(reason, 0) + 1
        advice = read_status(MODES.index("reflex"), errors).message if errors else f"control ended: {reason}"
        self._ended = _Ended(f"{advice}; then genima recover", "reflex" if errors else "idle", Level.ERROR)

    def _lose(self, why: str) -> None:
        self._control = self._follower = self.robot = None
        self._connecting_since_s = self._clock_s()
        self._ended = _Ended("the connection was lost and is back; genima recover", level=Level.ERROR)
        self._why_not = (
            f"the connection to {self.config.robot_ip} was lost: {why}; look at the cable and the control box"
        )

    def _serve_requests(self) -> None:
        while True:
            try:
                request = self._requests.get_nowait()
            except queue.Empty:
                return
            try:
                request.set_result(self._recover())
            except Exception as error:
                request.set_exception(RuntimeError(f"not recovered: {_one_line(error)}"))

    def _recover(self) -> str:
        if self._control is not None:
            return "there was no error"
        self._take(self.robot.read_once())
        if self._mode in ("user_stopped", "guiding"):
            raise RuntimeError(read_status(MODES.index(self._mode), self._errors).message)
        if self._errors or self._mode == "reflex":
            self.robot.automatic_error_recovery()
        self._begin()
        if self._control is None:
            raise RuntimeError(self._ended.text if self._ended else "control did not begin")
        end_s = self._clock_s() + BEGIN_S
        while self._mode != "move":
            self._read()
            if self._control is None or self._clock_s() > end_s:
                raise RuntimeError(self.status.message)
        return "recovered: it holds where it is"

    # ---- parts

    def _rows(self, follower: TrajectoryFollower, now_s: float, until_s: float) -> np.ndarray:
        """Targets (n, 7), one each `ROW_S` from now on; the last is where the arm comes to rest.

        The package goes to each target as if to stay there. So each is put ahead of the trajectory by as far as that
        stop takes, and by what a joint lags behind because its damping brakes it.
        """
        q, dq = follower.samples(now_s + np.arange(0.0, until_s + ROW_S, ROW_S))
        speed, limits, share = np.abs(dq), self.arm.limits, self.config.limits_share
        a, j = limits.acceleration * share, limits.jerk * share
        ahead = np.where(speed >= a * a / j, speed / 2 * (speed / a + a / j), speed * np.sqrt(speed / j)) * np.sign(dq)
        if self.config.backend == "impedance" and not self.config.velocity_feedforward:
            ahead = ahead + dq * np.divide(self.config.joint_damping, self.config.joint_stiffness)
        return self.arm.clip(q + ahead, INSIDE_RAD)

    def _unreached(self) -> str:
        since_s = self._connecting_since_s
        if since_s is not None and self._clock_s() - since_s > NO_ANSWER_S:
            text = f"{self.config.robot_ip} has not answered for {self._clock_s() - since_s:.0f} s"
            return f"{text}: another program is connected to it, or it is not an arm's control box; end the other one"
        return self._why_not or f"connecting to {self.config.robot_ip}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _remedy(error: BaseException) -> str:
    """What to do about an arm that is not reached."""
    kind = getattr(error, "kind", "")
    remedies: Mapping[str, str] = {
        "realtime": "install a real-time kernel; realtime:=ignore is for simulated arms",
        "network": "check robot_ip and the cable, and activate FCI in Desk",
        "incompatible_version": "its system version and this franka-rs do not fit: see its release notes",
    }
    if isinstance(error, RuntimeError):
        return "set arm to the one that is there (fr3_fci, panda_fci), or install what is missing"
    return remedies.get(kind, "check robot_ip, and that FCI is active in Desk")
