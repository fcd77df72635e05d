"""Windows: what is drawn where and when, padding, and moved ends."""

import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genima_core.arm import PANDA
from genima_core.data.cache import MovedEnds, WindowCache, resized
from genima_core.data.dataset import Dataset, DatasetWriter
from genima_core.data.windows import FollowingWindows, moved_actions
from genima_core.targets.draw import over_observation

from . import synthetic

K = 5
SEEDS = (0, 1, 2)
T = 12


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("windows")
    with DatasetWriter(root, synthetic.rig(64)) as writer:
        for seed in SEEDS:
            writer.add(synthetic.episode(seed, T=T, size=64, instruction=f"push button {seed}"))
    return Dataset(root)


@pytest.fixture(scope="module")
def cache(dataset):
    return WindowCache.build(dataset, K, show_progress=False)


@pytest.fixture(scope="module")
def following(cache):
    return FollowingWindows(cache, "all", variants=3, show_progress=False)


def centres(rig, q_now, q_target):
    """(4, 4, 2) px of each target's centre in each view."""
    points = PANDA.target_poses(q_target)[:, :3, 3]
    result = []
    for camera in rig.cameras:
        T_cam_base = np.linalg.inv(camera.T_base_cam(PANDA.frame_pose(q_now, "hand")))
        result.append(camera.intrinsics.project(points @ T_cam_base[:3, :3].T + T_cam_base[:3, 3]))
    return np.stack(result)


def drawn_centre(alpha_or_label):
    v, u = np.nonzero(alpha_or_label)
    return np.array([u.mean(), v.mean()])


def test_targets_show_the_measured_joints_k_rows_later(dataset, cache):
    checked = 0
    for index in range(len(dataset)):
        episode = dataset.episode(index)
        for t in range(0, T, 3):
            window = cache.offsets[index] + t
            np.testing.assert_array_equal(cache.q[window], episode.q[t].astype(np.float32))
            q_target = episode.q[min(t + K, T - 1)]
            np.testing.assert_array_equal(cache.q_target[window], q_target.astype(np.float32))
            expected = centres(cache.rig, episode.q[t], q_target)
            for view in range(1, 4):  # the wrist camera does not see whole spheres
                mask = cache.target_labels[window][view] == 4
                assert mask.sum() > 4
                assert np.linalg.norm(drawn_centre(mask) - expected[view, 3]) < 1.0
                checked += 1
    assert checked == 36


def test_with_a_stride_there_are_fewer_windows_and_each_is_the_same(dataset, cache, tmp_path):
    strided = WindowCache.build(dataset, K, stride=5, folder=tmp_path, show_progress=False)
    rows = np.concatenate([first + np.arange(0, T, 5) for first in cache.offsets[:-1]])
    np.testing.assert_array_equal(strided.rows, rows)
    assert len(strided) == 9 and len(strided.windows("train")) == 6
    for name in ("images", "target_rgb", "target_alpha", "target_labels", "q_target", "gripper_target", "is_pad"):
        np.testing.assert_array_equal(getattr(strided, name), getattr(cache, name)[rows], name)
    every, some = (FollowingWindows(c, "all", show_progress=False) for c in (cache, strided))
    for i, row in enumerate(rows):
        for name, value in some[i].items():
            np.testing.assert_array_equal(value, every[int(row)][name], name)


def test_images_are_those_of_the_row_and_resized_like_the_rig(dataset, cache):
    episode = dataset.episode(1)
    for view, name in enumerate(cache.rig.names):
        np.testing.assert_array_equal(cache.images[cache.offsets[1] + 4][view], episode.images[name][4])
    small = WindowCache.build(dataset, K, size=32, show_progress=False)
    assert small.images.shape == (len(cache), 4, 32, 32, 3)
    assert small.rig.size == (32, 32)
    np.testing.assert_array_equal(small.images[4][0], resized(dataset.episode(0).images["wrist"][4:5], (32, 32))[0])


def test_the_gripper_sphere_shows_the_last_command(dataset, cache):
    windows = FollowingWindows(cache, "all", show_progress=False)
    for index in range(len(windows)):
        assert cache.gripper_target[index] == windows[index]["action_gripper"][-1]
    episode = dataset.episode(0)
    assert [int(g) for g in windows[0]["action_gripper"]] == [int(g) for g in episode.action_gripper[:K]]
    yellow, cyan = (cache.gripper_target == 0).nonzero()[0][0], (cache.gripper_target == 1).nonzero()[0][0]
    for window, blue in ((yellow, False), (cyan, True)):
        mask = cache.target_labels[window][1] == 4
        assert (cache.target_rgb[window][1][mask][:, 2].mean() > 60) == blue


def test_actions_are_the_next_k_rows_and_padding_repeats_the_last(dataset, cache):
    windows = FollowingWindows(cache, "all", show_progress=False)
    assert len(windows) == len(cache) == 3 * T
    for index in range(len(dataset)):
        q = dataset.episode(index).q.astype(np.float32)
        for t in range(T):
            item = windows[int(cache.offsets[index]) + t]
            rows = np.arange(t + 1, t + 1 + K)
            np.testing.assert_array_equal(item["q"], q[t])
            np.testing.assert_array_equal(item["actions"], q[np.minimum(rows, T - 1)])
            np.testing.assert_array_equal(item["is_pad"], rows > T - 1)
            assert item["instruction"] == f"push button {index}"


def test_items_have_the_agreed_shapes_and_types(cache, following):
    item = following[7]
    expected = {
        "rgb": ((4, 3, 64, 64), torch.uint8),
        "alpha": ((4, 1, 64, 64), torch.uint8),
        "q": ((7,), torch.float32),
        "gripper": ((), torch.float32),
        "actions": ((K, 7), torch.float32),
        "action_gripper": ((K,), torch.float32),
        "is_pad": ((K,), torch.bool),
    }
    for key, (shape, dtype) in expected.items():
        assert (tuple(item[key].shape), item[key].dtype) == (shape, dtype), key
    batch = next(iter(torch.utils.data.DataLoader(following, batch_size=4)))
    assert batch["rgb"].shape == (4, 4, 3, 64, 64)


def test_the_drawing_changes_the_observation_only_under_the_spheres(cache):
    observation = cache.images[2]
    changed = (over_observation(cache.views(2), observation) != observation).any(-1)
    assert changed.any()
    assert not changed[cache.target_alpha[2] == 0].any()


def test_moved_windows_show_and_follow_their_own_ends(cache, following):
    moved = MovedEnds(2)
    q_now, q_goal = cache.moved_ends(moved)
    for window in (0, 5, T - 1, 20):
        plain = following[3 * window]
        np.testing.assert_array_equal(plain["rgb"].permute(0, 2, 3, 1), cache.target_rgb[window])
        for copy in range(2):
            item = following[3 * window + 1 + copy]
            np.testing.assert_array_equal(item["q"], q_now[window, copy])
            np.testing.assert_array_equal(item["actions"][-1], q_goal[window, copy])
            assert (item["q"] - plain["q"]).abs().max() > 1e-3
            expected = centres(cache.rig, q_now[window, copy], q_goal[window, copy])
            front = item["alpha"][1, 0].numpy()
            u, v = np.rint(expected[1, 3]).astype(int)
            assert front[v, u] == 255
            np.testing.assert_array_equal(item["is_pad"], plain["is_pad"])


def test_moved_windows_depend_on_the_seed_only(cache, following):
    again = FollowingWindows(cache, "all", variants=3, show_progress=False)
    other = FollowingWindows(cache, "all", variants=3, seed=1, show_progress=False)
    np.testing.assert_array_equal(following.actions, again.actions)
    np.testing.assert_array_equal(following.actions[:, 0], other.actions[:, 0])
    assert (following.actions[:, 1:] != other.actions[:, 1:]).any()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 25))
def test_a_bent_way_keeps_its_ends_and_the_limits(seed, steps):
    rng = np.random.default_rng(seed)
    low, high = PANDA.limits.lower, PANDA.limits.upper
    way = np.linspace(rng.uniform(low, high), rng.uniform(low, high), steps + 1)
    q_now, q_goal = (rng.uniform(low, high, (1, 3, 7)) for _ in range(2))
    actions = moved_actions(PANDA, way[None, 0], way[None, 1:], q_now, q_goal)
    assert actions.shape == (1, 3, steps, 7)
    np.testing.assert_array_equal(actions[:, :, -1], q_goal)
    assert (actions >= low - 1e-12).all()
    assert (actions <= high + 1e-12).all()
    same = moved_actions(PANDA, way[None, 0], way[None, 1:], way[None, None, 0], way[None, None, -1])
    np.testing.assert_allclose(same[0, 0], way[1:], atol=1e-12)
    if steps == 25:  # begins where the arm is, with little of the goal's offset
        first = way[1] - way[0] + q_now[0]
        assert np.abs(actions[0, :, 0] - np.clip(first, low, high)).max() < 0.005 * 2 * np.abs(high - low).max()


def test_splits_are_by_episode(cache):
    train, val = (
        FollowingWindows(cache, "train", show_progress=False),
        FollowingWindows(cache, "val", show_progress=False),
    )
    assert (len(train), len(val)) == (2 * T, T)
    assert {train.instruction(i) for i in range(len(train))} == {"push button 0", "push button 1"}
    assert {val.instruction(i) for i in range(len(val))} == {"push button 2"}
    with pytest.raises(ValueError, match="valid are 'train', 'val' and 'all'"):
        FollowingWindows(cache, "test")


def test_the_last_tenth_of_each_task_is_held_out_however_they_are_sorted(tmp_path):
    tasks = ["a"] * 11 + ["b"] * 2 + ["c"]
    with DatasetWriter(tmp_path, synthetic.rig()) as writer:
        for seed, task in enumerate(tasks):
            writer.add(replace(synthetic.episode(seed, T=2), task=task))
    cache = WindowCache.build(Dataset(tmp_path), 2, show_progress=False)
    assert cache.numbers == (*range(10), 11, 13, 10, 12)
    assert [cache.tasks[i] for i in cache.episodes("val")] == ["a", "b"]
    np.testing.assert_array_equal(cache.q[2 * 12], Dataset(tmp_path).episode(10).q[0].astype(np.float32))


def test_a_finished_cache_is_opened_again_and_worker_processes_make_the_same(dataset, cache, tmp_path):
    before = (cache.folder / "images.npy").stat().st_mtime_ns
    assert WindowCache.build(dataset, K, show_progress=False).folder == cache.folder
    assert (cache.folder / "images.npy").stat().st_mtime_ns == before
    other = WindowCache.build(dataset, K, folder=tmp_path, workers=2, show_progress=False)
    for name in ("images", "target_rgb", "target_alpha", "target_labels", "q"):
        np.testing.assert_array_equal(getattr(other, name), getattr(cache, name))
    assert [path.name for path in tmp_path.iterdir()] == [cache.folder.name]


def test_a_grown_data_set_gets_a_new_cache_and_the_old_one_goes(tmp_path):
    for seed in (0, 1):
        with DatasetWriter(tmp_path, synthetic.rig()) as writer:
            writer.add(synthetic.episode(seed, T=3))
        cache = WindowCache.build(Dataset(tmp_path), 2, show_progress=False)
        assert len(cache) == 3 * (seed + 1)
        assert list((tmp_path / ".cache").iterdir()) == [cache.folder]


def test_failed_episodes_are_not_trained_on(tmp_path):
    with DatasetWriter(tmp_path, synthetic.rig()) as writer:
        for seed in range(3):
            writer.add(synthetic.episode(seed, T=3 + seed, instruction=f"push button {seed}", success=seed != 1))
    cache = WindowCache.build(Dataset(tmp_path), 2, show_progress=False)
    assert cache.numbers == (0, 2)
    assert cache.instructions == ("push button 0", "push button 2")
    assert list(cache.offsets) == [0, 3, 8]
    np.testing.assert_array_equal(cache.q[3:], Dataset(tmp_path).episode(2).q.astype(np.float32))


def test_a_cache_travels_to_other_processes_without_its_arrays(cache):
    assert cache.images.shape[0] == len(cache)
    assert len(pickle.dumps(cache)) < 10_000


def test_what_cannot_be_windowed_is_refused(dataset, cache, tmp_path):
    with pytest.raises(ValueError, match="horizon 0"):
        WindowCache.build(dataset, 0)
    with pytest.raises(ValueError, match="variants is 0"):
        FollowingWindows(cache, variants=0)
    with DatasetWriter(tmp_path, synthetic.rig()) as writer:
        with pytest.raises(ValueError, match="no successful episodes yet"):
            WindowCache.build(Dataset(tmp_path), K)
        writer.add(synthetic.episode(0, T=3))
    with pytest.raises(ValueError, match="need two at least"):
        FollowingWindows(WindowCache.build(Dataset(tmp_path), K, show_progress=False), "val")


def test_tasks_are_balanced_however_long_they_are(cache):
    assert list(cache.balanced()) == list(cache.windows())  # there is one task
    two = replace(cache, tasks=("short", "long", "long"))
    order = two.balanced()
    assert sorted(set(order)) == list(two.windows())
    of_task = np.array(two.tasks)[two.episode_index[order]]
    assert (of_task == "short").sum() == (of_task == "long").sum() == 2 * T


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data.replace(b"(36, 7)", b"(99999999999, 7)"),
        lambda data: data.replace(b"(36, 7)", b"(35, 7)"),
        lambda data: data.replace(b"<f4", b"<i4"),
        lambda data: data.replace(b"'shape'", b"'shard'"),
        lambda data: data[: len(data) // 2],
        lambda data: pickle.dumps({"q": 1}),
        lambda data: b"",
    ],
    ids=["huge", "short", "integers", "header", "half", "pickle", "empty"],
)
def test_a_damaged_array_of_a_cache_is_named_with_the_remedy(cache, tmp_path, damage):
    folder = tmp_path / cache.folder.name
    shutil.copytree(cache.folder, folder)
    other = replace(cache, folder=folder)
    data = (folder / "q.npy").read_bytes()
    assert damage(data) != data
    (folder / "q.npy").write_bytes(damage(data))
    with pytest.raises(ValueError, match=rf"q.npy is damaged: .*remove {folder}: it is made again"):
        _ = other.q
    assert other.gripper.shape == (36,)
