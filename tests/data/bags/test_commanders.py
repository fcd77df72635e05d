"""Who commanded each row of a recording, and episodes of one commander's turns."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from genima_core.data import edit, layout
from genima_core.data.bags.conversion import convert_recordings
from genima_core.data.bags.episodes import Options
from genima_core.data.dataset import Dataset, DatasetWriter
from genima_core.streaming.states import Commander

from . import recorded
from .recorded import BEGUN_S, Plan

NONE, POLICY, HUMAN = range(len(Commander))
TURNS = ((-0.5, "policy"), (2.0, "none"), (2.4, "human"), (4.0, "none"), (4.2, "policy"), (4.8, "none"), (5.0, "human"))
"""An attempt of 6.5 s: the operator takes over, gives back, and takes over again half a second later."""
FPS = 20


@pytest.fixture(scope="module")
def attempt(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bags")
    recorded.write(folder / "bags/attempt", Plan(seconds=6.5, commanders=TURNS, success=True), {"label": ""})
    return folder / "bags"


def convert(attempt, out, **options) -> tuple[dict, Dataset]:
    return convert_recordings(attempt, out, Options(fps=FPS, **options), show_progress=False), Dataset(out)


def test_every_row_says_who_commands_until_the_next(attempt, tmp_path):
    _, dataset = convert(attempt, tmp_path / "set")
    episode = dataset.episode(0)
    after_s = episode.stamps_s - BEGUN_S
    places = [list(Commander).index(Commander(name)) for _, name in TURNS]
    at = np.array(places)[np.searchsorted([time_s for time_s, _ in TURNS], [after_s, after_s + 1 / FPS]) - 1]
    np.testing.assert_array_equal(episode.commander, np.where(at[0] == at[1], at[0], NONE))
    assert set(episode.commander) == {NONE, POLICY, HUMAN}
    assert dataset.info["features"]["commander"] == {"dtype": "int64", "shape": [1], "names": None}


@pytest.mark.parametrize(
    ("only", "spans", "left_out"),
    [
        ("human", [(2.4, 4.0), (5.0, np.inf)], []),
        ("policy", [(-np.inf, 2.0)], ["attempt part 1"]),
    ],
)
def test_turns_of_one_become_episodes_and_short_ones_are_left_out(attempt, tmp_path, only, spans, left_out):
    whole = convert(attempt, tmp_path / "all")[1].episode(0)
    result, dataset = convert(attempt, tmp_path / only, only=only)
    assert list(result["skipped"]) == left_out and len(dataset) == len(spans)
    assert all("less than a chunk (1 s)" in reason for reason in result["skipped"].values())
    assert set(dataset.instructions) == {"push the red button"} and all(dataset.successes)
    after_s = whole.stamps_s - BEGUN_S
    for index, (begin_s, end_s) in enumerate(spans):
        episode = dataset.episode(index)
        rows = (after_s >= begin_s) & (after_s < end_s - 1 / FPS)
        np.testing.assert_allclose(episode.stamps_s, whole.stamps_s[rows], atol=1e-6)
        np.testing.assert_allclose(episode.action_q, whole.action_q[rows], atol=1e-5)
        assert set(episode.commander) == {list(Commander).index(Commander(only))}
    again, _ = convert(attempt, tmp_path / only, only=only)
    assert again["added"] == 0


def test_turns_are_cut_where_a_topic_cuts_as_well(attempt, tmp_path):
    plan = Plan(seconds=6.5, commanders=TURNS, extra=((0.0, "/run", "Bool", True), (3.0, "/run", "Bool", False)))
    source = recorded.write(tmp_path / "bags/cut", plan)
    result, _ = convert(source, tmp_path / "policy", only="policy", split_on="/run")
    assert result["episodes"] == 1
    with pytest.raises(ValueError, match="the human commands for 0.60 s only"):
        convert(source, tmp_path / "human", only="human", split_on="/run")


@pytest.mark.parametrize(
    ("commanders", "words"),
    [
        ((), r"does not say who commanded \(streamer_state\); convert it with --only all"),
        (((0.0, "policy"),), "the human never commanded in it"),
        (((0.0, "nobody"),), "does not say who commanded"),
    ],
)
def test_what_holds_nothing_of_the_human_is_left_out_with_the_reason(tmp_path, commanders, words):
    source = recorded.write(tmp_path / "bags/one", Plan(commanders=commanders))
    with pytest.raises(ValueError, match=words):
        convert(source, tmp_path / "set", only="human")
    assert set(convert(source, tmp_path / "all")[1].episode(0).commander) <= {NONE, POLICY}


def test_the_column_survives_merging_and_sets_without_it_are_read_and_not_extended(attempt, tmp_path):
    _, dataset = convert(attempt, tmp_path / "set")
    edit.copy([(dataset, 0), (dataset, 0)], tmp_path / "merged", show_progress=False)
    expected = dataset.episode(0).commander
    np.testing.assert_array_equal(Dataset(tmp_path / "merged").episode(1).commander, expected)
    older = tmp_path / "set"
    path = layout.data_path(older, 0)
    pq.write_table(pq.read_table(path, partitioning=None).drop_columns(["commander"]), path)
    info = json.loads((older / layout.INFO).read_text())
    del info["features"]["commander"]
    (older / layout.INFO).write_text(json.dumps(info))
    assert Dataset(older).episode(0).commander is None
    with pytest.raises(ValueError, match="this version can read but not extend it"):
        DatasetWriter(older, dataset.rig, FPS)
    edit.copy([(Dataset(older), 0)], tmp_path / "copied", show_progress=False)
    assert set(Dataset(tmp_path / "copied").episode(0).commander) == {NONE}
