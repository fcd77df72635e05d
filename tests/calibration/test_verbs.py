import io
import json
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from genima_core.arm import FR3, PANDA
from genima_core.calibration.samples import Sample, SampleSet
from genima_core.calibration.simulated import board_for, simulate
from genima_core.calibration.solution import solve
from genima_core.calibration.store import Calib
from genima_core.calibration.verdict import judge
from genima_core.cameras import CameraRig, PinholeCamera
from genima_core.geometry import make_transform
from genima_ros.cli import main as cli
from genima_ros.cli.terminal.calibration_table import row_of, table_of


@pytest.fixture(scope="module")
def samples(rig, board) -> SampleSet:
    """The wrist's and the front camera's, as one session would take them one after the other."""
    taken: list[Sample] = []
    for seed, name in enumerate(("wrist", "front")):
        found = simulate(PANDA, rig[name], board, board_for(rig[name], board), np.random.default_rng(seed))
        taken += [
            Sample.at(PANDA, f"sample_{len(taken) + i:03d}", s.stamp_s, s.q, s.views)
            for i, s in enumerate(found.samples)
        ]
    return SampleSet(board, tuple(taken))


@pytest.fixture
def cell(rig, samples, tmp_path):
    """A folder with samples and with the rig as somebody guessed it."""
    samples.save(tmp_path / "samples")
    shift = make_transform(np.eye(3), np.array([0.01, 0.0, 0.0]))
    CameraRig(tuple(replace(c, T_mount_cam=shift @ c.T_mount_cam) for c in rig.cameras)).save(tmp_path / "rig.json")
    return tmp_path


def run(*arguments) -> int:
    return cli.run(["calibrate", *map(str, arguments)])


def test_from_samples_to_a_rig(rig, cell, capsys):
    assert (
        run(
            "solve",
            cell / "samples",
            "--rig",
            cell / "rig.json",
            "--cameras",
            "wrist",
            "front",
            "--json",
            cell / "solve.json",
        )
        == 0
    )
    rows = json.loads((cell / "solve.json").read_text())["rows"]
    assert [row["name"] for row in rows] == ["wrist", "front"]
    assert all(row["verdict"] == "good" and row["moved_mm"] == pytest.approx(10.0, abs=2.0) for row in rows)
    before = CameraRig.load(cell / "rig.json")
    assert run("install", cell / "samples" / "solution.json", "--rig", cell / "rig.json") == 0
    after = CameraRig.load(cell / "rig.json")
    assert after.fingerprint() != before.fingerprint()
    for name in ("wrist", "front"):
        np.testing.assert_allclose(after[name].T_mount_cam, rig[name].T_mount_cam, atol=0.002)
        np.testing.assert_allclose(Calib.load(cell / f"{name}.calib").T_mount_cam(), after[name].T_mount_cam, atol=1e-9)
    np.testing.assert_array_equal(after["left_shoulder"].T_mount_cam, before["left_shoulder"].T_mount_cam)
    assert CameraRig.load(cell / f"rig.{before.fingerprint()}.json").fingerprint() == before.fingerprint()
    assert f"fingerprint {before.fingerprint()} became {after.fingerprint()}" in capsys.readouterr().out


def test_a_calib_file_is_installed_elsewhere(rig, cell):
    Calib.of(rig["front"], marker_frame="my_board").save(cell / "given.calib")
    replace(CameraRig.load(cell / "rig.json"), arm=FR3).save(cell / "rig.json")
    before = (cell / "rig.json").read_bytes()
    assert (
        run(
            "install",
            cell / "given.calib",
            "--rig",
            cell / "rig.json",
            "--out",
            cell / "new.json",
            "--calib",
            cell / "calibrations",
        )
        == 0
    )
    np.testing.assert_allclose(CameraRig.load(cell / "new.json")["front"].T_mount_cam, rig["front"].T_mount_cam)
    assert (cell / "rig.json").read_bytes() == before
    written = Calib.load(cell / "calibrations" / "front.calib")
    assert (written.robot_base_frame, written.tracking_marker_frame) == (FR3.base_frame, "my_board")


def test_a_calib_file_beside_the_rig_stays_as_it_is(rig, cell, capsys):
    Calib.of(rig["front"], marker_frame="my_board").save(cell / "front.calib")
    before = (cell / "front.calib").read_bytes()
    assert run("install", cell / "front.calib", "--rig", cell / "rig.json") == 0
    assert (cell / "front.calib").read_bytes() == before
    np.testing.assert_allclose(CameraRig.load(cell / "rig.json")["front"].T_mount_cam, rig["front"].T_mount_cam)


def test_two_calib_files_of_one_camera_must_agree(rig, cell, capsys):
    front = Calib.of(rig["front"])
    front.save(cell / "old.calib")
    front.save(cell / "same.calib")
    there = front.T_robot_cam.copy()
    there[0, 3] += 0.5
    replace(front, T_robot_cam=there).save(cell / "new.calib")
    before = (cell / "rig.json").read_bytes()
    assert run("install", cell / "old.calib", cell / "new.calib", "--rig", cell / "rig.json") == 1
    told = capsys.readouterr()
    assert "old.calib calibrates camera 'front', by the name in it" in told.out
    assert "new.calib is another calibration of camera 'front', 500.0 mm and 0.00 degrees away" in told.err
    assert (cell / "rig.json").read_bytes() == before
    assert run("install", cell / "old.calib", cell / "same.calib", "--rig", cell / "rig.json") == 0


def test_a_pose_that_no_camera_can_have_is_installed_only_by_force(rig, cell, capsys):
    replace(Calib.of(rig["front"]), T_robot_cam=np.eye(4)).save(cell / "front.calib")
    before = (cell / "rig.json").read_bytes()
    assert run("install", cell / "front.calib", "--rig", cell / "rig.json") == 1
    assert "camera 'front' is not installed: its pose in the base is the identity" in capsys.readouterr().err
    assert (cell / "rig.json").read_bytes() == before
    assert run("install", cell / "front.calib", "--rig", cell / "rig.json", "--force") == 0


def test_the_rig_of_another_arm_is_not_checked(cell, capsys):
    assert run("check", "--rig", cell / "rig.json", "--arm", "fr3") == 1
    assert "is of arm panda, this cell has fr3" in capsys.readouterr().err


def test_cameras_that_never_saw_the_board_fail(cell, capsys):
    assert run("solve", cell / "samples", "--rig", cell / "rig.json") == 1
    output = capsys.readouterr().out
    assert "camera 'right_shoulder' never saw the board in 30 samples" in output
    assert "it was seen by wrist 15 times, front 15 times:" in output


def test_too_few_views_fail_and_are_not_installed(cell, samples, capsys):
    SampleSet(samples.board, samples.samples[:5]).save(cell / "few")
    assert run("solve", cell / "few", "--rig", cell / "rig.json", "--cameras", "wrist") == 1
    output = capsys.readouterr().out
    assert "too few views: " in output or "determine nothing" in output, output
    before = (cell / "rig.json").read_bytes()
    assert run("install", cell / "few" / "solution.json", "--rig", cell / "rig.json") == 1
    assert "--force" in capsys.readouterr().err
    assert (cell / "rig.json").read_bytes() == before
    assert run("install", cell / "few" / "solution.json", "--rig", cell / "rig.json", "--force") == 0
    SampleSet(samples.board, samples.samples[:2]).save(cell / "two")
    assert run("solve", cell / "two", "--rig", cell / "rig.json", "--cameras", "wrist") == 1
    assert "camera 'wrist': 2 views of the board do not determine" in capsys.readouterr().out


def test_a_rig_with_other_intrinsics_is_refused(cell, capsys):
    assert run("solve", cell / "samples", "--rig", cell / "rig.json", "--cameras", "wrist") == 0
    square = CameraRig.load(cell / "rig.json").resize(256, 256)
    other = (replace(camera, intrinsics=replace(camera.intrinsics, fx=300.0)) for camera in square.cameras)
    CameraRig(tuple(other)).save(cell / "r.json")
    assert run("install", cell / "samples" / "solution.json", "--rig", cell / "r.json") == 1
    assert "not the same picture resized" in capsys.readouterr().err


def test_drift_since_the_calibration(rig, cell, capsys):
    rig.save(cell / "true.json")
    assert run("check", "--rig", cell / "true.json", "--samples", cell / "samples") == 0
    assert run("check", "--rig", cell / "rig.json", "--samples", cell / "samples", "--json", cell / "check.json") == 1
    assert "calibrate again" in capsys.readouterr().out
    rows = json.loads((cell / "check.json").read_text())["rows"]
    assert [row["mm"] for row in rows] == pytest.approx([10.0, 10.0], abs=2.0)


def test_the_board_is_printed_to_scale(board, tmp_path, capsys):
    assert run("board", "--out", tmp_path / "board.png") == 0
    picture = cv2.imread(str(tmp_path / "board.png"), cv2.IMREAD_GRAYSCALE)
    width_m = picture.shape[1] / 300 * 0.0254
    assert width_m == pytest.approx((board.columns + 0.5) * board.square_m, rel=0.01)
    assert width_m < 0.297, "fits A4"
    camera = PinholeCamera.from_fov(*picture.shape[::-1], 1.0)
    assert len(board.detect(picture, camera).ids) == len(board.corners)
    assert "measure a square" in capsys.readouterr().out
    with Image.open(tmp_path / "board.png") as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert run("board", "--out", tmp_path / "board.pdf") == 0
    box = re.search(rb"/MediaBox \[ 0 0 ([0-9.]+) ([0-9.]+) \]", (tmp_path / "board.pdf").read_bytes())
    assert float(box[1]) / 72 * 0.0254 == pytest.approx(width_m, rel=1e-3)
    assert run("board", "--out", tmp_path / "board.txt") == 1
    assert "must end in .png or .pdf" in capsys.readouterr().err


def test_the_table_of_four_cameras_is_legible_in_80_columns(rig, samples):
    solution = solve(rig["front"], samples)
    rows = [{**row_of(solution, judge(solution), rig), "name": name} for name in rig.names]
    shown = io.StringIO()
    Console(file=shown, width=80).print(table_of(rows))
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= 80 and "…" not in shown.getvalue()
    assert all(name in lines[0] for name in rig.names)
    assert lines[-1].split() == ["verdict", "good", "good", "good", "good"]
    assert any(line.startswith("leave one out px") and line.count("(") == 4 for line in lines)


def test_by_default_everything_lies_in_the_folder_calibration(cell, monkeypatch):
    monkeypatch.chdir(cell)
    (cell / "calibration").mkdir()
    for name in ("samples", "rig.json"):
        (cell / name).rename(cell / "calibration" / name)
    assert run("board") == 0
    assert run("solve", "--cameras", "wrist", "front") == 0
    assert run("install", "calibration/samples/solution.json") == 0
    there = {str(path.relative_to(cell / "calibration")) for path in (cell / "calibration").rglob("*.*")}
    assert {"board.png", "front.calib", "wrist.calib", "samples/solution.json", "samples/verdict.json"} <= there
    verdict = json.loads((cell / "calibration/samples/verdict.json").read_text())
    assert [row["verdict"] for row in verdict["rows"]] == ["good", "good"]


def test_no_source_is_refused(cell, capsys):
    assert run("install", "--rig", cell / "rig.json") == 1
    assert "nothing to install" in capsys.readouterr().err
