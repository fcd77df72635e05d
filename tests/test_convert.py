"""`genima convert bags|rlbench|agent|controller`: each reads its own kind of source and refuses others by name."""

import json
import sys
import types

import pytest

from genima_core.data.dataset import Dataset, DatasetWriter
from genima_core.importers.sources import check_kind
from genima_ros.cli import main as cli

from .data import rlbench_source, synthetic
from .data.bags import recorded


@pytest.fixture
def converted_controllers(monkeypatch):
    """Arguments of each controller that would have been converted."""
    calls = []
    module = types.ModuleType("genima_core.importers.robobase")
    module.convert_controller = lambda *arguments: calls.append(arguments) or {"weights": 1}
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


def test_an_rlbench_folder_becomes_a_data_set_that_can_be_drawn(tmp_path):
    variation = rlbench_source.write_variation(tmp_path / "source", episodes=2)
    place = tmp_path / "results/convert.json"
    assert (
        cli.run(
            [
                "convert",
                "rlbench",
                str(variation),
                str(tmp_path / "set"),
                "--size",
                "16",
                "--episodes",
                "1",
                "--cameras",
                "wrist",
                "front",
                "left_shoulder",
                "right_shoulder",
                "--json",
                str(place),
            ]
        )
        == 0
    )
    dataset, result = Dataset(tmp_path / "set"), json.loads(place.read_text())
    assert (len(dataset), dataset.rig.size) == (1, (16, 16))
    assert dataset.rig.names == ("wrist", "front", "left_shoulder", "right_shoulder")
    assert (result["episodes"], result["fingerprint"]) == (1, dataset.fingerprint())
    assert (
        cli.run(["draw", str(tmp_path / "set"), "--out", str(tmp_path / "pictures"), "--count", "1", "--horizon", "3"])
        == 0
    )
    assert (tmp_path / "pictures/window_00.png").is_file()


def test_recordings_become_a_data_set_that_can_be_drawn(tmp_path, capsys):
    for name, label in (("episode_0", "success"), ("episode_1", "failure")):
        recorded.write(tmp_path / "bags" / name, info={"label": label})
    place = tmp_path / "results/convert.json"
    command = [
        "convert",
        "bags",
        str(tmp_path / "bags"),
        str(tmp_path / "set"),
        "--crop",
        "square",
        "--size",
        "16",
        "--fps",
        "10",
        "--json",
        str(place),
    ]
    assert cli.run(command) == 0
    dataset, result = Dataset(tmp_path / "set"), json.loads(place.read_text())
    assert (len(dataset), dataset.fps, dataset.rig.size) == (1, 10, (16, 16))
    assert (result["episodes"], result["fingerprint"]) == (1, dataset.fingerprint())
    assert result["skipped"] == {"episode_1": "labelled a failure (--include-failures includes it)"}
    assert cli.run([*command[:3], str(tmp_path / "all"), "--include-failures"]) == 0
    assert Dataset(tmp_path / "all").successes == (True, False)
    assert (
        cli.run(["draw", str(tmp_path / "set"), "--out", str(tmp_path / "pictures"), "--count", "1", "--horizon", "3"])
        == 0
    )


@pytest.mark.parametrize("folder", [False, True])
def test_a_controller_is_handed_on_with_its_rig(folder, tmp_path, converted_controllers):
    source = tmp_path / "controller_act/latest.pt"
    source.parent.mkdir()
    source.write_bytes(b"weights")
    (source.parent / "config.yaml").write_text("method: act\n")
    if folder:
        (source.parent / "900.pt").write_bytes(b"older")
    given, rig = source.parent if folder else source, synthetic.rig(16)
    rig.save(tmp_path / "rig.json")
    DatasetWriter(tmp_path / "set", rig).close()
    for place, text_encoder, joints in ((tmp_path / "rig.json", None, "vendor"), (tmp_path / "set", "clip", "rlbench")):
        options = ["--rig", str(place), "--json", str(tmp_path / "result.json")]
        options += ["--text-encoder", text_encoder, "--joints", joints] if text_encoder else []
        assert cli.run(["convert", "controller", str(given), str(tmp_path / "out"), *options]) == 0
        assert json.loads((tmp_path / "result.json").read_text()) == {"weights": 1}
        given_source, out, given_rig, *others = converted_controllers.pop()
        assert (given_source, out, others) == (source, tmp_path / "out", [text_encoder, joints])
        assert given_rig.fingerprint() == rig.fingerprint()


def test_another_kind_of_source_is_refused_with_its_verb(tmp_path, capsys):
    recorded.write(tmp_path / "bags/episode_0")
    rlbench_source.write_variation(tmp_path / "rlbench", T=2)
    (tmp_path / "agent/checkpoint-5/controlnet").mkdir(parents=True)
    (tmp_path / "agent/checkpoint-5/controlnet/config.json").write_text('{"_class_name": "ControlNetModel"}')
    (tmp_path / "controller").mkdir()
    (tmp_path / "controller/latest.pt").write_bytes(b"weights")
    kinds = ("bags", "rlbench", "agent", "controller")
    for kind in kinds:
        check_kind(tmp_path / kind, kind)
        for other in set(kinds) - {kind}:
            options = ["--rig", "rig.json"] if other == "controller" else []
            assert cli.run(["convert", other, str(tmp_path / kind), str(tmp_path / "out"), *options]) == 1
            said = capsys.readouterr().err
            assert said.endswith(f"use `genima convert {kind}`\n") and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_what_is_of_no_kind_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        check_kind(tmp_path / "nowhere", "bags")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/dear.txt").write_text("dear")
    for source, held in ((tmp_path / "letters", "It holds dear.txt"), (tmp_path / "letters/dear.txt", "another kind")):
        with pytest.raises(ValueError, match=f"it needs a rosbag2 folder .*{held}"):
            check_kind(source, "bags")
    for name in ("500.pt", "900.pt"):
        (tmp_path / "letters" / name).write_text("")
    with pytest.raises(ValueError, match="several controllers, give one of: 500.pt, 900.pt"):
        check_kind(tmp_path / "letters", "controller")
