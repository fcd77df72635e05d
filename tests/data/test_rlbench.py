"""RLBench's recordings: frames proven against its own conventions, pickles that cannot harm, resuming, refusals."""

import pickle
import re
import shutil

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from genima_core.arm import PANDA
from genima_core.data.dataset import Dataset, DatasetWriter
from genima_core.data.origin import ORIGIN
from genima_core.geometry import invert, make_transform, transform_points
from genima_core.importers.rlbench import conversion, layout
from genima_core.importers.rlbench.conversion import Options
from genima_core.importers.rlbench.demo import read_demo

from . import rlbench_source, synthetic
from .rlbench_source import episode_folder, run

# Content and frames.


def test_everything_arrives(tmp_path):
    rlbench_source.write_variation(tmp_path / "source", episodes=2)
    result = run(tmp_path / "source", tmp_path / "set")
    dataset = Dataset(tmp_path / "set")
    assert (result["episodes"], result["added"], result["frames"], result["tasks"]) == (2, 2, 12, {"open_box": 2})
    assert (dataset.fps, dataset.seeds, dataset.successes) == (20, (-1, -1), (True, True))
    assert (set(dataset.tasks), set(dataset.instructions)) == ({"open_box"}, {"open the box"})
    for i in range(2):
        episode, q = dataset.episode(i), rlbench_source.motion(6, i)
        np.testing.assert_allclose(episode.q, q, atol=2e-3)
        np.testing.assert_allclose(episode.action_q[:-1], episode.q[1:] + 0.001, atol=1e-6)
        np.testing.assert_array_equal(episode.action_q[-1], episode.action_q[-2])
        assert episode.gripper.tolist() == [1, 1, 1, 0, 0, 0]
        assert episode.action_gripper.tolist() == [1, 1, 0, 0, 0, 0]
        np.testing.assert_allclose(episode.dq, np.gradient(episode.q, 0.05, axis=0), atol=1e-4)
        np.testing.assert_allclose(episode.stamps_s, np.arange(6) / 20)
        rng = np.random.default_rng(i)
        for name in synthetic.rig().names:
            assert cv2.PSNR(episode.images[name], synthetic.frames(rng, 6, 32)) > 35  # RGB, and in their order


def test_without_commands_the_next_row_is_the_action(tmp_path):
    rlbench_source.write_variation(tmp_path / "source", commands=False)
    assert run(tmp_path / "source", tmp_path / "set")["episodes_with_commands"] == 0
    episode, q = Dataset(tmp_path / "set").episode(0), rlbench_source.motion(6)
    np.testing.assert_allclose(episode.q, q, atol=2e-3)
    np.testing.assert_array_equal(episode.action_q, [*episode.q[1:], episode.q[-1]])
    assert episode.action_gripper.tolist() == [1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_every_python_and_numpy_pickles_differently(protocol, tmp_path):
    rlbench_source.write_variation(tmp_path, protocol=protocol)
    file = episode_folder(tmp_path) / "low_dim_obs.pkl"
    if protocol == 3:  # names are lines of text there, so the file can be made one of numpy 1
        assert b"numpy._core" in file.read_bytes()
        file.write_bytes(file.read_bytes().replace(b"numpy._core", b"numpy.core"))
    demo = read_demo(file.parent, ("front", "wrist"))
    np.testing.assert_array_equal(demo.q, rlbench_source.motion(6) - rlbench_source.Q_ZERO)
    assert demo.K.shape == (6, 2, 3, 3) and demo.T_world_cam.shape == (6, 2, 4, 4)


def test_base_and_cameras_are_found_where_they_are(tmp_path):
    rlbench_source.write_variation(tmp_path / "source", episodes=4)
    result = run(tmp_path / "source", tmp_path / "set")
    # RLBench's joints 5 to 7 are 0.6 mm off ours, which is all that is wrong here.
    assert 0.0 < result["arm"]["residual_mm_median"] <= result["arm"]["residual_mm_max"] < 0.7
    assert abs(result["arm"]["joint4_zero_deg"] - 4.1) < 0.1
    np.testing.assert_allclose(result["arm"]["T_world_base"], rlbench_source.T_WORLD_BASE, atol=1e-3)
    np.testing.assert_allclose(result["arm"]["tip_from_tcp_mm"], 1000 * rlbench_source.T_TCP_TIP[:3, 3], atol=0.7)
    assert {name: c["mount"] for name, c in result["cameras"].items()} == {
        "wrist": "hand",
        "front": "base",
        "right_shoulder": "base",
        "left_shoulder": "base",
    }
    dataset = Dataset(tmp_path / "set")
    demo = read_demo(episode_folder(tmp_path / "source"), dataset.rig.names)
    drawn = rlbench_source.T_WORLD_BASE @ dataset.rig.arm.target_poses(dataset.episode(0).q)[:, 3]
    np.testing.assert_allclose(drawn, demo.T_world_tip, atol=3e-3)  # not at our tcp, 7 mm away
    for found, true in zip(dataset.rig.cameras, synthetic.rig().cameras, strict=True):
        assert (found.name, found.mount, found.target_radius_m) == (true.name, true.mount, true.target_radius_m)
        np.testing.assert_allclose(found.intrinsics.K, true.intrinsics.K, atol=1e-9)
        np.testing.assert_allclose(found.T_mount_cam, true.T_mount_cam, atol=2e-3)


def bent(rows):
    """A drawer that resists turns and shifts the hand, with its camera, against what the joints say."""
    for part, row in zip(np.linspace(0.0, 1.0, len(rows)), rows, strict=True):
        turn = Rotation.from_rotvec(np.radians([0.0, 0.72 * part, 0.0])).as_matrix()
        T_world_tip, misc = row["gripper_matrix"], row["misc"]
        bend = T_world_tip @ make_transform(turn, [0.0036 * part, 0.0, 0.0]) @ invert(T_world_tip)
        row["gripper_matrix"] = bend @ T_world_tip
        misc["wrist_camera_extrinsics"] = bend @ misc["wrist_camera_extrinsics"]


def test_an_arm_that_pulls_is_bent_and_its_episodes_arrive(tmp_path):
    rlbench_source.write_variation(tmp_path / "source", episodes=3, T=20, edit=bent)
    result = run(tmp_path / "source", tmp_path / "set")
    assert (result["added"], result["skipped"]) == (3, {})
    assert abs(result["arm"]["joint4_zero_deg"] - 4.1) < 0.3
    wrist = Dataset(tmp_path / "set").rig["wrist"]
    assert wrist.mount == "hand" and result["cameras"]["wrist"]["moved_mm"] < 1e-6
    np.testing.assert_allclose(wrist.T_mount_cam, synthetic.rig()["wrist"].T_mount_cam, atol=0.01)


def test_episodes_that_fit_to_no_others_are_left_out(tmp_path):
    def other_robot(rows):
        for row in rows:
            row["joint_positions"][1:4] *= -1

    def other_camera(rows):
        for row in rows:
            row["misc"]["front_camera_extrinsics"][0, 3] += 0.02

    def zoomed(rows):
        for row in rows:
            row["misc"]["front_camera_intrinsics"][:2, :2] *= 1.1

    edits = iter([None, other_robot, None, other_camera, zoomed, None])
    rlbench_source.write_variation(
        tmp_path / "source", episodes=6, edit=lambda rows: (edit := next(edits)) and edit(rows)
    )
    result = run(tmp_path / "source", tmp_path / "set")
    assert [name[-1] for name in result["skipped"]] == ["1", "3", "4"] and result["added"] == 3
    reasons = " ".join(result["skipped"].values())
    assert re.search("not of a Panda .*'front' is 20.0 mm and .* usually is.*'front' has other intrinsics", reasons)
    alone = tmp_path / "alone"
    for i in (0, 2, 5):
        shutil.copytree(episode_folder(tmp_path / "source", i), episode_folder(alone, i))
    shutil.copy(tmp_path / "source/open_box/variation0/variation_descriptions.pkl", alone / "open_box/variation0")
    run(alone, tmp_path / "alone-set")
    assert Dataset(tmp_path / "set").rig.differences(Dataset(tmp_path / "alone-set").rig) == ()


@pytest.mark.parametrize("size", [None, 48])
def test_points_land_where_rlbenchs_own_cameras_put_them(size, tmp_path, rng):
    rlbench_source.write_variation(tmp_path / "source", episodes=4)
    run(tmp_path / "source", tmp_path / "set", size=size)
    rig, scale = Dataset(tmp_path / "set").rig, (size or 32) / 32
    assert rig.size == (32 * scale, 32 * scale)
    demo = read_demo(episode_folder(tmp_path / "source"), rig.names)
    checked = 0
    for t in range(len(demo)):
        for c, camera in enumerate(rig.cameras):
            # PyRep's projection; its pixels count from the corner of the image.
            T_world_cam = demo.T_world_cam[t, c]
            p_world = transform_points(T_world_cam, rng.uniform([-0.2, -0.2, 0.5], [0.2, 0.2, 1.5], (20, 3)))
            u, v, w = demo.K[t, c] @ (T_world_cam[:3, :3].T @ (p_world - T_world_cam[:3, 3]).T)
            corner = np.column_stack([u / w, v / w]) * scale
            p_base = transform_points(invert(rlbench_source.T_WORLD_BASE), p_world)
            T_base_cam = camera.T_base_cam(rlbench_source.hand_pose(rlbench_source.motion(6)[t]))
            ours = camera.intrinsics.project(transform_points(invert(T_base_cam), p_base))
            np.testing.assert_allclose(ours, corner - 0.5, atol=0.1)
            checked += len(ours)
    assert checked == 480


def test_opencv_cameras_stay_as_they_are(tmp_path):
    def to_opencv(rows):
        for row in rows:
            for name in synthetic.rig().names:
                row["misc"][f"{name}_camera_intrinsics"][:2, :2] *= -1
                row["misc"][f"{name}_camera_extrinsics"][:3, :2] *= -1

    for name, edit in (("pyrep", None), ("opencv", to_opencv)):
        rlbench_source.write_variation(tmp_path / name, edit=edit)
        run(tmp_path / name, tmp_path / f"{name}-set")
    a, b = (Dataset(tmp_path / f"{name}-set").rig for name in ("pyrep", "opencv"))
    assert a.fingerprint() == b.fingerprint()


def test_targets_lie_on_what_the_pictures_show(tmp_path):
    """A ball rendered by MuJoCo at each of the arm's drawn frames is covered by that frame's target."""
    from genima_core.sim.cell import Cell
    from genima_core.sim.scene import default_rig
    from genima_core.sim.task import Task
    from genima_core.targets.detect import label_centres
    from genima_core.targets.renderer import TargetRenderer

    import mujoco  # isort: skip

    class Probe(Task):
        instructions = ("probe",)

        def build(self, spec):
            spec.add_material(name="glow", rgba=[1, 0, 0, 1], emission=1.0, specular=0.0)
            body = spec.worldbody.add_body(name="probe", mocap=True, pos=[0.5, 0, 0.1])
            body.add_geom(
                type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.02, 0, 0], material="glow", contype=0, conaffinity=0
            )

        def reset(self, cell, rng):
            cell.model.geom_rgba[:, 3] = cell.model.geom_matid == cell.model.material("glow").id  # all else unseen

        def success(self, cell):
            return False

        def waypoints(self, cell):
            return ()

    cell, q, frames = Cell(Probe(), default_rig(96, 96)), [], []
    for seed in range(3):
        for p_base in PANDA.target_poses(cell.q)[:, :3, 3] if seed else ():
            cell.data.mocap_pos[0] = p_base
            mujoco.mj_forward(cell.model, cell.data)
            q.append(cell.q)
            frames.append(cell.observe().images)
        cell.reset(seed + 1, "anywhere")
    cell.close()
    q = np.array(q)
    images = {name: np.stack([frame[name] for frame in frames]) for name in cell.rig.names}
    folder = tmp_path / "source/probe/variation0"
    rows = rlbench_source.observations(q, np.ones(len(q)), cell.rig)
    rlbench_source.write_episode(folder / "episodes/episode0", rows, images)
    (folder / "variation_descriptions.pkl").write_bytes(pickle.dumps(["look"]))
    run(tmp_path / "source", tmp_path / "set")

    dataset, distances = Dataset(tmp_path / "set"), []
    episode, targets = dataset.episode(0), TargetRenderer(dataset.rig)
    for t in range(len(episode)):
        views = targets.render(episode.q[t], episode.q[t], 1.0)
        centres = label_centres(views.labels)
        for v, name in enumerate(dataset.rig.names):
            red = episode.images[name][t].astype(float)
            weight = np.clip(red[..., 0] - red[..., 1:].max(-1) - 60, 0, None)
            alone = np.count_nonzero(views.labels[v] == t % 4 + 1) > 3 * np.count_nonzero(weight)
            if weight.sum() < 500 or not alone:
                continue  # out of the picture, or its target is hidden behind another one
            v_px, u_px = np.indices(weight.shape)
            ball = np.array([(u_px * weight).sum(), (v_px * weight).sum()]) / weight.sum()
            assert views.labels[v][tuple(ball.round().astype(int)[::-1])] == t % 4 + 1
            distances.append(np.linalg.norm(ball - centres[v, t % 4]))
    targets.close()
    assert len(distances) >= 12
    assert np.median(distances) < 1


@pytest.mark.parametrize("cameras", [layout.CAMERAS[:4], ("wrist", "front")], ids=len)
def test_the_models_can_train_on_it(tmp_path, cameras):
    pytest.importorskip("torch")
    from genima_core.data.cache import WindowCache
    from genima_core.data.windows import FollowingWindows

    rlbench_source.write_variation(tmp_path / "source", episodes=2)
    run(tmp_path / "source", tmp_path / "set", size=16, cameras=cameras)
    cache = WindowCache.build(Dataset(tmp_path / "set"), horizon=4, show_progress=False)
    following = FollowingWindows(cache, "all")[0]
    assert following["rgb"].shape == (len(cameras), 3, 16, 16) and following["instruction"] == "open the box"
    assert following["alpha"].any()
    np.testing.assert_allclose(following["actions"][-1], rlbench_source.motion(6)[4], atol=2e-3)


# What is where.


def test_root_task_and_variation_are_accepted_and_options_choose(tmp_path):
    root, rig = tmp_path / "source", synthetic.rig(16)
    for task, variation in (("open_box", "variation0"), ("open_box", "variation10"), ("open_box", "variation2")):
        rlbench_source.write_variation(root, task, variation, episodes=2, T=2, rig=rig)
    every = rlbench_source.write_variation(root, "push_buttons", "all_variations", T=2, rig=rig)
    (every / "variation_descriptions.pkl").rename(every / "episodes/episode0/variation_descriptions.pkl")
    (root / "close_jar/variation0/episodes").mkdir(parents=True)  # RLBench's planner found no way
    (root / "notes.txt").write_text("dear")

    def names(place, *arguments):
        return [demo.name for demo in layout.find_demos(place, *arguments)]

    assert names(root, None, 1) == [
        "open_box/variation0/episode0",
        "open_box/variation2/episode0",
        "open_box/variation10/episode0",
        "push_buttons/all_variations/episode0",
    ]
    assert names(root, ("push_buttons",)) == ["push_buttons/all_variations/episode0"]
    assert names(root / "open_box")[:3] == [
        "open_box/variation0/episode0",
        "open_box/variation0/episode1",
        "open_box/variation2/episode0",
    ]
    assert names(root / "open_box/variation2") == ["open_box/variation2/episode0", "open_box/variation2/episode1"]
    run(root, tmp_path / "set", episodes=1, tasks=("open_box", "push_buttons"), description=1, fps=10)
    dataset = Dataset(tmp_path / "set")
    assert dataset.tasks == ("open_box",) * 3 + ("push_buttons",)
    assert (set(dataset.instructions), dataset.fps) == ({"grip the lid and lift it"}, 10)
    with pytest.raises(ValueError, match="has no task dance; it has close_jar, open_box, push_buttons"):
        layout.find_demos(root, ("dance",))
    with pytest.raises(FileNotFoundError, match="no episodes of close_jar, only empty folders"):
        layout.find_demos(root, ("close_jar",))
    rlbench_source.write_variation(root, "push_buttons", "variation0", T=2, rig=rig)
    with pytest.raises(ValueError, match="both variation0 and all_variations"):
        layout.find_demos(root)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cameras": ("wrist", "front", "front", "overhead")}, "name at least one of wrist, front, .*, each once"),
        ({"cameras": ()}, "cameras are none"),
        ({"cameras": ("wrist", "front", "top", "overhead")}, "unknown camera top; RLBench has wrist, front"),
        ({"size": 4}, "size is 4"),
        ({"episodes": 0}, "episodes is 0"),
        ({"fps": 0}, "fps is 0"),
        ({"description": -1}, "description is -1"),
        ({"tasks": ()}, "tasks is empty"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        Options(**options)


# Interruptions.


def test_an_interrupted_conversion_goes_on_and_a_finished_one_does_nothing(tmp_path, monkeypatch, capsys):
    source = tmp_path / "source"
    rlbench_source.write_variation(source, episodes=3, T=2)
    run(source, tmp_path / "whole")

    def stop_at_the_second(folder, *arguments, original=conversion._episode):
        if folder.name.endswith("episode1"):
            raise KeyboardInterrupt
        return original(folder, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(conversion, "_episode", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            run(source, tmp_path / "set")
    assert len(Dataset(tmp_path / "set")) == 1
    assert run(source, tmp_path / "set")["added"] == 2
    assert Dataset(tmp_path / "set").fingerprint() == Dataset(tmp_path / "whole").fingerprint()
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(conversion, "read_demo", None)  # it does not even look
        again = run(source, tmp_path / "set")
    assert (again["added"], again["episodes"]) == (0, 3) and "arm" in again
    assert "holds all 3 episodes" in capsys.readouterr().out

    rlbench_source.write_variation(tmp_path / "more", episodes=4, T=2)
    shutil.move(tmp_path / "more/open_box/variation0/episodes/episode3", source / "open_box/variation0/episodes")
    assert run(source, tmp_path / "set")["added"] == 1  # recorded meanwhile
    with pytest.raises(ValueError, match="converted from RLBench with fps 20, not 10"):
        run(source, tmp_path / "set", fps=10)
    with pytest.raises(ValueError, match="converted from RLBench with source '.*/source', not '.*/whole-source'"):
        run(source.rename(tmp_path / "whole-source"), tmp_path / "set")
    (tmp_path / "whole-source").rename(source)
    shutil.rmtree(episode_folder(source, 1))
    with pytest.raises(ValueError, match="holds open_box/variation0/episode1, which .* no longer has"):
        run(source, tmp_path / "set")


def test_other_data_sets_are_not_touched(tmp_path):
    rlbench_source.write_variation(tmp_path / "source", T=2)
    with DatasetWriter(tmp_path / "set", synthetic.rig()) as writer:
        writer.add(synthetic.episode(0))
    with pytest.raises(ValueError, match="not converted from RLBench"):
        run(tmp_path / "source", tmp_path / "set")
    assert not (tmp_path / "set" / ORIGIN).exists() and Dataset(tmp_path / "set").seeds == (0,)
