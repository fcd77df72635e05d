"""`genima convert`: what the source is decides what happens, and which options there are."""

import json
import sys
import types

import pytest

from genima_core.data.dataset import Dataset, DatasetWriter
from genima_ros.cli import main as cli
from genima_ros.cli.convert import convert

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
        recorded.write(tmp_path / "bags" / name, about={"label": label})
    place = tmp_path / "results/convert.json"
    command = [
        "convert",
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
    assert result["skipped"] == {"episode_1": "labelled a failure (--include-failures takes it)"}
    assert cli.run([*command[:2], str(tmp_path / "all"), "--include-failures"]) == 0
    assert Dataset(tmp_path / "all").successes == (True, False)
    assert (
        cli.run(["draw", str(tmp_path / "set"), "--out", str(tmp_path / "pictures"), "--count", "1", "--horizon", "3"])
        == 0
    )
    with pytest.raises(ValueError, match="recordings, to which --tasks does not apply; valid are --fps, --crop"):
        convert(tmp_path / "bags", tmp_path / "out", tasks=("push_button",))


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
    for place, text_encoder in ((tmp_path / "rig.json", None), (tmp_path / "set", "clip")):
        result = convert(given, tmp_path / "out", rig=place, text_encoder=text_encoder, json=tmp_path / "result.json")
        assert result == json.loads((tmp_path / "result.json").read_text()) == {"weights": 1}
        given_source, out, given_rig, given_encoder = converted_controllers.pop()
        assert (given_source, out, given_encoder) == (source, tmp_path / "out", text_encoder)
        assert given_rig.fingerprint() == rig.fingerprint()
    with pytest.raises(ValueError, match="is a released controller, which does not say .* give --rig"):
        convert(given, tmp_path / "out")
    with pytest.raises(ValueError, match="to which --size, --tasks does not apply; valid are --rig, --text-encoder"):
        convert(given, tmp_path / "out", size=16, tasks=("a",), rig=tmp_path / "rig.json")
    assert not converted_controllers


def test_what_is_neither_is_refused(tmp_path, converted_controllers):
    with pytest.raises(FileNotFoundError, match="there is no .*nowhere"):
        convert(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/dear.txt").write_text("dear")
    for source, held in ((tmp_path / "letters", "It holds dear.txt"), (tmp_path / "letters/dear.txt", "another kind")):
        with pytest.raises(ValueError, match=f"is neither a recording .*RLBench data set nor .*{held}"):
            convert(source, tmp_path / "out")
    for name in ("500.pt", "900.pt"):
        (tmp_path / "letters" / name).write_text("")
    with pytest.raises(ValueError, match="several controllers, give one of: 500.pt, 900.pt"):
        convert(tmp_path / "letters", tmp_path / "out")
    rlbench_source.write_variation(tmp_path / "source", T=2)
    with pytest.raises(ValueError, match="is an RLBench data set, to which --text-encoder does not apply"):
        convert(tmp_path / "source", tmp_path / "out", text_encoder="clip")
    assert not (tmp_path / "out").exists() and not converted_controllers
