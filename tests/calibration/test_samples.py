import json
from dataclasses import replace

import numpy as np
import pytest

from genima_core.arm import PANDA
from genima_core.calibration.samples import SampleSet, next_name
from genima_core.calibration.simulated import board_for, simulate


@pytest.fixture
def samples(rig, board, rng) -> SampleSet:
    return simulate(PANDA, rig["front"], board, board_for(rig["front"], board), rng, count=4)


def test_samples_survive_their_folder(samples, tmp_path):
    samples.save(tmp_path / "new")
    loaded = SampleSet.load(tmp_path / "new")
    assert loaded.board == samples.board
    assert [s.name for s in loaded.samples] == [s.name for s in samples.samples]
    for before, after in zip(samples.samples, loaded.samples, strict=True):
        np.testing.assert_array_equal(after.T_base_hand, before.T_base_hand)
        np.testing.assert_array_equal(after.views["front"].corners_px, before.views["front"].corners_px)
        assert after.views["front"].ids == before.views["front"].ids
        assert after.views["front"].intrinsics == before.views["front"].intrinsics


def test_the_hand_is_where_forward_kinematics_puts_it(samples):
    for sample in samples.samples:
        np.testing.assert_array_equal(sample.T_base_hand, PANDA.frame_pose(sample.q, "hand"))


def test_intrinsics_of_another_size_are_refused(samples):
    first, *others = samples.samples
    view = first.views["front"]
    small = replace(first, views={"front": replace(view, intrinsics=view.intrinsics.resize(320, 240))})
    with pytest.raises(ValueError, match="intrinsics of 320x240.*sample_000 and of 640x480.*one profile"):
        SampleSet(samples.board, (small, *others)).seen_by("front")


def test_an_empty_folder_names_the_verb(tmp_path):
    with pytest.raises(FileNotFoundError, match="genima calibrate collect"):
        SampleSet.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("q"),
        lambda data: data["q"].pop(),
        lambda data: data["views"]["front"]["ids"].pop(),
        lambda data: data["views"]["front"].pop("intrinsics"),
        lambda data: data.update(views=3),
    ],
)
def test_damaged_samples_are_refused(samples, tmp_path, change):
    samples.save(tmp_path)
    file = tmp_path / "sample_001.json"
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))
    with pytest.raises(ValueError, match="sample_001.json is not a calibration sample"):
        SampleSet.load(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_files_that_are_no_json_object_are_refused(samples, tmp_path, text):
    samples.save(tmp_path)
    (tmp_path / "sample_002.json").write_text(text)
    with pytest.raises(ValueError, match="sample_002.json is damaged"):
        SampleSet.load(tmp_path)


def test_corners_that_the_board_lacks_are_refused(samples, tmp_path):
    samples.save(tmp_path)
    data = json.loads((tmp_path / "board.json").read_text())
    (tmp_path / "board.json").write_text(json.dumps({**data, "rows": 4}))
    with pytest.raises(ValueError, match="sample_000 has corners .18, 19.* the board has 0 to 17; correct board.json"):
        SampleSet.load(tmp_path)


def test_numbers_go_on():
    assert next_name([]) == "sample_000"
    assert next_name(["sample_000", "sample_007", "sample_x"]) == "sample_008"
