"""Data sets as others write them: several episodes in a file, names and cameras of their own, without lerobot."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genima_core.data import layout
from genima_core.data.video import encode

from . import synthetic

JOINTS = [f"joint_{i}" for i in range(7)]
CAMERAS = ("wrist_left", "exterior_1_left", "exterior_2_left", "top")
MAPPED = "wrist=wrist_left,front=exterior_1_left,right_shoulder=exterior_2_left,left_shoulder=observation.images.top"
FPS, WIDTH, HEIGHT = 15, 48, 32


def rows(seed: int, T: int, opened: float) -> dict[str, np.ndarray]:
    q = synthetic.episode(seed, T).q
    gripper = np.where(np.arange(T) < T // 2, opened, 0.0)
    state, action = np.column_stack([q, gripper]), np.column_stack([synthetic.episode(seed, T).action_q, gripper])
    return {"observation.state": state.astype(np.float32), "action": action.astype(np.float32)}


def pictures(seed: int, T: int) -> np.ndarray:
    return np.repeat(synthetic.frames(np.random.default_rng(seed), T, HEIGHT), 2, axis=2)[:, :, :WIDTH]


def write(
    root: Path,
    lengths: tuple[int, ...] = (10, 14, 12),
    opened: float = 1.0,
    names: Any = None,
    robot: str | None = "franka",
    picture_camera: str | None = "top",
    extra: dict[str, list[Any]] | None = None,
) -> Path:
    """Writes one; `picture_camera` is stored as PNG in the table, the others as videos, all episodes in one file."""
    vector = {"dtype": "float32", "shape": [8], "names": names or {"axes": [*JOINTS, "gripper"]}}
    features: dict[str, Any] = {"observation.state": vector, "action": vector}
    for camera in CAMERAS:
        kind = "image" if camera == picture_camera else "video"
        shape = {"shape": [HEIGHT, WIDTH, 3], "names": ["height", "width", "channels"]}
        features[layout.video_key(camera)] = {"dtype": kind, **shape}
    columns: dict[str, list] = {}
    episodes, begin = [], 0
    for index, T in enumerate(lengths):
        values: dict[str, Any] = {name: list(map(list, value)) for name, value in rows(index, T, opened).items()}
        values |= {"timestamp": (np.arange(T) / FPS).tolist(), "episode_index": [index] * T}
        if picture_camera:
            png = [cv2.imencode(".png", picture[..., ::-1])[1].tobytes() for picture in pictures(index, T)]
            values[layout.video_key(picture_camera)] = [{"bytes": data, "path": None} for data in png]
        for name, value in values.items():
            columns.setdefault(name, []).extend(value)
        row = {"episode_index": index, "tasks": [f"do {index % 2}"], "length": T}
        for key in ("data", *map(layout.video_key, CAMERAS)):
            prefix = key if key == "data" else f"videos/{key}"
            row |= {f"{prefix}/chunk_index": 0, f"{prefix}/file_index": 0}
            row |= {} if key == "data" else {f"{prefix}/from_timestamp": begin / FPS}
        episodes.append(row)
        begin += T
    for name, value in (extra or {}).items():
        columns[name] = value
        features[name] = {"dtype": "bool", "shape": [1], "names": None}
    for camera in CAMERAS:
        if camera != picture_camera:
            path = layout.video_path(root, layout.video_key(camera), 0)
            path.parent.mkdir(parents=True)
            encode(path, np.concatenate([pictures(index, T) for index, T in enumerate(lengths)]), FPS)
    for path, table in (
        (layout.data_path(root, 0), pa.table(columns)),
        (layout.episode_path(root, 0), pa.Table.from_pylist(episodes)),
    ):
        path.parent.mkdir(parents=True)
        pq.write_table(table, path)
    paths = {"data_path": layout.DATA_PATH, "video_path": layout.VIDEO_PATH}
    info = {"codebase_version": "v3.0", "fps": FPS, "robot_type": robot, "features": features, **paths}
    (root / layout.INFO).write_text(json.dumps(info))
    stats = {"observation.state": {"max": [0.0] * 7 + [opened]}}
    (root / layout.STATS).write_text(json.dumps(stats))
    return root
