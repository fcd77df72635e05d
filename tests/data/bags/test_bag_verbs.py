"""What `genima bag info` and `genima bag repair` say of bags in every state."""

import json
from dataclasses import replace
from pathlib import Path

from rosbags.convert.cli import main as rosbags_convert

from genima_core.data.bags.episode_info import EpisodeInfo
from genima_core.data.bags.reader import open_bag
from genima_ros.cli import main as cli

from . import recorded


def state(folder: Path, tmp_path: Path) -> dict:
    cli.run(["bag", "info", str(folder), "--json", str(tmp_path / "info.json")])
    return json.loads((tmp_path / "info.json").read_text())["bags"][0]


def test_a_finished_bag_that_was_cut_is_damaged_until_it_is_mended(tmp_path, capsys):
    folder = recorded.write(tmp_path / "episode_000000")
    (file,) = folder.glob("*.mcap")
    file.write_bytes(file.read_bytes()[:-20])  # only the index is lost
    row = state(folder, tmp_path)
    assert row["state"] == "damaged" and "the end of" in row["problem"]
    assert "genima bag repair" in capsys.readouterr().out
    assert cli.run(["bag", "repair", str(folder)]) == 0
    assert state(folder, tmp_path)["state"] == "finished"


def test_a_mended_recording_is_measured_and_stays_suspect(tmp_path):
    interrupted = "its recording was interrupted"
    folder = recorded.write(
        tmp_path / "episode_000000",
        recorded.Plan(seconds=2.0, without=("camera/front",)),
        info={"suspect": (interrupted,)},
        finished=False,
    )
    assert cli.run(["bag", "repair", str(folder)]) == 0
    info = state(folder, tmp_path)["info"]
    assert info["suspect"] == [interrupted, "front sent no image"]
    assert info["quality"]["cameras"]["wrist"]["messages"] == 60


def test_a_mended_recording_needs_no_leader(tmp_path):
    folder = recorded.write(tmp_path / "episode_000000", recorded.Plan(seconds=1.0), finished=False)
    info = EpisodeInfo.load(folder)  # a leader would have been recorded, had there been one
    replace(info, streams={**info.streams, "leader_joint_states": "/leader/joint_states"}).save(folder)
    assert cli.run(["bag", "repair", str(folder)]) == 0
    assert state(folder, tmp_path)["info"]["suspect"] == []


def test_loose_files_are_not_one_bag(tmp_path, capsys):
    for number in range(2):
        (file,) = recorded.write(tmp_path / f"episode_{number}", recorded.Plan(seconds=1.0)).glob("*.mcap")
        (tmp_path / "loose").mkdir(exist_ok=True)
        file.rename(tmp_path / "loose" / f"run{number}.mcap")
    row = state(tmp_path / "loose", tmp_path)
    assert row["state"] == "no bag" and "holds 2 MCAP files and no metadata.yaml" in row["problem"]
    assert "ros2 bag reindex" in row["problem"] and "genima bag repair" not in capsys.readouterr().out
    assert cli.run(["bag", "info", str(tmp_path / "loose" / "run0.mcap")]) == 1
    assert f"is a file; a bag is a folder: give {tmp_path / 'loose'}" in capsys.readouterr().err


def test_a_damaged_description_is_told_and_is_not_for_repair(tmp_path):
    folder = recorded.write(tmp_path / "episode_000000")
    (folder / "episode.json").write_text("{")
    row = state(folder, tmp_path)
    assert row["state"] == "finished" and "episode.json is damaged" in row["problem"] and row["info"] is None


def test_rosbags_converts_what_we_write(tmp_path, monkeypatch):
    folder = recorded.write(tmp_path / "episode_000000")
    monkeypatch.setattr("sys.argv", ["rosbags-convert", "--src", str(folder), "--dst", str(tmp_path / "copy")])
    try:
        rosbags_convert()
    except SystemExit as done:
        assert not done.code
    copied = {name: topic.count for name, topic in open_bag(tmp_path / "copy").topics.items()}
    assert copied == {name: topic.count for name, topic in open_bag(folder).topics.items()}
