"""`genima collect`: scripted demonstrations become a data set, whatever interrupts it and however many workers."""

import json
from dataclasses import replace

import numpy as np
import pytest

from genima_core.data.dataset import Dataset
from genima_core.evaluation import collect as module
from genima_core.evaluation.collect import record
from genima_core.evaluation.config import Collection, Workers
from genima_ros.cli import collect as verb


def collect(tasks, episodes, seed, out, workers=1, ray=None, json=None, **options):
    collection = Collection(tuple(tasks.split()), seed=seed, **options)
    return verb.collect(collection, Workers(workers, ray), episodes, out, json)


def test_a_demonstration_aligns_commands_with_what_they_lead_to(tmp_path):
    collect("push_button", 2, 7, tmp_path / "set", size=32, json=tmp_path / "result.json")
    dataset = Dataset(tmp_path / "set")
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["episodes"], result["added"], result["seeds"]) == (2, 2, list(dataset.seeds))
    assert dataset.fps == 20
    assert dataset.successes == (True, True)
    assert set(dataset.tasks) == {"push_button"}
    assert dataset.seeds[0] >= 7
    for index in range(2):
        episode = dataset.episode(index)
        assert episode.images["front"].shape[1:] == (32, 32, 3)
        assert episode.images["front"].std() > 10
        np.testing.assert_allclose(np.diff(episode.stamps_s), 0.05, atol=1e-6)
        np.testing.assert_array_equal(episode.image_stamps_s, np.repeat(episode.stamps_s[:, None], 4, axis=1))
        following = np.abs(episode.q[1:] - episode.action_q[:-1]).max()
        assert following < 0.03
        assert following < np.abs(episode.q[1:] - episode.action_q[1:]).max()


def test_collecting_resumes_and_gives_the_same_with_two_workers(tmp_path):
    collect("push_button", 1, 3, tmp_path / "interrupted", size=16, start="anywhere")
    collect("push_button", 2, 3, tmp_path / "interrupted", size=16, start="anywhere")
    again = collect("push_button", 2, 3, tmp_path / "interrupted", size=16, start="anywhere")
    assert again["added"] == 0
    collect("push_button", 2, 3, tmp_path / "workers", size=16, start="anywhere", workers=2)
    assert Dataset(tmp_path / "interrupted").fingerprint() == Dataset(tmp_path / "workers").fingerprint()
    with pytest.raises(ValueError, match="size 16, not 32"):
        collect("push_button", 3, 3, tmp_path / "workers", size=32, start="anywhere")


def test_failed_seeds_are_skipped_or_kept_and_marked(tmp_path, monkeypatch):
    def every_third_fails(environment, seed, collection):
        return replace(record(environment, seed, collection), success=seed % 3 != 0)

    monkeypatch.setattr(module, "record", every_third_fails)
    result = collect("push_button", 2, 0, tmp_path / "skipped", size=16)
    assert (result["seeds"], result["failed_seeds"]) == ([1, 2], {"push_button": [0]})
    result = collect("push_button", 2, 0, tmp_path / "kept", size=16, keep_failures=True)
    assert result["seeds"] == [0, 1]
    assert Dataset(tmp_path / "kept").successes == (False, True)


def test_tasks_take_turns_and_an_interrupted_collection_goes_on_with_each(tmp_path):
    collect("pick_up_cup push_button", 1, 5, tmp_path / "set", size=16)
    result = collect("pick_up_cup push_button", 2, 5, tmp_path / "set", size=16)
    whole = collect("pick_up_cup push_button", 2, 5, tmp_path / "whole", size=16, workers=2)
    assert result["tasks"] == whole["tasks"] == {"pick_up_cup": 2, "push_button": 2}
    dataset = Dataset(tmp_path / "set")
    assert list(zip(dataset.tasks, dataset.seeds, strict=True)) == [
        ("pick_up_cup", 5),
        ("push_button", 5),
        ("pick_up_cup", 6),
        ("push_button", 6),
    ]
    assert result["fingerprint"] == whole["fingerprint"]


def test_a_broken_expert_ends_the_collection(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "record", lambda environment, seed, collection: None)
    with pytest.raises(RuntimeError, match="the expert of push_button failed on 20 seeds and solved 0"):
        collect("push_button", 2, 0, tmp_path / "set", size=16)


def test_mixed_starts_depend_on_the_seed_only():
    collection = Collection(("push_button",), start="mixed")
    assert [collection.start_of(seed) for seed in range(4)] == ["home", "anywhere", "home", "anywhere"]
    assert Collection(("push_button",), start="home").start_of(1) == "home"


def test_disturbed_demonstrations_begin_under_way_and_still_succeed():
    cell = module._environment("push_button", 16, "")
    whole, disturbed = (record(cell, 2, Collection(("push_button",), disturbed=share)) for share in (0.0, 1.0))
    assert whole.success and disturbed.success
    assert abs(whole.q[0] - cell.arm.home).max() < 0.1 < abs(disturbed.q[0] - cell.arm.home).max()
    away_rad = abs(disturbed.q[0] - whole.q).max(1).min()
    assert 0.005 < away_rad < 0.3, "beside the expert's way"
    again = record(cell, 2, Collection(("push_button",), disturbed=1.0))
    np.testing.assert_array_equal(again.q, disturbed.q)
    with pytest.raises(ValueError, match="disturbed is 1.5"):
        Collection(("push_button",), disturbed=1.5)


def test_bad_arguments_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="push_button"):
        collect("open_sesame", 1, 0, tmp_path / "set")
    with pytest.raises(ValueError, match="unknown suite 'all'; the suites are demo, paper25"):
        collect("", 1, 0, tmp_path / "set", suite="all")
    with pytest.raises(ValueError, match="name either tasks or a suite"):
        collect("push_button", 1, 0, tmp_path / "set", suite="demo")
    with pytest.raises(ValueError, match="named twice"):
        collect("push_button push_button", 1, 0, tmp_path / "set")
    with pytest.raises(ValueError, match="episodes 0"):
        collect("push_button", 0, 0, tmp_path / "set")
    with pytest.raises(ValueError, match="no Ray cluster answers at '127.0.0.1:9'"):
        collect("push_button", 1, 0, tmp_path / "set", ray="127.0.0.1:9")
    assert not (tmp_path / "set").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        collect("push_button", 1, 0, tmp_path / "file")
