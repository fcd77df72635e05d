"""What is said of a cell that was seen: nothing against a good one, and the right thing of each bad one."""

from dataclasses import replace

import numpy as np
import pytest

from genima_core.arm import PANDA
from genima_core.cameras import PinholeCamera
from genima_core.checkpoint import Checkpoint, CheckpointInfo
from genima_core.preflight import ArmSeen, CameraSeen, CellSeen, Stream, Wanted, judge
from genima_core.sim.scene import default_rig
from genima_core.streaming.states import Reason, State, Status
from genima_core.targets.gate import GateState

RIG = default_rig(64, 64)
NODES = ("streamer", "diffusion", "controller")
SETTINGS = {
    "streamer": {"execution": "sync", "arm": "sim", "velocity_scale": 0.1},
    "diffusion": {"checkpoint": "/models/a", "slack_s": 0.06},
    "controller": {"checkpoint": "/models/a", "arm": "sim"},
}
WAITS = Status(State.HOLDING, Reason.WAITING, "Waiting for a chunk.")


def stream(rate_hz: float, begin_s: float = 100.0, age_s: float = 0.01, count: int = 50, publishers: int = 1) -> Stream:
    return Stream(list(begin_s + np.arange(count) / rate_hz), [age_s] * count, publishers)


@pytest.fixture
def wanted(tmp_path) -> Wanted:
    info = CheckpointInfo(
        1, "demo", ("push_button",), ("push the button",), 20, 0.05, 64, RIG.fingerprint(), "abc", (1,), "def"
    )
    return Wanted(Checkpoint(tmp_path, info, RIG), RIG.names, NODES, PANDA, "sim", simulated=False)


@pytest.fixture
def seen() -> CellSeen:
    cameras = {
        camera.name: CameraSeen(stream(10.0, 100.0 + 0.01 * i), (64, 64), 0, camera.intrinsics)
        for i, camera in enumerate(RIG.cameras)
    }
    arm = ArmSeen(stream(100.0, 99.0, count=700), (*PANDA.joint_names, "other"), np.tile(PANDA.home, (700, 1)), (0, ""))
    return CellSeen(
        cameras,
        arm,
        RIG,
        WAITS,
        Status(GateState.OPEN),
        "push the button",
        12,
        {"streamer": "", "diffusion": "", "controller": "", "markers": ""},
        SETTINGS,
    )


def camera(seen: CellSeen, **changes) -> CellSeen:
    return replace(seen, cameras={**seen.cameras, "front": replace(seen.cameras["front"], **changes)})


def arm(seen: CellSeen, **changes) -> CellSeen:
    return replace(seen, arm=replace(seen.arm, **changes))


def settings(seen: CellSeen, node: str, **changes) -> CellSeen:
    return replace(seen, settings={**SETTINGS, node: SETTINGS[node] | changes})


def test_nothing_is_said_against_a_good_cell(seen, wanted):
    findings = list(judge(seen, wanted))
    assert {finding.status for finding in findings} == {"ok"}
    assert len(findings) == 13


MOVED = RIG["front"].T_mount_cam.copy()
MOVED[0, 3] += 0.012
TURNED_RIG = type(RIG)(RIG.cameras[::-1])
MOVED_RIG = type(RIG)(tuple(replace(c, T_mount_cam=MOVED) if c.name == "front" else c for c in RIG.cameras))


@pytest.mark.parametrize(
    ("change", "name", "status", "words"),
    [
        (
            lambda s: replace(s, cameras={k: v for k, v in s.cameras.items() if k != "front"}),
            "camera front",
            "failed",
            "nothing comes",
        ),
        (lambda s: camera(s, pictures=stream(10.0, publishers=2)), "camera front", "failed", "2 publishers"),
        (lambda s: camera(s, pictures=stream(10.0, age_s=3.0)), "camera front", "failed", "3.000 s ago"),
        (lambda s: camera(s, pictures=stream(10.0, age_s=-3.0)), "camera front", "failed", "s ahead"),
        (lambda s: camera(s, size=(640, 480)), "camera front", "failed", "640x480"),
        (
            lambda s: camera(s, size=None, problems={"image": "image has encoding 'mono16'"}),
            "camera front",
            "failed",
            "mono16",
        ),
        (lambda s: camera(s, repeated=40), "camera front", "failed", "40 with the pixels"),
        (lambda s: camera(s, camera=PinholeCamera(64, 64, 90.0, 90.0, 31.5, 31.5)), "camera front", "failed", "focal"),
        (
            lambda s: camera(s, camera=PinholeCamera(640, 480, 600.0, 600.0, 320.0, 240.0)),
            "camera front",
            "failed",
            "640x480, not 64x64",
        ),
        (lambda s: camera(s, pictures=stream(2.0, count=10)), "camera front", "warning", "2 Hz"),
        (lambda s: camera(s, pictures=stream(10.0, 100.04)), "skew of cameras", "ok", "ms"),
        (lambda s: camera(s, pictures=stream(10.0, 110.0)), "skew of cameras", "failed", "ms"),
        (lambda s: replace(s, rig=None), "rig", "warning", "nobody publishes camera_rig"),
        (lambda s: replace(s, rig=TURNED_RIG), "rig", "ok", TURNED_RIG.fingerprint()),
        (lambda s: replace(s, rig=MOVED_RIG), "rig", "warning", "front: it is 12 mm and 0.0 degrees away"),
        (lambda s: arm(s, states=Stream()), "joint states", "failed", "nothing comes"),
        (lambda s: arm(s, names=("fr3_joint1",), q=[]), "joint states", "failed", "panda_joint1"),
        (lambda s: arm(s, q=[]), "joint states", "failed", "not finite"),
        (lambda s: arm(s, q=np.tile(PANDA.limits.upper + 0.1, (9, 1))), "joint states", "failed", "limit by 0.1"),
        (lambda s: arm(s, q=PANDA.home + np.linspace(0, 0.2, 9)[:, None]), "joint states", "warning", "moved by 0.2"),
        (lambda s: arm(s, states=stream(30.0, 99.0, count=210)), "joint states", "warning", "30 Hz"),
        (lambda s: arm(s, states=stream(5.0, 99.0)), "pictures to joint states", "failed", "median"),
        (lambda s: arm(s, states=stream(100.0, 500.0)), "pictures to joint states", "failed", "no picture"),
        (lambda s: arm(s, status=None), "arm", "failed", "nobody publishes arm_status"),
        (lambda s: arm(s, status=(2, "reflex")), "arm", "failed", "reflex"),
        (lambda s: arm(s, status=(1, "it is guided")), "arm", "failed", "guided"),
        (lambda s: replace(s, commanders=("/streamer", "/other")), "streamer", "failed", "/other"),
        (lambda s: replace(s, streamer=None), "streamer", "failed", "says nothing"),
        (lambda s: replace(s, streamer=Status(State.FAULT, Reason.DEVIATION, "why")), "streamer", "failed", "why"),
        (lambda s: replace(s, streamer=Status(State.TRACKING)), "streamer", "warning", "tracking"),
        (lambda s: replace(s, problems={"streamer": ""}), "nodes", "failed", "diffusion, controller"),
        (lambda s: replace(s, problems={**s.problems, "markers": "odd"}), "nodes", "warning", "markers: odd"),
        (lambda s: settings(s, "controller", checkpoint="/models/b"), "configuration", "failed", "/models/b"),
        (
            lambda s: settings(s, "controller", arm="fr3"),
            "configuration",
            "failed",
            "works with the arm fr3, not with sim",
        ),
        (lambda s: replace(s, instruction=""), "policy", "failed", "no instruction"),
        (lambda s: replace(s, instruction="pour milk"), "policy", "warning", "never taught 'pour milk'"),
        (lambda s: replace(s, gate=Status(GateState.CLOSED, Reason.DRAWING, "noise")), "policy", "failed", "noise"),
        (lambda s: replace(s, gate=None), "policy", "ok", "gate is off"),
        (lambda s: replace(s, drawings=0), "policy", "failed", "draws nothing"),
    ],
)
def test_what_is_wrong_is_found(seen, wanted, change, name, status, words):
    finding = next(finding for finding in judge(change(seen), wanted) if finding.name == name)
    assert finding.status == status
    assert words in finding.found
    assert bool(finding.remedy) == (status != "ok")


def test_of_nothing_at_all_everything_is_said(wanted):
    nothing = CellSeen({})
    assert [f.name for f in judge(nothing, wanted) if f.status == "failed"][:4] == [f"camera {n}" for n in RIG.names]


def test_joint_states_without_a_stamp_are_named(seen, wanted):
    unstamped = arm(seen, states=Stream((0.0,) * 9, (1.8e9,) * 9))
    finding = next(finding for finding in judge(unstamped, wanted) if finding.name == "joint states")
    assert (finding.status, finding.found) == ("failed", "it carries no stamp, or one of simulated time")
    assert "header.stamp" in finding.remedy


def test_teleoperation_needs_no_policy(seen, wanted):
    """What runs is asked for: no checkpoint, no drawings, cameras of any size."""
    teleop = replace(wanted, checkpoint=None, nodes=("streamer", "teleop"))
    seen = replace(camera(seen, size=(640, 480)), instruction="", drawings=0, problems={"streamer": "", "teleop": ""})
    findings = list(judge(seen, teleop))
    assert {finding.status for finding in findings} == {"ok"}
    assert "policy" not in {finding.name for finding in findings}
    no_cameras = list(judge(replace(seen, cameras={}), replace(teleop, cameras=())))
    assert {finding.status for finding in no_cameras} == {"ok"}


def test_lost_pictures_are_no_skew(seen, wanted):
    """An observer on busy cores loses two of three pictures of a camera."""
    kept = seen.cameras["front"].pictures
    sparse = camera(seen, pictures=Stream(kept.stamps_s[::3], kept.ages_s[::3]))
    assert next(f for f in judge(sparse, wanted) if f.name == "skew of cameras").status == "ok"


def test_simulated_pictures_may_repeat(seen, wanted):
    still = camera(seen, repeated=40)
    assert all(finding.status == "ok" for finding in judge(still, replace(wanted, simulated=True)))
