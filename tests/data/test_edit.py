"""Data sets merged, split, checked, and with episodes dropped; and what lerobot's tools leave of one."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from genima_core.data import layout
from genima_core.data.dataset import Dataset, DatasetWriter
from genima_core.data.edit import copy, problems, shares
from genima_ros.cli import data as verbs

from . import synthetic


def write(root, seeds, fps=20, size=32):
    with DatasetWriter(root, synthetic.rig(size), fps) as writer:
        for seed in seeds:
            writer.add(synthetic.episode(seed, size=size, success=seed != 2))
    return root


def same(a: Dataset, i: int, b: Dataset, j: int) -> None:
    one, other = a.episode(i), b.episode(j)
    for name in ("stamps_s", "image_stamps_s", "q", "dq", "gripper", "action_q", "action_gripper"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name, frames in one.images.items():
        np.testing.assert_array_equal(frames, other.images[name])
    assert (one.task, one.seed, one.success) == (other.task, other.seed, other.success)


def test_a_merged_set_has_all_episodes_and_their_very_videos(tmp_path):
    a, b = write(tmp_path / "a", (0, 1)), write(tmp_path / "b", (2,))
    verbs.merge((a, b), tmp_path / "both")
    both = Dataset(tmp_path / "both")
    assert both.seeds == (0, 1, 2)
    for index, (root, own) in enumerate(((a, 0), (a, 1), (b, 0))):
        same(both, index, Dataset(root), own)
    for key in map(layout.video_key, both.rig.names):
        assert layout.video_path(both.root, key, 2).read_bytes() == layout.video_path(b, key, 0).read_bytes()
    assert pq.read_table(layout.episode_path(both.root, 2)).to_pylist()[0]["dataset_from_index"] == 24
    with DatasetWriter(both.root, both.rig) as writer:  # it can be added to
        assert writer.add(synthetic.episode(5)) == 3


def test_sets_that_do_not_belong_together_are_refused(tmp_path):
    a = Dataset(write(tmp_path / "a", (0,)))
    with pytest.raises(ValueError, match="a has 20 rows per second, .*b 10"):
        copy([(a, 0), (Dataset(write(tmp_path / "b", (0,), fps=10)), 0)], tmp_path / "out")
    with pytest.raises(ValueError, match="different camera rigs .*its images are 64x64, not 32x32"):
        copy([(a, 0), (Dataset(write(tmp_path / "c", (0,), size=64)), 0)], tmp_path / "out")
    with pytest.raises(FileExistsError, match="name a new folder"):
        copy([(a, 0)], a.root)
    with pytest.raises(ValueError, match="no episodes are left"):
        copy([], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_left_where_an_episode_is_damaged(tmp_path):
    a = write(tmp_path / "a", (0, 1))
    layout.video_path(a, layout.video_key("front"), 1).write_bytes(b"no video")
    with pytest.raises(ValueError, match="file-001.mp4 is damaged"):
        verbs.merge((a,), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_split_takes_its_share_of_each_task(tmp_path):
    verbs.split(write(tmp_path / "a", range(5)), {"train": 0.6, "test": 0.4}, tmp_path / "parts")
    assert Dataset(tmp_path / "parts/train").seeds == (0, 1, 2)
    assert Dataset(tmp_path / "parts/test").seeds == (3, 4)
    whole = Dataset(tmp_path / "a")
    with pytest.raises(ValueError, match="each must be positive, all together 1"):
        shares(whole, {"train": 0.6, "test": 0.3})
    with pytest.raises(ValueError, match="5 episodes are too few for test"):
        shares(whole, {"train": 0.99, "test": 0.01})


def test_episodes_are_dropped_by_number_and_failures(tmp_path):
    root = write(tmp_path / "a", range(4))
    verbs.drop(root, tmp_path / "fewer", episodes=(0,), failures=True)
    assert Dataset(tmp_path / "fewer").seeds == (1, 3)
    for options, told in (
        ({"episodes": (9,)}, "no episode 9; .*holds 4, counted from 0"),
        ({"tasks": ("juggle",)}, "the task is 'juggle'; valid are push_button"),
        ({"tasks": ("push_button",)}, "no episodes are left"),
        ({}, "nothing to leave out"),
    ):
        with pytest.raises(ValueError, match=told):
            verbs.drop(root, tmp_path / "none", **options)


def test_a_check_names_what_is_wrong(tmp_path, capsys):
    root = write(tmp_path / "a", range(3))
    assert verbs.check(root) == 0
    layout.video_path(root, layout.video_key("wrist"), 1).unlink()
    path = layout.data_path(root, 2)
    table = pq.read_table(path, partitioning=None)
    state = table["observation.state"].combine_chunks().values.to_numpy().copy()
    state[3] = 1.0  # joint 4 of the first row; it is negative
    changed = type(table["observation.state"].combine_chunks()).from_arrays(state, 8)
    pq.write_table(table.set_column(table.column_names.index("observation.state"), "observation.state", changed), path)
    found = list(problems(Dataset(root), show_progress=False))
    assert "episode 1: video" in found[0]
    assert "is missing" in found[0]
    assert found[1].startswith("episode 2: joint 4 is 1.07 rad beyond the limits of panda")
    assert len(found) == 2
    assert verbs.check(root) == 1
    assert "2 problems" in capsys.readouterr().out


def test_info_counts_by_task(tmp_path, capsys):
    verbs.info(write(tmp_path / "a", range(3)), tmp_path / "info.json")
    out = capsys.readouterr().out
    assert "3 episodes, 36 frames at 20 per second" in out
    assert out.splitlines()[-1].split() == ["push_button", "3", "2", "36", "1"]
    assert (tmp_path / "info.json").is_file()


def test_numbers_that_lerobot_made_floats_of_are_read(tmp_path):
    """Where it merges a set of ours with one that lacks our columns, seeds become 0.0 and NaN."""
    root = write(tmp_path / "a", (3, 2))
    for index, values in enumerate(({"seed": 3.0, "success": 1.0}, {"seed": np.nan, "success": np.nan, "task": None})):
        path = layout.episode_path(root, index)
        pq.write_table(type(pq.read_table(path)).from_pylist([{**pq.read_table(path).to_pylist()[0], **values}]), path)
    dataset = Dataset(root)
    assert (dataset.seeds, dataset.successes) == ((3, -1), (True, True))
    assert dataset.tasks == ("push_button", "push the red button")


def test_episodes_that_share_a_file_are_read_and_encoded_anew(tmp_path):
    """As lerobot writes them: the second episode begins in the middle of the video."""
    from genima_core.data.video import VideoFrames, encode

    frames = np.concatenate([synthetic.frames(np.random.default_rng(i), 30, 32) for i in range(3)])
    encode(tmp_path / "a.mp4", frames, 20)
    for first, count in ((0, 90), (30, 30), (61, 29), (89, 1)):
        read = np.stack(list(VideoFrames(tmp_path / "a.mp4", first, count, (32, 32), 20)))
        assert np.abs(read.astype(int) - frames[first : first + count]).mean() < 6
    with pytest.raises(ValueError, match="has no frame 90; 91 are needed"):
        list(VideoFrames(tmp_path / "a.mp4", 60, 31, (32, 32), 20))
    shutil.rmtree(tmp_path)
