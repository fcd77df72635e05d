"""The data set on disk: round trip, what a killed writer leaves, and clear refusals."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from genima_core.arm import FR3
from genima_core.data import dataset as dataset_module
from genima_core.data import layout
from genima_core.data.dataset import Dataset, DatasetWriter

from . import synthetic


def write(root: Path, seeds, **kwargs) -> None:
    with DatasetWriter(root, synthetic.rig()) as writer:
        for seed in seeds:
            writer.add(synthetic.episode(seed, **kwargs))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


def test_round_trip_keeps_everything(tmp_path):
    write(tmp_path / "set", (3,), success=False)
    write(tmp_path / "set", (4,))
    dataset = Dataset(tmp_path / "set")
    assert (len(dataset), dataset.fps, dataset.lengths, dataset.seeds) == (2, 20, (12, 12), (3, 4))
    assert dataset.successes == (False, True)
    assert dataset.tasks == ("push_button",) * 2
    assert dataset.instructions == ("push the red button",) * 2
    assert dataset.rig.fingerprint() == synthetic.rig().fingerprint()
    for index, seed in enumerate(dataset.seeds):
        written, read = synthetic.episode(seed, success=seed == 4), dataset.episode(index)
        for name in ("stamps_s", "image_stamps_s"):
            np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
        for name in ("q", "dq", "gripper", "action_q", "action_gripper"):
            np.testing.assert_allclose(getattr(read, name), getattr(written, name), atol=1e-6)
        assert (read.instruction, read.task, read.seed, read.success) == (
            written.instruction,
            written.task,
            written.seed,
            written.success,
        )
        assert tuple(read.images) == tuple(written.images)
        for name in written.images:
            assert psnr(read.images[name], written.images[name]) > 35


def test_colours_keep_their_order_and_are_not_shifted(tmp_path):
    episode = synthetic.episode(0, size=64)
    for name in episode.images:
        episode.images[name][:] = (220, 40, 10)
    with DatasetWriter(tmp_path, synthetic.rig(64)) as writer:
        writer.add(episode)
    for frames in Dataset(tmp_path).episode(0).images.values():
        np.testing.assert_allclose(frames.mean((0, 1, 2)), (220, 40, 10), atol=3)


def test_layout_is_lerobot_v3(tmp_path):
    write(tmp_path, (0, 1))
    info = json.loads((tmp_path / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (2, 24, 1)
    assert (info["splits"], info["robot_type"]) == ({"train": "0:2"}, "panda")
    data = pq.read_table(tmp_path / info["data_path"].format(chunk_index=0, file_index=1), partitioning=None)
    stored = {key: f for key, f in info["features"].items() if f["dtype"] != "video"}
    assert set(data.column_names) == set(stored)
    for key, feature in stored.items():
        kind = data.schema.field(key).type
        if feature["shape"] != [1]:
            assert kind.list_size == feature["shape"][0]
            kind = kind.value_type
        assert kind.to_pandas_dtype() == np.dtype(feature["dtype"])
    assert data["index"].to_pylist() == list(range(12, 24))
    np.testing.assert_allclose(data["timestamp"].to_pylist(), np.arange(12) / 20, atol=1e-6)
    row = pq.read_table(tmp_path / "meta/episodes/chunk-000/file-001.parquet", partitioning=None).to_pylist()[0]
    assert (row["dataset_from_index"], row["dataset_to_index"], row["length"]) == (12, 24, 12)
    assert row["tasks"] == ["push the red button"]
    for camera in synthetic.rig().names:
        key = f"observation.images.{camera}"
        assert (
            tmp_path
            / info["video_path"].format(
                video_key=key, chunk_index=row[f"videos/{key}/chunk_index"], file_index=row[f"videos/{key}/file_index"]
            )
        ).is_file()
        assert (row[f"videos/{key}/from_timestamp"], row[f"videos/{key}/to_timestamp"]) == (0.0, 0.6)
    tasks = pq.read_table(tmp_path / "meta/tasks.parquet")
    assert tasks.to_pylist() == [{"task_index": 0, "task": "push the red button"}]
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["task"]


def test_the_robot_is_the_arm_of_the_rig(tmp_path):
    DatasetWriter(tmp_path, replace(synthetic.rig(), arm=FR3)).close()
    assert json.loads((tmp_path / "meta/info.json").read_text())["robot_type"] == "fr3"


def test_statistics_are_those_of_all_rows(tmp_path):
    write(tmp_path, (0, 1, 2))
    stats = json.loads((tmp_path / "meta/stats.json").read_text())
    dataset = Dataset(tmp_path)
    action = np.vstack(
        [np.column_stack([e.action_q, e.action_gripper]) for e in map(dataset.episode, range(len(dataset)))]
    )
    np.testing.assert_allclose(stats["action"]["mean"], action.mean(0), atol=1e-6)
    np.testing.assert_allclose(stats["action"]["std"], action.std(0), atol=1e-6)
    np.testing.assert_allclose(stats["action"]["min"], action.min(0), atol=1e-6)
    medians = np.median(action.reshape(len(dataset), -1, 8), axis=1)
    np.testing.assert_allclose(stats["action"]["q50"], medians.mean(0), atol=1e-6)
    assert stats["action"]["count"] == [36]
    names = {"min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"}
    assert all(set(part) == names for part in stats.values()), "lerobot extends only data sets that have all of its own"
    assert np.shape(stats["observation.images.front"]["mean"]) == (3, 1, 1)


@pytest.mark.parametrize("files", range(15))
def test_an_interrupted_writer_leaves_the_finished_episodes(tmp_path, monkeypatch, files):
    """Fails before the n-th file is brought down to the disk or renamed."""
    with DatasetWriter(tmp_path, synthetic.rig()) as writer:
        writer.add(synthetic.episode(0))
        left = iter(range(files))

        def count(path, *rest, do):
            if next(left, None) is None:
                raise KeyboardInterrupt
            do(path, *rest)

        monkeypatch.setattr(dataset_module, "sync", partial(count, do=dataset_module.sync))
        monkeypatch.setattr(os, "replace", partial(count, do=os.replace))
        with pytest.raises(KeyboardInterrupt):
            writer.add(synthetic.episode(1, instruction="press it"))
        monkeypatch.undo()
    committed = files >= 12  # 4 videos and the data with their folders, tasks, and the row of meta/episodes
    dataset = Dataset(tmp_path)
    assert dataset.seeds == ((0, 1) if committed else (0,))
    assert all(len(dataset.episode(i)) == 12 for i in range(len(dataset)))
    write(tmp_path, (2,))
    resumed = Dataset(tmp_path)
    assert resumed.seeds == ((0, 1, 2) if committed else (0, 2))
    assert resumed.info["total_episodes"] == len(resumed)
    assert resumed.info["total_frames"] == sum(resumed.lengths)
    files = {path.name for path in (tmp_path / "data").rglob("*") if path.is_file()}
    assert files == {f"file-{i:03d}.parquet" for i in range(len(resumed))}
    assert not list(tmp_path.rglob("*.part"))
    task_index = pq.read_table(layout.data_path(tmp_path, len(resumed) - 1), partitioning=None)["task_index"][0].as_py()
    tasks = pq.read_table(tmp_path / layout.TASKS)["task"].to_pylist()
    assert tasks[task_index] == "push the red button"


def test_files_of_others_stay_and_links_are_not_followed(tmp_path):
    write(tmp_path / "set", (0,))
    notes = [tmp_path / "set" / name for name in ("data/notes.txt", "data/chunk-000/mine.csv", "videos/film.mp4")]
    for path in notes:
        path.write_text("important")
    write(tmp_path / "set", (1,))
    assert all(path.read_text() == "important" for path in notes)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file-000.parquet").write_text("important")
    for folder in ("data", "videos", "data/chunk-001"):
        link = tmp_path / "linked" / folder
        write(tmp_path / "linked", ())
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(ValueError, match=f"{folder} is a link"):
            write(tmp_path / "linked", (0,))
        link.unlink()
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["file-000.parquet"]


@pytest.mark.parametrize(
    "template",
    [
        "{0}",
        "{}",
        "{chunk_index.__class__}",
        "{chunk_index:>999999999}",
        "data/{unknown}",
        "../{chunk_index}",
        "/etc/passwd",
        "a{",
        "{chunk_index!r}",
    ],
)
def test_templates_that_lead_elsewhere_are_refused(tmp_path, template):
    with pytest.raises(ValueError, match="asks for|not a path"):
        layout.place(tmp_path, template, chunk_index=1, file_index=2)
    assert layout.place(tmp_path, layout.DATA_PATH, chunk_index=1, file_index=2).name == "file-002.parquet"


@pytest.mark.parametrize(
    "change",
    [
        {"fps": "20"},
        {"fps": 0},
        {"fps": 10**30},
        {"features": 3},
        {"features": {}},
        {"data_path": 3},
        {"video_path": None},
    ],
)
def test_an_info_of_other_types_is_refused(tmp_path, change):
    write(tmp_path, (0,))
    path = tmp_path / layout.INFO
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=next(iter(change)) if change != {"features": {}} else "no images"):
        Dataset(tmp_path)


def test_a_killed_process_leaves_the_finished_episodes(tmp_path):
    code = textwrap.dedent(f"""
        import os, sys
        sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[2])]!r}
        import synthetic
        from genima_core.data import dataset, video
        writer = dataset.DatasetWriter({str(tmp_path / "set")!r}, synthetic.rig())
        writer.add(synthetic.episode(0))
        encode = video.encode
        def encode_and_die(path, *rest):
            encode(path, *rest)
            if "right" in str(path):
                os.kill(os.getpid(), 9)
        video.encode = encode_and_die
        writer.add(synthetic.episode(1))
    """)
    assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == -9
    assert Dataset(tmp_path / "set").seeds == (0,)
    write(tmp_path / "set", (1,))
    assert Dataset(tmp_path / "set").seeds == (0, 1)


def test_totals_are_repaired_on_opening_for_writing(tmp_path):
    write(tmp_path, (0, 1))
    info = json.loads((tmp_path / "meta/info.json").read_text())
    (tmp_path / "meta/info.json").write_text(json.dumps({**info, "total_episodes": 7}))
    assert len(Dataset(tmp_path)) == 2
    write(tmp_path, ())
    assert json.loads((tmp_path / "meta/info.json").read_text()) == info


def test_fingerprint_follows_the_content_only(tmp_path):
    write(tmp_path / "a", (0, 1))
    write(tmp_path / "b", (0,))
    assert Dataset(tmp_path / "a").fingerprint() != Dataset(tmp_path / "b").fingerprint()
    write(tmp_path / "b", (1,))
    assert Dataset(tmp_path / "a").fingerprint() == Dataset(tmp_path / "b").fingerprint()
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    assert Dataset(tmp_path / "a").fingerprint() == Dataset(tmp_path / "c").fingerprint()
    write(tmp_path / "d", (0, 2))
    assert Dataset(tmp_path / "a").fingerprint() != Dataset(tmp_path / "d").fingerprint()


def test_unusable_folders_are_refused_clearly(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a data set"):
        Dataset(tmp_path)
    write(tmp_path / "set", (0,))
    info = json.loads((tmp_path / "set/meta/info.json").read_text())

    def broken(name):
        return Path(shutil.copytree(tmp_path / "set", tmp_path / name))

    (broken("version") / "meta/info.json").write_text(json.dumps({**info, "codebase_version": "v2.1"}))
    with pytest.raises(ValueError, match=r"version v2\.1, not v3\.0; lerobot upgrades it"):
        Dataset(tmp_path / "version")
    (broken("json") / "meta/info.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        Dataset(tmp_path / "json")
    (broken("rig") / "meta/rig.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"no meta/rig\.json"):
        Dataset(tmp_path / "rig")
    features = {key: f for key, f in info["features"].items() if key != "observation.images.front"}
    (broken("camera") / "meta/info.json").write_text(json.dumps({**info, "features": features}))
    with pytest.raises(ValueError, match="no images of camera 'front'"):
        Dataset(tmp_path / "camera")
    layout.video_path(broken("video"), "observation.images.wrist", 0).write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"file-000\.mp4 is damaged"):
        Dataset(tmp_path / "video").episode(0)
    layout.data_path(broken("table"), 0).write_bytes(b"no table")
    with pytest.raises(ValueError, match=r"file-000\.parquet is damaged"):
        Dataset(tmp_path / "table").episode(0)
    with pytest.raises(IndexError, match="holds 1"):
        Dataset(tmp_path / "set").episode(1)


def test_writing_where_it_does_not_fit_is_refused(tmp_path):
    write(tmp_path / "set", (0,))
    with pytest.raises(ValueError, match="another camera rig"):
        DatasetWriter(tmp_path / "set", synthetic.rig(64))
    with pytest.raises(ValueError, match="20 frames per second, not at 30"):
        DatasetWriter(tmp_path / "set", synthetic.rig(), fps=30)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/letter.txt").write_text("dear")
    with pytest.raises(ValueError, match="holds no data set"):
        DatasetWriter(tmp_path / "other", synthetic.rig())
    with DatasetWriter(tmp_path / "set", synthetic.rig()) as writer:
        with pytest.raises(ValueError, match="64x64"):
            writer.add(synthetic.episode(0, size=64))
        with pytest.raises(ValueError, match="in that order"):
            writer.add(synthetic.episode(0, names=("front", "wrist", "right_shoulder", "left_shoulder")))
        with pytest.raises(RuntimeError, match="another process"):
            DatasetWriter(tmp_path / "set", synthetic.rig())
    assert Dataset(tmp_path / "set").seeds == (0,)


def test_an_episode_of_wrong_shapes_is_refused():
    good = synthetic.episode(0)
    fields = dict(good.__dict__)
    with pytest.raises(ValueError, match=r"q has shape \(11, 7\)"):
        type(good)(**{**fields, "q": good.q[1:]})
    with pytest.raises(ValueError, match="strictly"):
        type(good)(**{**fields, "stamps_s": good.stamps_s[::-1]})
    with pytest.raises(ValueError, match="NaN"):
        type(good)(**{**fields, "dq": good.dq * np.nan})


@pytest.mark.parametrize("names", [None, ["x", "y", "z", "roll", "pitch", "yaw", "gripper"], {"motors": ["a"] * 8}])
def test_numbers_that_are_not_this_arms_joints_are_refused_by_name(tmp_path, names):
    write(tmp_path, (0,))
    path = tmp_path / "meta/info.json"
    info = json.loads(path.read_text())
    info["features"]["observation.state"]["names"] = names
    path.write_text(json.dumps(info))
    with pytest.raises(ValueError, match="elements of observation.state are .*, not the joints of panda and gripper"):
        Dataset(tmp_path)
