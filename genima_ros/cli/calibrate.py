"""`genima calibrate`: the board, samples of a running cell, the cameras' places, the rig file, and a check of it."""

import sys
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import tyro
from PIL import Image
from rich.console import Console

from genima_core.calibration.board import MARGIN_SQUARES, Board
from genima_core.calibration.samples import CollectSession, Moment, SampleSet
from genima_core.calibration.store import Calib, check_intrinsics, find_doubt, placed
from genima_core.cameras import CameraRig
from genima_core.files import write_json
from genima_core.geometry import distance
from genima_core.pixels import tile
from genima_ros.arms import find_arm
from genima_ros.cli.terminal.keyboard import Keyboard
from genima_ros.cli.up import terminate_as_interrupt
from genima_ros.graph.domain import join_domain
from genima_ros.share import CALIBRATION

if TYPE_CHECKING:
    from genima_core.calibration.solution import Solution

PRACTICE_VIEWS, PRACTICE_PX = 15, 640
PRACTICE_TRIES = 8
"""Poses for each sample that is wanted of a camera: the arm may hide the board."""
PRACTICE_SPEED = 1.0
"""Of the fastest joint, rad/s."""
SAMPLES, RIG = CALIBRATION / "samples", CALIBRATION / "rig.json"
DEFAULT_BOARD = Board()
INCH_M = 0.0254
SPIN_S = 0.05
OPACITY = 0.55
"""The joint must show through its sphere."""
CAMERAS = ("wrist", "front", "right_shoulder", "left_shoulder")


def board(out: Path = CALIBRATION / "board.png", dpi: int = 300, board: Board = DEFAULT_BOARD) -> None:
    """Writes the ChArUco board as a picture to print.

    Print it at 100 %, not fitted to the page.

    Example: genima calibrate board --out calibration/board.pdf

    Args:
        out: A .png or .pdf file; both say how large they are to be printed.
        dpi: Pixels per inch of the print.
        board: The board; after printing measure a square, and give its true length when collecting.
    """
    if out.suffix not in (".png", ".pdf"):
        raise ValueError(f"{out} must end in .png or .pdf")
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(board.picture(dpi / INCH_M)).convert("1").save(out, dpi=(dpi, dpi), resolution=dpi)
    width, height = (1e3 * (size + 2 * MARGIN_SQUARES * board.square_m) for size in board.size_m)
    then = f"glue it onto something stiff and flat, and measure a square: {1e3 * board.square_m:.1f} mm is assumed"
    print(f"{out}: print it at 100 % ({width:.0f} x {height:.0f} mm, {dpi} dpi), {then}")


def collect(
    folder: tyro.conf.Positional[Path] = SAMPLES,
    cameras: tuple[str, ...] = CAMERAS,
    board: Board = DEFAULT_BOARD,
    auto: bool = False,
    count: int = 0,
    sim: bool = False,
    arm: str = "sim",
    arm_namespace: str = "",
    domain: int | None = None,
) -> int:
    """Takes samples of a running cell, the board in view.

    A sample is what the cameras see of the board while the arm is at rest. You move the arm, by hand or by
    teleoperation, 15 times or more; turn the hand differently each time. For cameras at the base the hand holds the
    board; for a camera on the hand the board lies on the table, where nobody may move it. Keys: space takes a sample, u
    deletes the last one, q ends. Exit status 0 if a sample was taken.

    With --sim you need neither arm nor board: a simulated arm shows a board to its cameras by itself, and where these
    really are stands in rig.json beside the samples.

    Example: genima calibrate collect samples --arm fr3 --auto

    Args:
        folder: Where the samples are, or will be; numbering continues after existing ones.
        cameras: Names of the cameras; each may see the board or not.
        board: The printed board, with lengths as measured.
        auto: Takes a sample whenever the arm comes to rest at a new pose where a camera sees the board.
        count: Ends after this many; 0 continues until q, and with --sim until each camera has 15.
        sim: In a separate simulated cell, for practice; name cameras of one mount.
        arm: A name in config/arms (fr3, panda, sim), or a file like those; as of `genima up real`.
        arm_namespace: Namespace of the arm's driver.
        domain: ROS domain; by default ROS_DOMAIN_ID.
    """
    from genima_ros.clients.calibration_client import CalibrationLink  # not at the top: `--help` works without ROS

    if sim:
        return _practise(folder, cameras, count or PRACTICE_VIEWS, domain)
    setup = find_arm(arm)
    session = CollectSession(folder, board, setup.arm)
    with CalibrationLink(join_domain(domain), cameras, setup, arm_namespace) as link, Keyboard(sys.stdin) as keyboard:
        link.wait_ready()
        print(f"samples go to {folder}; space takes one, u deletes the last one, q ends", flush=True)
        while not (count and len(session.taken) >= count):
            link.spin(SPIN_S)
            keys = keyboard.read()
            if "u" in keys:
                print(session.undo(), flush=True)
            if " " in keys:
                moment = link.moment()
                print(f"no sample: {link.why_not()}" if moment is None else session.take(moment), flush=True)
            elif auto and link.q is not None and session.is_new(link.q) and (moment := link.moment()) is not None:
                print(session.take(moment), flush=True)
            if "q" in keys:
                break
    print(f"{len(session.taken)} samples taken; next: genima calibrate solve {folder}", flush=True)
    return 0 if session.taken else 1


def _practise(folder: Path, cameras: tuple[str, ...], count: int, domain: int | None) -> int:
    """Samples of a simulated cell, until each camera has `count`: its arm goes from one random pose to the next."""
    from genima_core.calibration.simulated import board_for, poses_that_show  # not at the top: --help needs no MuJoCo
    from genima_core.sim.scene import default_rig
    from genima_ros.cli.replay import start_cell
    from genima_ros.clients.calibration_client import CalibrationLink

    rig, setup = default_rig(PRACTICE_PX, PRACTICE_PX), find_arm("sim")
    mounts = {rig[name].mount for name in cameras}
    if len(mounts) > 1:
        hand = ", ".join(name for name in rig.names if rig[name].mount == "hand")
        raise ValueError(f"{hand} needs the board on the table, the others in the hand: name one group with --cameras")
    session, rng = CollectSession(folder, DEFAULT_BOARD, rig.arm), np.random.default_rng(0)
    rig.save(folder / "rig.json")
    with terminate_as_interrupt(), ExitStack() as stack:
        place = "table" if "hand" in mounts else "hand"
        replayer = start_cell(stack, domain, board=place, size=str(PRACTICE_PX), fps="5", seed="20000")
        link = stack.enter_context(CalibrationLink(replayer.domain, cameras, setup))
        link.wait_ready()
        replayer.wait_ready()
        for _ in range(PRACTICE_TRIES * count):
            camera = min(cameras, key=lambda name: session.views[name])
            if session.views[camera] >= count:
                break
            (q,) = poses_that_show(rig.arm, rig[camera], DEFAULT_BOARD, board_for(rig[camera], DEFAULT_BOARD), rng, 1)
            way, step_s = replayer.way_to(q, PRACTICE_SPEED)
            replayer.follow(way, None, step_s)
            print(session.take(link.wait_moment(replayer.now_s())), flush=True)
    print(f"{len(session.taken)} samples taken; next: genima calibrate solve {folder} --rig {folder / 'rig.json'}")
    return 0 if session.taken else 1


def solve(
    samples: tyro.conf.Positional[Path] = SAMPLES,
    rig: Path = RIG,
    cameras: tuple[str, ...] = (),
    out: Path | None = None,
    json: Path | None = None,
) -> int:
    """Says where the cameras are, and how certain that is.

    Takes the samples of `genima calibrate collect`. Exit status 0 if no camera is missing and no verdict is "bad".

    Example: genima calibrate solve calibration/samples

    Args:
        samples: Folder of samples.
        rig: rig.json, which says what each camera is mounted on; it is not changed.
        cameras: Names of the cameras to solve; all of the rig by default.
        out: Where to write the solution; solution.json in the samples' folder by default.
        json: File for what is shown; verdict.json beside the solution by default.
    """
    from genima_core.calibration import solution as core  # not at the top: scipy takes long to load
    from genima_core.calibration.verdict import disagreements, judge, unseen
    from genima_ros.cli.terminal.calibration_table import row_of, table_of

    taken, known = SampleSet.load(samples), load_rig(rig)
    wanted = cameras or known.names
    solutions, problems = {}, list(unseen(taken, wanted))
    for camera in [known[name] for name in wanted]:
        if camera.name in taken.cameras:
            try:
                solutions[camera.name] = core.solve(camera, taken)
            except ValueError as error:
                problems.append(f"camera {camera.name!r}: {error}")
    problems += disagreements(solutions)
    verdicts = {name: judge(solution) for name, solution in solutions.items()}
    rows = [row_of(solution, verdicts[name], known) for name, solution in solutions.items()]
    if rows:
        Console().print(table_of(rows))
    for line in (*(f"{name}: {line}" for name, verdict in verdicts.items() for line in verdict.advice), *problems):
        print(line)
    out = out or samples / "solution.json"
    if solutions:
        core.save_solutions(solutions, out)
        print(f"solution: {out}\nnext: genima calibrate install {out} --rig {rig}", flush=True)
    write_json(json or out.with_name("verdict.json"), {"rows": rows, "problems": problems})
    return 1 if problems or any(verdict.grade == "bad" for verdict in verdicts.values()) else 0


def install(
    sources: tyro.conf.Positional[tuple[Path, ...]],
    rig: Path = RIG,
    out: Path | None = None,
    calib: Path | None = None,
    force: bool = False,
) -> None:
    """Puts extrinsics into a rig and .calib files.

    The rig gets a new fingerprint: data sets and checkpoints made with the old one still belong to the old one.

    Example: genima calibrate install calibration/samples/solution.json

    Args:
        sources: solution.json of `genima calibrate solve`, or .calib files named after the rig's cameras.
        rig: rig.json to change.
        out: Where to write the changed rig; by default it replaces the old one, and a copy of that is kept.
        calib: Folder for the .calib files; the rig's by default, ~/.ros2/easy_handeye2/calibrations for its publisher.
        force: Installs solutions whose verdict is "bad" as well, and poses from which the arm is not seen.
    """
    from genima_core.calibration.solution import load_solutions
    from genima_core.calibration.verdict import judge

    if not sources:
        raise ValueError("nothing to install; give a solution.json or .calib files")
    before = load_rig(rig)
    poses: dict[str, tuple[str, np.ndarray]] = {}
    stored: dict[str, Calib] = {}
    for source in sources:
        if source.suffix == ".calib":
            given = Calib.load(source)
            mm, deg = distance(poses.get(given.name, ("", given.T_mount_cam()))[1], given.T_mount_cam())
            if max(mm, deg) > 1e-3:
                other = f"is another calibration of camera {given.name!r}, {mm:.1f} mm and {deg:.2f} degrees away"
                raise ValueError(f"{source} {other}: give one of them")
            if source.stem != given.name:
                print(f"{source} calibrates camera {given.name!r}, by the name in it")
            poses[given.name], stored[given.name] = (given.mount, given.T_mount_cam()), given
            continue
        for name, solution in load_solutions(source).items():
            verdict = judge(solution)
            if verdict.grade == "bad" and not force:
                bad = f"the solution of camera {name!r} is bad: {'; '.join(verdict.advice)}"
                raise ValueError(f"{source}: {bad} (--force installs it anyway)")
            check_intrinsics(before, {name: solution.intrinsics})
            poses[name] = (solution.mount, solution.T_mount_cam)
    after, out = placed(before, poses), out or rig
    for name in poses:
        if (doubt := find_doubt(after[name], after.arm)) and not force:
            raise ValueError(f"camera {name!r} is not installed: {doubt} (--force installs it anyway)")
    if out == rig and after.fingerprint() != before.fingerprint():
        kept = rig.with_name(f"{rig.stem}.{before.fingerprint()}{rig.suffix}")
        before.save(kept)
        print(f"the old rig is kept: {kept}")
    after.save(out)
    for name in poses:
        mm, deg = distance(before[name].T_mount_cam, after[name].T_mount_cam)
        file = (calib or out.parent) / f"{name}.calib"
        if file.resolve() not in {source.resolve() for source in sources}:
            written = Calib.of(after[name], after.arm)
            if its := stored.get(name):
                camera, marker = its.tracking_base_frame, its.tracking_marker_frame
                written = replace(written, tracking_base_frame=camera, tracking_marker_frame=marker)
            written.save(file)
        print(f"{name}: moved by {mm:.1f} mm, {deg:.2f} degrees; {file}")
    print(f"{out}: fingerprint {before.fingerprint()} became {after.fingerprint()}")


def check(
    rig: Path = RIG,
    out: Path = CALIBRATION / "check.png",
    samples: Path | None = None,
    solution: Path | None = None,
    board: Board = DEFAULT_BOARD,
    arm: str = "sim",
    arm_namespace: str = "",
    limit_px: float = 3.0,
    limit_mm: float = 10.0,
    domain: int | None = None,
    json: Path | None = None,
) -> int:
    """Shows the arm's spheres over live images, and measures drift of the cameras.

    Drift is measured where the board is seen.

    Example: genima calibrate check --rig rig.json

    Exit status 1 if anything measured exceeds a limit.

    Args:
        rig: rig.json to check.
        out: The picture.
        samples: Instead of the live cell, a folder of samples taken since: each camera's drift from all of them.
        solution: solution.json of the calibration, if the board is still fixed as it was then.
        board: The board that may be in view.
        arm: A name in config/arms (fr3, panda, sim), or a file like those; as of `genima up real`.
        arm_namespace: Namespace of the arm's driver.
        limit_px: Of the corners' errors.
        limit_mm: Of the cameras' and the board's errors.
        domain: ROS domain; by default ROS_DOMAIN_ID.
        json: Writes what was measured to this file.
    """
    from genima_core.calibration.solution import load_solutions

    stored = load_rig(rig)
    if samples is not None:
        rows = _check_samples(stored, SampleSet.load(samples))
    else:
        solutions, setup = {} if solution is None else load_solutions(solution), find_arm(arm)
        if (own := stored.arm.name) != setup.arm.name:
            raise ValueError(f"{rig} is of arm {own}, this cell has {setup.arm.name}: correct `arm` in it, or --arm")
        from genima_ros.clients.calibration_client import CalibrationLink

        with CalibrationLink(join_domain(domain), stored.names, setup, arm_namespace) as link:
            link.wait_ready()
            moment = link.wait_moment()
        rows = _check_live(stored, out, solutions, board, moment)
    for row in rows:
        print(row["text"])
    write_json(json, {"rows": rows})
    if not rows:
        print("no camera sees the board, so no drift was measured; look at the picture")
    off = [row["name"] for row in rows if row["px"] > limit_px or (row["mm"] or 0.0) > limit_mm]
    if off:
        print(f"beyond {limit_px:g} px or {limit_mm:g} mm: {', '.join(off)}; calibrate again", flush=True)
    return 1 if off else 0


def load_rig(path: Path) -> CameraRig:
    """FileNotFoundError if there is none, ValueError if it is damaged."""
    if not path.is_file():
        remedy = "name one with --rig, or copy a data set's meta/rig.json or a checkpoint's rig.json there"
        raise FileNotFoundError(f"there is no rig {path}; {remedy}")
    return CameraRig.load(path)


def _check_samples(rig: CameraRig, samples: SampleSet) -> list[dict]:
    from genima_core.calibration.verdict import drift

    rows = []
    for found in (drift(camera, samples) for camera in rig.cameras if camera.name in samples.cameras):
        moved = "too few different views to tell how far it moved"
        if found.mm is not None:
            moved = f"solved again it is {found.mm:.1f} mm and {found.deg:.2f} degrees away"
        off = f"{found.px:.1f} px off the stored extrinsics (rms, {found.views} views)"
        rows.append({"name": found.camera, **asdict(found), "text": f"{found.camera}: corners {off}; {moved}"})
    return rows


def _check_live(
    rig: CameraRig, out: Path, solutions: Mapping[str, "Solution"], board: Board, moment: Moment
) -> list[dict]:
    from genima_core.calibration.verdict import cameras_apart, from_known_board

    check_intrinsics(rig, moment.cameras)
    resized = (replace(c, intrinsics=c.intrinsics.resize(*moment.cameras[c.name].size)) for c in rig.cameras)
    rig = replace(rig, cameras=tuple(resized))
    _write_overlay(rig, moment, out)
    sample = moment.sample(rig.arm, board, "now")
    rows = []
    for name in sample.views:
        if name in solutions:
            px, mm = from_known_board(rig[name], sample, board, solutions[name].T_other_board)
            text = f"{name}: {px:.1f} px, {mm:.1f} mm from where the board was calibrated"
            rows.append({"name": name, "px": px, "mm": mm, "text": text})
    for pair in cameras_apart(rig, sample, board):
        name = f"{pair.first} and {pair.second}"
        text = f"{name} see the board {pair.px:.1f} px, {pair.mm:.1f} mm apart"
        rows.append({"name": name, "px": pair.px, "mm": pair.mm, "text": text})
    return rows


def _write_overlay(rig: CameraRig, moment: Moment, out: Path) -> None:
    """All views with the spheres where forward kinematics and the rig put the arm: they should sit on the joints."""
    from genima_core.targets.draw import over_observation
    from genima_core.targets.renderer import TargetRenderer  # not at the top: rendering needs the extra "sim"

    pictures = np.stack([moment.images[name] for name in rig.names])
    with closing(TargetRenderer(rig)) as renderer:
        spheres = over_observation(renderer.render(moment.q, moment.q, moment.opening), pictures)
    picture = cv2.addWeighted(tile(spheres), OPACITY, tile(pictures), 1 - OPACITY, 0.0)
    out.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(out), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
        raise OSError(f"cannot write {out}; the name must end in .png")
    print(f"{out}: each sphere should sit on its joint, in all views")


VERBS = (board, collect, solve, install, check)
