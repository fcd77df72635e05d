import json

import pytest

from genima_ros.cli import doctor
from genima_ros.graph import packages


@pytest.mark.slow
def test_the_report_names_what_is_missing(tmp_path, capsys):
    status = doctor.doctor(json=tmp_path / "doctor.json")
    report = json.loads((tmp_path / "doctor.json").read_text())
    missing = [check["name"] for check in report["checks"] if check["status"] == "missing"]
    assert (status == 0) == report["ok"] == (not missing)
    assert all(check["remedy"] for check in report["checks"] if check["status"] != "ok")
    shown = capsys.readouterr().out
    assert all(check["name"] in shown for check in report["checks"])


@pytest.mark.parametrize(("name", "code"), [("mujoco", doctor.MUJOCO_PROBE), ("pyrender", doctor.PYRENDER_PROBE)])
def test_rendering_is_really_tried(name, code):
    check = doctor.probe(name, code, doctor.GL_REMEDY)
    assert (check.status, check.remedy) == ("ok", ""), check.detail


@pytest.mark.ros
def test_a_message_passes_between_two_processes():
    check = doctor.loopback()
    assert check.status == "ok", check.detail


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        ("raise RuntimeError('no EGL')", "RuntimeError: no EGL"),
        ("import os; os._exit(7)", "exit status 7"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "exit status -9"),
    ],
)
def test_a_probe_that_fails_or_crashes_is_reported(code, detail):
    assert doctor.probe("rendering", code, "apt-get install x") == doctor.Check(
        "rendering", "missing", detail, "apt-get install x"
    )


def test_a_missing_checkpoint_comes_with_its_remedy(tmp_path):
    check = doctor.checkpoint(tmp_path / "demo")
    assert check.status == "missing"
    assert "checkpoints/demo" in check.remedy


def test_a_missing_package_names_its_extra():
    absent = packages.Package("mink", "==1.3.0", None)
    old = packages.Package("mink", "==1.3.0", "1.2.0")
    fits = packages.Package("torch", "==2.13.0", "2.13.0+cpu")
    assert [p.ok for p in (absent, old, fits)] == [False, False, True]


def test_every_extra_is_known():
    known = ["", "sim", "train", "record", "ros", "rosidl", "console", "view", "realsense"]
    known += ["franka", "rlbench", "ray", "dev", "docs"]
    assert list(packages.extras()) == known


def test_apt_names_follow_the_ros_that_is_sourced(monkeypatch):
    monkeypatch.setenv("ROS_DISTRO", "rolling")
    assert packages.apt_package("tf2_msgs") == "ros-rolling-tf2-msgs"
