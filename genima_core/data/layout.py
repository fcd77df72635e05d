"""Where LeRobotDataset v3.0 keeps what, and what its tables look like. No reading or writing here.

Every episode has its own files (the format allows any number of episodes per file): that is what makes it atomic.

Beyond what the format asks for there are the columns ``stamp`` and ``stamp.<camera>`` (capture times; ``timestamp`` is
frame_index / fps, as the format wants it), ``skew.<camera>`` (how much later than the joints the image was taken, in s;
lerobot hands out float32, which a stamp does not survive but a skew does), ``commander`` (who commanded from this row
to the next: 0 neither or unknown, 1 a policy, 2 a human), ``seed``, ``success`` and ``task`` per episode, and
``meta/rig.json``.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from genima_core.cameras import CameraRig
from genima_core.data import video
from genima_core.data.episode import Episode

VERSION = "v3.0"
FILES_PER_CHUNK = 1000
INFO, STATS, TASKS, RIG = "meta/info.json", "meta/stats.json", "meta/tasks.parquet", "meta/rig.json"
_FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
EPISODE_PATH = f"meta/episodes/{_FILE}.parquet"
DATA_PATH = f"data/{_FILE}.parquet"
VIDEO_PATH = "videos/{video_key}/" + f"{_FILE}.mp4"

GRIPPER = "gripper"
"""Name of the eighth element of states and actions: opening, 0 closed to 1 open."""


def place(root: Path, template: str, **values: int | str) -> Path:
    """Where a file lies by info.json's template; ValueError where that asks for more, or leads out of the data set."""

    def fill(match: re.Match[str]) -> str:
        if match["name"] not in values:
            raise ValueError(f"{template[:80]!r} asks for {match[0][:40]}; known are {', '.join(values)}")
        return f"{values[match['name']]:{match['format'] or ''}}"

    filled = re.sub(r"\{(?P<name>[^{}:]*)(?::(?P<format>0\dd))?\}", fill, template)
    if "{" in filled or Path(filled).is_absolute() or ".." in Path(filled).parts:
        raise ValueError(f"{template[:80]!r} is not a path in a data set, such as {DATA_PATH!r}")
    return root / filled


def chunk_and_file(index: int) -> dict[str, int]:
    return {"chunk_index": index // FILES_PER_CHUNK, "file_index": index % FILES_PER_CHUNK}


def episode_path(root: Path, index: int) -> Path:
    return place(root, EPISODE_PATH, **chunk_and_file(index))


def data_path(root: Path, index: int) -> Path:
    return place(root, DATA_PATH, **chunk_and_file(index))


def video_path(root: Path, key: str, index: int) -> Path:
    return place(root, VIDEO_PATH, video_key=key, **chunk_and_file(index))


def video_key(camera: str) -> str:
    return f"observation.images.{camera}"


def stamp_key(camera: str) -> str:
    return f"stamp.{camera}"


def skew_key(camera: str) -> str:
    return f"skew.{camera}"


def features(rig: CameraRig, fps: int) -> dict[str, dict[str, Any]]:
    joints, (width, height) = list(rig.arm.joint_names), rig.size
    film = {
        "video.height": height,
        "video.width": width,
        "video.channels": 3,
        "video.fps": fps,
        "video.codec": "h264",
        "video.pix_fmt": video.pixel_format(width, height),
        "video.is_depth_map": False,
        "has_audio": False,
    }
    names = ["height", "width", "channels"]
    filmed = {"dtype": "video", "shape": [height, width, 3], "names": names, "info": film}
    result: dict[str, dict[str, Any]] = {video_key(name): filmed for name in rig.names}
    state = [*joints, GRIPPER]
    for key, names in (("observation.state", state), ("observation.velocity", joints), ("action", state)):
        result[key] = {"dtype": "float32", "shape": [len(names)], "names": names}
    scalars = {
        "float64": ("stamp", *map(stamp_key, rig.names)),
        "float32": (*map(skew_key, rig.names), "timestamp"),
        "int64": ("commander", "frame_index", "episode_index", "index", "task_index"),
    }
    for dtype, keys in scalars.items():
        result |= {key: {"dtype": dtype, "shape": [1], "names": None} for key in keys}
    return result


def info(rig: CameraRig, fps: int, episodes: int, frames: int, tasks: int) -> dict:
    return {
        "codebase_version": VERSION,
        "robot_type": rig.arm.name,
        "total_episodes": episodes,
        "total_frames": frames,
        "total_tasks": tasks,
        "chunks_size": FILES_PER_CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": fps,
        "splits": {"train": f"0:{episodes}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH,
        "features": features(rig, fps),
    }


def columns(
    episode: Episode, rig: CameraRig, fps: int, index: int, first_row: int, task_index: int
) -> dict[str, np.ndarray]:
    """Column name to values of the episode's rows in the data table; videos are not among them."""
    T = len(episode)
    result: dict[str, np.ndarray] = {
        "observation.state": np.column_stack([episode.q, episode.gripper]),
        "observation.velocity": episode.dq,
        "action": np.column_stack([episode.action_q, episode.action_gripper]),
        "stamp": episode.stamps_s,
        "commander": np.zeros(T) if episode.commander is None else episode.commander,
    }
    for name, stamps_s in zip(rig.names, episode.image_stamps_s.T, strict=True):
        result |= {stamp_key(name): stamps_s, skew_key(name): stamps_s - episode.stamps_s}
    result |= {"timestamp": np.arange(T) / fps, "frame_index": np.arange(T), "episode_index": np.full(T, index)}
    result |= {"index": first_row + np.arange(T), "task_index": np.full(T, task_index)}
    kinds = features(rig, fps)
    return {key: value.astype(kinds[key]["dtype"]) for key, value in result.items()}


def data_table(values: dict[str, np.ndarray]) -> pa.Table:
    """The data table of `columns`; vectors become lists of fixed length."""
    arrays = [
        pa.array(v) if v.ndim == 1 else pa.FixedSizeListArray.from_arrays(pa.array(v.ravel()), v.shape[1])
        for v in values.values()
    ]
    return pa.table(arrays, names=list(values))


def task_table(instructions: list[str]) -> pa.Table:
    """The table of tasks; in this format a task is its instruction, and the index of a pandas frame."""
    indices = pa.array(range(len(instructions)), pa.int64())
    table = pa.table({"task_index": indices, "task": pa.array(instructions, pa.string())})
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "pandas_version": "2.2.0",
        "columns": [
            {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy, "metadata": None}
            for name, kind, numpy in (("task_index", "int64", "int64"), ("task", "unicode", "object"))
        ],
    }
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})


def statistics(values: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Feature to min, max, mean, std, count and quantiles over the rows of `columns`."""
    result = {}
    for key, value in values.items():
        rows = value.reshape(len(value), -1).astype(np.float64)
        result[key] = {name: getattr(rows, name)(0) for name in ("min", "max", "mean", "std")}
        result[key] |= dict(
            zip(video.QUANTILES, np.quantile(rows, list(video.QUANTILES.values()), axis=0), strict=True)
        )
        result[key]["count"] = np.array([len(rows)])
    return result


def merge_statistics(parts: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, list]]:
    """The statistics of all episodes together, ready for stats.json; quantiles, as lerobot's, are means of theirs."""
    result = {}
    for key in parts[0] if parts else ():
        stats = [{name: np.asarray(value, dtype=np.float64) for name, value in part[key].items()} for part in parts]
        number = sum(s["count"][0] for s in stats)
        mean = sum(s["count"][0] * s["mean"] for s in stats) / number
        variance = sum(s["count"][0] * (s["std"] ** 2 + (s["mean"] - mean) ** 2) for s in stats) / number
        result[key] = {
            "min": np.min([s["min"] for s in stats], axis=0).tolist(),
            "max": np.max([s["max"] for s in stats], axis=0).tolist(),
            "mean": mean.tolist(),
            "std": np.sqrt(variance).tolist(),
            "count": [int(number)],
        }
        for name in video.QUANTILES:
            if all(name in s for s in stats):
                result[key][name] = (sum(s["count"][0] * s[name] for s in stats) / number).tolist()
    return result


def episode_row(episode: Episode, rig: CameraRig, fps: int, index: int, first_row: int, stats: dict) -> dict:
    place, T = chunk_and_file(index), len(episode)
    row = {
        "episode_index": index,
        "tasks": [episode.instruction],
        "length": T,
        "dataset_from_index": first_row,
        "dataset_to_index": first_row + T,
        "seed": episode.seed,
        "success": episode.success,
        "task": episode.task,
    }
    for prefix in ("data", "meta/episodes", *(f"videos/{video_key(name)}" for name in rig.names)):
        row |= {f"{prefix}/{key}": value for key, value in place.items()}
    for name in rig.names:
        row |= {f"videos/{video_key(name)}/from_timestamp": 0.0, f"videos/{video_key(name)}/to_timestamp": T / fps}
    return row | {f"stats/{key}/{name}": value.tolist() for key, part in stats.items() for name, value in part.items()}
