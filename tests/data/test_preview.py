"""`genima draw`: pictures of what the models train on."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from genima_core.data.dataset import DatasetWriter
from genima_ros.cli.draw import draw

from . import synthetic


@pytest.fixture
def recorded(tmp_path):
    with DatasetWriter(tmp_path / "set", synthetic.rig()) as writer:
        for seed in (0, 1):
            writer.add(synthetic.episode(seed))
    return tmp_path / "set"


def test_pictures_show_observation_drawing_and_controller_input(recorded, tmp_path):
    draw(recorded, tmp_path / "out", count=3, horizon=4, json=tmp_path / "out.json")
    result = json.loads((tmp_path / "out.json").read_text())
    assert len(result["pictures"]) == len(result["windows"]) == 3
    for path in result["pictures"]:
        observation, drawing, controller = (
            part.astype(int)
            for part in np.split(np.delete(cv2.imread(path), [*range(512, 520), *range(1032, 1040)], axis=1), 3, axis=1)
        )
        assert observation.shape == (512, 512, 3)
        assert 0.01 < (observation != drawing).any(-1).mean() < 0.4
        assert (drawing != controller).any(-1).mean() > 0.5
    with Image.open(result["film"]) as film:
        assert film.n_frames == 6
    assert Path(result["film"]).stat().st_size < 2_000_000


def test_a_folder_of_textures_becomes_the_background_and_the_seed_decides(recorded, tmp_path):
    (tmp_path / "textures").mkdir()
    cv2.imwrite(str(tmp_path / "textures/green.png"), np.full((64, 64, 3), (0, 200, 0), np.uint8))
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        draw(recorded, tmp_path / name, count=2, seed=seed, textures=tmp_path / "textures")
    picture = cv2.imread(str(tmp_path / "a/window_00.png"))
    assert (picture[:, 1040:] == (0, 200, 0)).all(-1).mean() > 0.5
    read = [(tmp_path / name / "window_00.png").read_bytes() for name in "abc"]
    assert read[0] == read[1] != read[2]


def test_nothing_to_draw_is_refused(recorded, tmp_path):
    with pytest.raises(ValueError, match="count 0"):
        draw(recorded, tmp_path / "out", count=0)
    with pytest.raises(FileNotFoundError, match="is not a data set"):
        draw(tmp_path, tmp_path / "out")
    DatasetWriter(tmp_path / "empty", synthetic.rig()).close()
    with pytest.raises(ValueError, match="no episodes yet"):
        draw(tmp_path / "empty", tmp_path / "out")
