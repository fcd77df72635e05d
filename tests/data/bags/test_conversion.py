"""Recordings become data sets: what each row holds, what is left out and why, and going on after interruptions."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from genima_core.arm import FR3, PANDA
from genima_core.cameras import CameraRig
from genima_core.data import conversion
from genima_core.data.bags.conversion import convert_recordings
from genima_core.data.bags.episodes import Options, open_recording
from genima_core.data.dataset import Dataset
from genima_core.data.layout import data_path
from genima_core.geometry import invert, transform_points

from .. import synthetic
from . import recorded
from .recorded import BEGUN_S, Plan


def run(source: Path, out: Path, **options) -> dict:
    return convert_recordings(source, out, Options(**options), show_progress=False)


def rig_file(folder, rig=None):
    (rig or synthetic.rig()).save(folder / "rig.json")
    return folder / "rig.json"


def reason(tmp_path: Path, plan: Plan | None = None, info: dict | None = None, **options) -> str:
    """Why a recording is left out."""
    folder = recorded.write(tmp_path / "bags/odd", plan, info)
    with pytest.raises(ValueError) as error:
        run(folder, tmp_path / "set", **options)
    assert str(error.value).startswith(f"nothing of {folder} could be converted: odd: ")
    return str(error.value)


# Content of rows.


@pytest.mark.parametrize("fps", [20, 50])
def test_rows_are_what_was_then(tmp_path, fps):
    plan = Plan(seconds=1.2)
    result = run(recorded.write(tmp_path / "bags/one", plan), tmp_path / "set", fps=fps)
    dataset = Dataset(tmp_path / "set")
    episode = dataset.episode(0)
    times_s = episode.stamps_s
    assert (dataset.fps, dataset.seeds, dataset.successes) == (fps, (7,), (True,))
    assert (dataset.tasks, dataset.instructions) == (("push_button",), ("push the red button",))
    assert dataset.rig.fingerprint() == plan.rig.fingerprint()
    np.testing.assert_allclose(times_s, BEGUN_S + 0.016 + np.arange(len(times_s)) / fps, atol=1e-6)
    np.testing.assert_allclose(episode.q, recorded.q(times_s), atol=1e-4)
    np.testing.assert_allclose(episode.dq, recorded.dq(times_s), atol=1e-3)
    np.testing.assert_allclose(episode.gripper, recorded.opening(times_s), atol=1e-4)
    assert -1e-6 < BEGUN_S + 0.001 + 35 / 30 - times_s[-1] < 1 / fps  # the first camera's last image is the earliest
    commanded = times_s + 1 / fps < BEGUN_S + 1.195
    assert commanded[:-1].all()
    np.testing.assert_allclose(episode.action_q[commanded], recorded.commanded(times_s + 1 / fps)[commanded], atol=1e-4)
    before = times_s + 1 / fps < BEGUN_S + 0.5
    np.testing.assert_allclose(episode.action_gripper[~before], 0.25, atol=1e-6)
    np.testing.assert_allclose(episode.action_gripper[before], recorded.opening(times_s + 1 / fps)[before], atol=1e-4)
    table = pq.read_table(data_path(dataset.root, 0), partitioning=None)
    for camera, (name, frames) in enumerate(episode.images.items()):
        stamps_s = BEGUN_S + plan.delays_s[camera] + np.arange(36) / 30
        nearest = np.abs(stamps_s - times_s[:, None]).argmin(1)
        np.testing.assert_allclose(episode.image_stamps_s[:, camera], stamps_s[nearest], atol=1e-6)
        for frame, number in zip(frames, nearest, strict=True):
            np.testing.assert_allclose(frame[12:20, 12:20].mean((0, 1)), recorded.grey(number, camera), atol=4)
        skew, stamp, own = (table[column].to_numpy() for column in (f"skew.{name}", f"stamp.{name}", "stamp"))
        np.testing.assert_allclose(skew, stamp - own, atol=1e-6)
    skews_ms = 1e3 * np.abs(episode.image_stamps_s - times_s[:, None])
    assert result["skew_ms"]["max"] == pytest.approx(skews_ms.max(), abs=0.02)
    assert result["skew_ms"]["max"] < 1e3 / 30 / 2 + 0.1
    assert (result["episodes"], result["added"], result["skipped"]) == (1, 1, {})
    assert (result["frames"], result["fingerprint"]) == (len(times_s), dataset.fingerprint())
    assert result["real_time_ratio"] > 0


def test_a_gripper_that_speaks_for_itself_is_in_the_rows(tmp_path):
    run(recorded.write(tmp_path / "bags/one", Plan(seconds=1.2, gripper_width_m=0.14)), tmp_path / "set")
    episode = Dataset(tmp_path / "set").episode(0)
    np.testing.assert_allclose(episode.gripper, recorded.opening(episode.stamps_s), atol=1e-4)
    np.testing.assert_allclose(episode.action_gripper[episode.stamps_s > BEGUN_S + 0.5], 0.25, atol=1e-6)


def test_what_was_not_commanded_or_measured_is_taken_from_the_joints(tmp_path):
    plan = Plan(command_hz=0, velocities=False, gripper_commands=())
    run(recorded.write(tmp_path / "bags/one", plan), tmp_path / "set")
    episode = Dataset(tmp_path / "set").episode(0)
    np.testing.assert_allclose(episode.action_q[:-1], episode.q[1:], atol=1e-6)
    np.testing.assert_allclose(episode.action_gripper[:-1], episode.gripper[1:], atol=1e-6)
    np.testing.assert_allclose(episode.dq[1:-1], recorded.dq(episode.stamps_s)[1:-1], atol=0.02)


def test_raw_images_convert_as_well(tmp_path):
    run(recorded.write(tmp_path / "bags/one", Plan(raw=True)), tmp_path / "set")
    frame = Dataset(tmp_path / "set").episode(0).images["front"][0]
    assert np.argwhere(frame[..., 0].astype(int) - frame[..., 1] > 60).mean(0) == pytest.approx([8, 8], abs=1)


def test_frames_are_read_when_they_are_taken_and_as_often_as_they_are(tmp_path):
    count = []
    bag = open_recording(recorded.write(tmp_path / "one"))
    episode = bag.episode(bag.spans[0], lambda: count.append(1))
    assert not count
    frames = episode.images["wrist"]
    passing = iter(frames)
    first = next(passing), next(passing)
    assert len(count) == 1  # the second is not through yet
    np.testing.assert_array_equal(np.stack(list(frames))[:2], first)
    assert np.stack(list(frames)).shape == frames.shape


# Views.


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"crop": "square"}, (48, 48)),
        ({"crop": "square", "size": 32}, (32, 32)),
        ({"crop": "4,2,32,32"}, (32, 32)),
        ({"crop": "2,4,40,40", "size": 20}, (20, 20)),
        ({}, (64, 48)),
        ({"crop": "0,0,60,40"}, (60, 40)),
    ],
)
def test_the_rig_is_cut_together_with_the_images(tmp_path, options, size):
    rig = synthetic.rig(64)
    rig = CameraRig(tuple(replace(c, intrinsics=replace(c.intrinsics, height=48, cy=23.5)) for c in rig.cameras))
    run(recorded.write(tmp_path / "bags/one", Plan(seconds=0.5, rig=rig)), tmp_path / "set", **options)
    dataset = Dataset(tmp_path / "set")
    assert dataset.rig.size == size
    for name, frames in dataset.episode(0).images.items():
        assert frames.shape[2:0:-1] == size
        # The mark is at a quarter of the recorded image: a point on its ray, seen by the rig of the data set.
        recorded_camera, camera = rig[name], dataset.rig[name]
        ray = np.linalg.inv(recorded_camera.intrinsics.K) @ [16, 12, 1]
        p_base = transform_points(camera.T_base_cam(PANDA.frame_pose(PANDA.home, "hand")), ray)
        T_base_cam = recorded_camera.T_base_cam(PANDA.frame_pose(PANDA.home, "hand"))
        u, v = camera.intrinsics.project(transform_points(invert(T_base_cam), p_base))
        mark = frames[0][..., 0].astype(int) - frames[0][..., 1] > 60
        np.testing.assert_allclose(np.argwhere(mark).mean(0), [v, u], atol=0.7)


def test_views_that_are_not_square_are_not_squeezed(tmp_path):
    rig = synthetic.rig(64)
    rig = CameraRig(tuple(replace(c, intrinsics=replace(c.intrinsics, height=48)) for c in rig.cameras))
    text = reason(tmp_path, Plan(rig=rig), size=32)
    assert "--size 32 makes square views, and these are 64x48: add --crop square" in text
    assert "crop 64x64 at (0, 0) leaves the 64x48 image" in reason(tmp_path / "b", Plan(rig=rig), crop="0,0,64,64")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 0}, "fps is 0"),
        ({"size": 8}, "size is 8"),
        ({"crop": "round"}, "crop is 'round'; valid are .* left,top,width,height"),
        ({"crop": "1,2,3"}, "crop is '1,2,3'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        Options(**options)


def test_another_rig_can_be_given(tmp_path):
    folder = recorded.write(tmp_path / "bags/one", info={"rig": None})
    moved = synthetic.rig()
    moved = CameraRig((replace(moved.cameras[0], target_radius_m=0.05), *moved.cameras[1:]))
    run(folder, tmp_path / "set", rig=rig_file(tmp_path, moved))
    assert Dataset(tmp_path / "set").rig.fingerprint() == moved.fingerprint()
    with pytest.raises(ValueError, match="does not describe its cameras: give --rig"):
        run(folder, tmp_path / "other")
    with pytest.raises(ValueError, match="was converted from recordings with rig"):
        run(folder, tmp_path / "set", rig=rig_file(tmp_path))


# What is left out, and why.


def test_each_episode_that_is_left_out_has_its_reason(tmp_path, capsys):
    bags = tmp_path / "bags"
    recorded.write(bags / "episode_0")
    recorded.write(bags / "episode_1", info={"label": "failure"})
    recorded.write(bags / "episode_2", info={"suspect": ("front stood still for 0.4 s",)})
    recorded.write(bags / "episode_3", info={"label": ""})
    recorded.write(bags / "episode_4", Plan(success=False), info={"label": ""})
    recorded.write(bags / "episode_5", Plan(success=False), info={"label": "success"})
    recorded.write(bags / "episode_6", finished=False)
    recorded.write(bags / "episode_7", Plan(damaged_image=7))
    result = run(bags, tmp_path / "set")
    skipped = result["skipped"]
    assert (result["added"], sorted(skipped)) == (3, [f"episode_{i}" for i in (1, 2, 4, 6, 7)])
    assert skipped["episode_1"] == "labelled a failure (--include-failures includes it)"
    assert skipped["episode_2"] == "suspect: front stood still for 0.4 s (--include-suspect includes it)"
    assert skipped["episode_4"] == "the task was not done (--include-failures includes it)"
    assert f"repair it with `genima bag repair {bags / 'episode_6'}`" in skipped["episode_6"]
    assert "image 7 of /left_shoulder/color/image_raw/compressed cannot be decoded" in skipped["episode_7"]
    assert f"left out episode_1: {skipped['episode_1']}\n" in capsys.readouterr().out
    result = run(bags, tmp_path / "all", include_failures=True, include_suspect=True)
    assert (result["added"], sorted(result["skipped"])) == (6, ["episode_6", "episode_7"])
    assert Dataset(tmp_path / "all").successes == (True, False, True, True, False, True)
    assert not list(tmp_path.rglob("*.part"))


def test_a_cameras_name_does_not_lead_out_of_the_data_set(tmp_path):
    bag, name = recorded.write(tmp_path / "bags/one"), "x/../../../../../escaped/wrist"
    info = bag / "episode.json"
    info.write_text(info.read_text().replace('"camera/wrist"', f'"camera/{name}"').replace('"wrist"', f'"{name}"'))
    recorded.write(tmp_path / "bags/two")
    result = run(tmp_path / "bags", tmp_path / "deep/down/set")
    assert (result["added"], list(result["skipped"])) == (1, ["one"])
    assert "letters, digits and underscores" in result["skipped"]["one"]
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize(
    ("plan", "info", "message"),
    [
        (Plan(without=("joint_states",)), None, "no joint states with the joints panda_joint1, .*; there are none"),
        (
            Plan(),
            {"arm": FR3},
            "joints fr3_joint1, .*; their messages have panda_joint1",
        ),
        (Plan(without=("camera/front",)), None, "it has no images of camera front"),
        (Plan(seconds=0.04), None, r"0\.0\d\d s in common, which is less than two rows at 20 per second"),
        (
            Plan(image_size=(48, 48)),
            None,
            "image 0 of /.*/color/image_raw/compressed is 48x48; the rig says 32x32: give the rig of .* --rig",
        ),
        (
            Plan(infos={"front": synthetic.rig(64)["front"].intrinsics}),
            None,
            "camera front was recorded with other intrinsics than .*: its images are 64x64, not 32x32; .*--rig",
        ),
        (
            Plan(infos={"front": replace(synthetic.rig()["front"].intrinsics, fx=50.0)}),
            None,
            "camera front was recorded with .*: its focal length is .* %",
        ),
        (
            Plan(edit=lambda topic, n, s: s - 5 * (topic == "/joint_states" and n > 50)),
            None,
            r"the clock of joint_states jumps back by 4\.990 s at its message 51",
        ),
        (
            Plan(edit=lambda topic, n, s: s - 5 * (topic.startswith("/front") and n > 5)),
            None,
            r"the clock of camera front jumps back by 4\.967 s at its message 6",
        ),
        (Plan(without=("instruction",)), {"instruction": ""}, "it has no instruction; give --instruction"),
    ],
)
def test_what_cannot_be_converted_is_refused(tmp_path, plan, info, message):
    text = reason(tmp_path, plan, info)
    assert re.search(message, text), text


def test_another_rig_within_one_data_set_is_left_out(tmp_path):
    recorded.write(tmp_path / "bags/a")
    recorded.write(tmp_path / "bags/b", Plan(rig=synthetic.rig(64)))
    result = run(tmp_path / "bags", tmp_path / "set")
    assert "its camera rig differs" in result["skipped"]["b"]
    assert run(tmp_path / "bags", tmp_path / "set")["skipped"] == result["skipped"]


def test_half_a_bag_is_refused_with_the_remedy(tmp_path):
    folder = recorded.write(tmp_path / "bags/one")
    file = next(folder.glob("*.mcap"))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ValueError, match=f"one: .*genima bag repair {folder}"):
        run(folder, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_nothing_to_convert(tmp_path):
    (tmp_path / "bags").mkdir()
    with pytest.raises((ValueError, FileNotFoundError)):
        run(tmp_path / "bags", tmp_path / "set")


# Interruptions, and more episodes.


def test_again_adds_nothing_and_new_episodes_are_appended(tmp_path):
    bags = tmp_path / "bags"
    for i in range(3):
        recorded.write(bags / f"episode_{i}", Plan(seconds=0.5 + 0.1 * i), {"seed": i})
    run(bags, tmp_path / "whole")
    shutil.move(bags / "episode_1", tmp_path / "later")
    assert run(bags, tmp_path / "set")["added"] == 2
    again = run(bags, tmp_path / "set")
    assert (again["added"], again["episodes"], again["real_time_ratio"], again["skew_ms"]) == (0, 2, None, None)
    shutil.move(tmp_path / "later", bags / "episode_1")
    assert run(bags, tmp_path / "set")["added"] == 1
    assert Dataset(tmp_path / "set").seeds == (0, 2, 1)
    shutil.rmtree(bags / "episode_0")  # what is in the data set stays there
    assert run(bags, tmp_path / "set")["episodes"] == 3
    for options, message in (
        ({"fps": 10}, "fps 20, not 10"),
        ({"crop": "square"}, "crop None, not 'square'"),
        ({"include_failures": True}, "include_failures False, not True"),
    ):
        with pytest.raises(ValueError, match=f"was converted from recordings with {message}: choose another folder"):
            run(bags, tmp_path / "set", **options)
    with pytest.raises(ValueError, match="with source"):
        run(recorded.write(tmp_path / "elsewhere/episode_1").parent, tmp_path / "set")
    shutil.rmtree(bags / "episode_2")
    recorded.write(bags / "episode_2", info={"label": "failure"})
    with pytest.raises(ValueError, match="episode_2 changed after being converted"):
        run(bags, tmp_path / "set")


def test_other_data_sets_are_not_touched(tmp_path):
    from genima_core.data.dataset import DatasetWriter

    folder = recorded.write(tmp_path / "bags/one")
    with DatasetWriter(tmp_path / "set", synthetic.rig()) as writer:
        writer.add(synthetic.episode(0))
    with pytest.raises(ValueError, match="not converted from recordings"):
        run(folder, tmp_path / "set")
    assert Dataset(tmp_path / "set").seeds == (0,)


@pytest.mark.parametrize("moment", ["video", "row"])
def test_a_killed_conversion_goes_on(tmp_path, moment):
    bags = tmp_path / "bags"
    for i in range(3):
        recorded.write(bags / f"episode_{i}", Plan(seconds=0.5), {"seed": i})
    run(bags, tmp_path / "whole")
    code = textwrap.dedent(f"""
        import os, pathlib
        from genima_core.data import dataset, video
        from genima_core.data.bags import conversion, episodes
        def kill_at(condition):
            if condition:
                os.kill(os.getpid(), 9)
        def encode(path, *rest, original=video.encode):
            original(path, *rest)
            kill_at({moment!r} == "video" and "file-001" in str(path) and "right" in str(path))
        def replace_table(self, path, table, original=dataset.DatasetWriter._replace_table):
            original(self, path, table)
            kill_at({moment!r} == "row" and path.name == "file-001.parquet" and "episodes" in path.parts)
        video.encode, dataset.DatasetWriter._replace_table = encode, replace_table
        conversion.convert_recordings(pathlib.Path({str(bags)!r}), pathlib.Path({str(tmp_path / "set")!r}),
                                      episodes.Options(), False)
    """)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == -9
    left = 1 if moment == "video" else 2
    assert len(Dataset(tmp_path / "set")) == left
    assert run(bags, tmp_path / "set")["added"] == 3 - left
    assert Dataset(tmp_path / "set").fingerprint() == Dataset(tmp_path / "whole").fingerprint()
    assert data_path(tmp_path / "set", 1).read_bytes() == data_path(tmp_path / "whole", 1).read_bytes()
    assert not list((tmp_path / "set").rglob("*.part"))


# Recordings of others.


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_recording_without_episode_json_is_understood_by_its_topics(tmp_path, storage):
    folder = recorded.write(tmp_path / "bags/one", Plan(without=("instruction", "joint_commands", "gripper_command")))
    (folder / "episode.json").unlink()
    if storage == "sqlite3":
        folder = recorded.as_sqlite3(folder, tmp_path / "bags/two")
    with pytest.raises(ValueError, match="does not describe its cameras: give --rig"):
        run(folder, tmp_path / "set")
    with pytest.raises(ValueError, match="has no instruction; give --instruction"):
        run(folder, tmp_path / "set", rig=rig_file(tmp_path))
    run(folder, tmp_path / "set", rig=rig_file(tmp_path), instruction="open the box")
    dataset = Dataset(tmp_path / "set")
    assert (dataset.instructions, dataset.seeds, dataset.tasks) == (("open the box",), (-1,), ("open the box",))
    np.testing.assert_allclose(dataset.episode(0).q, recorded.q(dataset.episode(0).stamps_s), atol=1e-4)


@pytest.mark.parametrize(
    ("role", "message"),
    [
        (
            "joint_states",
            "it has no episode.json, and lacks the topics that are needed to interpret it: <camera>/color/",
        ),
        ("camera/front", "it has no camera front, which its rig lists"),
    ],
)
def test_a_recording_of_something_else_is_refused(tmp_path, role, message):
    folder = recorded.write(tmp_path / "bags/one", Plan(without=(role,)))
    (folder / "episode.json").unlink()
    with pytest.raises(ValueError, match=message):
        run(folder, tmp_path / "set", rig=rig_file(tmp_path))


OTHERS = ("joint_commands", "gripper_command")


def of_others(folder, plan):
    """A recording without episode.json."""
    recorded.write(folder, plan)
    (folder / "episode.json").unlink()
    return folder


FLAWS = {
    "black": (Plan(seconds=2.0, dark="front"), "front: 60 of 60 images are black"),
    "frozen": (
        Plan(seconds=2.0, raw=True, frozen="front"),
        "front: .* images show the same picture while the arm moved",
    ),
    "slow": (
        Plan(seconds=3.0, kept=lambda topic, s: "/front/" not in topic or s % 1.0 < 1 / 60),
        "front was silent for 1.00 s",
    ),
    "hole": (
        Plan(seconds=4.0, kept=lambda topic, s: "/front/color/image" not in topic or not 1.0 < s < 2.5),
        "front was silent for 1.5",
    ),
    "joint hole": (
        Plan(seconds=4.0, kept=lambda topic, s: topic != "/joint_states" or not 1.0 < s < 2.5),
        "joint states were silent for 1.5",
    ),
    "degrees": (Plan(seconds=2.0, rad=np.pi / 180, velocities=False), "beyond the limits of a panda; are they in rad"),
    "early": (
        Plan(seconds=2.0, edit=lambda topic, number, stamp_s: stamp_s - 0.4 * ("/front/color/image" in topic)),
        "front: stamps are 0.4. s earlier than those of .*, against when they came",
    ),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_recording_of_others_is_judged_by_the_recorders_bounds(flaw, tmp_path):
    plan, message = FLAWS[flaw]
    of_others(tmp_path / "bags/bad", plan)
    of_others(tmp_path / "bags/good", Plan(seconds=2.0, without=OTHERS))
    options = {"rig": rig_file(tmp_path), "instruction": "push it"}
    result = run(tmp_path / "bags", tmp_path / "set", **options)
    assert result["added"] == 1 and re.search(f"suspect: .*{message}", result["skipped"]["bad"])
    assert run(tmp_path / "bags", tmp_path / "all", **options, include_suspect=True)["added"] == 2


def test_topics_of_other_names_are_given(tmp_path):
    folder = of_others(tmp_path / "bags/one", Plan(without=OTHERS))
    renamed = recorded.as_sqlite3(
        folder, tmp_path / "renamed", {"/joint_states": "/arm/q", "/front/color/image_raw/compressed": "/cam0"}
    )
    options = {"rig": rig_file(tmp_path), "instruction": "push it"}
    with pytest.raises(ValueError, match="lacks the topics .* /arm/q, /cam0, .*--topics"):
        run(renamed, tmp_path / "set", **options)
    with pytest.raises(ValueError, match="it has no topic /arm/w; it has"):
        run(renamed, tmp_path / "set", **options, topics="joint_states=/arm/w")
    with pytest.raises(ValueError, match="lacks a role or a topic at 'front'"):
        run(renamed, tmp_path / "set", **options, topics="front")
    run(renamed, tmp_path / "set", **options, topics="joint_states=/arm/q,front=/cam0")
    run(folder, tmp_path / "original", **options)
    assert Dataset(tmp_path / "set").fingerprint() == Dataset(tmp_path / "original").fingerprint()


def test_a_long_recording_is_cut_where_a_topic_says(tmp_path):
    said = ((0.5, "push it"), (1.5, "open it"))
    marks = tuple((s, "/demo/instruction", "String", text) for s, text in said)
    runs = ((0.2, True), (1.0, False), (1.6, True))
    folder = recorded.write(
        tmp_path / "bags/long", Plan(seconds=2.5, extra=(*marks, *((s, "/demo/runs", "Bool", on) for s, on in runs)))
    )
    result = run(folder, tmp_path / "said", split_on="/demo/instruction")
    dataset = Dataset(tmp_path / "said")
    assert (result["added"], dataset.instructions) == (2, ("push it", "open it"))
    first, second = (dataset.episode(i).stamps_s - BEGUN_S for i in range(2))
    assert 0.5 <= first[0] < 0.55 and 1.45 <= first[-1] < 1.5 <= second[0] < 1.55 and 2.4 < second[-1] < 2.5
    np.testing.assert_allclose(dataset.episode(1).q, recorded.q(second + BEGUN_S), atol=1e-4)
    run(folder, tmp_path / "runs", split_on="/demo/runs")
    first, second = (Dataset(tmp_path / "runs").episode(i).stamps_s - BEGUN_S for i in range(2))
    assert 0.2 <= first[0] < 0.25 and first[-1] < 1.0 and 1.6 <= second[0] < 1.65
    with pytest.raises(ValueError, match="--split-on /demo: it has no such topic; it has /demo/instruction"):
        run(folder, tmp_path / "none", split_on="/demo")


def test_a_long_recording_is_cut_where_the_arm_rests_and_a_killed_run_goes_on(tmp_path, monkeypatch):
    def rests(stamp_s):  # from 1.5 s to 3 s, and for a moment at 0.5 s
        after_s = stamp_s - BEGUN_S
        return BEGUN_S + after_s - np.clip(after_s - 0.5, 0, 0.1) - np.clip(after_s - 1.5, 0, 1.5)

    folder = recorded.write(tmp_path / "bags/long", Plan(seconds=4.5, arm_time_s=rests))
    add, calls = conversion.DatasetWriter.add, []

    def stop_at_the_second(self, episode):
        calls.append(episode)
        if len(calls) == 2:
            raise KeyboardInterrupt
        add(self, episode)

    with monkeypatch.context() as patch:
        patch.setattr(conversion.DatasetWriter, "add", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            run(folder, tmp_path / "set", split_on="pause")
    assert run(folder, tmp_path / "set", split_on="pause")["added"] == 1
    assert run(folder, tmp_path / "set", split_on="pause")["added"] == 0
    first, second = (Dataset(tmp_path / "set").episode(i).stamps_s - BEGUN_S for i in range(2))
    assert first[0] < 0.1 and 1.6 < first[-1] < 1.8 and 2.7 < second[0] < 2.85 and 4.4 < second[-1] < 4.5
    with pytest.raises(ValueError, match="leaves no episode"):
        run(
            recorded.write(tmp_path / "still", Plan(arm_time_s=lambda stamp_s: BEGUN_S)),
            tmp_path / "no",
            split_on="pause",
        )
