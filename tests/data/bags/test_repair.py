"""Bags that were cut off or damaged, found and mended."""

import json
import os
import random
import shutil
from functools import partial
from pathlib import Path

import pytest
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from genima_core.data.bags import messages
from genima_core.data.bags.episode_info import EpisodeInfo
from genima_core.data.bags.reader import find_bags, open_bag
from genima_core.data.bags.storage import METADATA
from genima_core.data.bags.writer import KEPT, BagWriter, repair
from genima_ros.cli import main as cli

from . import recorded

MESSAGES = 1000


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Many small chunks."""
    writer = BagWriter(tmp_path_factory.mktemp("whole") / "episode_000000", chunk_bytes=4000)
    rng = random.Random(0)
    for i in range(MESSAGES):
        kind = "std_msgs/msg/String"
        text = messages.serialize(messages.typestore().types[kind](rng.randbytes(100).hex()), kind)
        writer.write(("/a", "/b")[i % 2], kind, text, 10**9 + i, i)
    writer.close()
    return writer.folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def damaged(whole: Path, folder: Path, change, keep_metadata: bool = False) -> Path:
    """A copy of the bag, with its file's bytes changed."""
    folder.mkdir(parents=True)
    (file,) = whole.glob("*.mcap")
    (folder / file.name).write_bytes(change(file.read_bytes()))
    if keep_metadata:
        shutil.copy(whole / METADATA, folder)
    return folder


@pytest.mark.parametrize("seed", range(12))
def test_a_file_cut_anywhere_is_mended(whole, tmp_path, seed):
    recorded_before = list(open_bag(whole).messages())
    share = random.Random(seed).random()
    folder = damaged(whole, tmp_path / "bag", lambda data: data[: int(share * len(data))], keep_metadata=seed % 2 == 0)
    try:
        done = repair(folder)
    except ValueError as error:
        assert share < 0.5 and "nothing can be read" in str(error)  # not even the first chunk
        return
    left = list(open_bag(folder).messages())
    assert left == recorded_before[: len(left)]
    assert len(left) == done.messages >= MESSAGES * share - 200  # the end of the file is its index
    with Reader(folder) as reader:
        assert reader.message_count == len(left)
    before = contents(folder)
    assert not repair(folder).changed
    assert contents(folder) == before
    assert bool(list(folder.glob(f"*{KEPT}"))) == bool(done.damage)


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_chunk_is_left_out_and_the_rest_kept(whole, tmp_path, seed):
    def flip(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[random.Random(seed).randrange(100, int(0.9 * len(data)))] ^= 0xFF
        return bytes(changed)

    recorded_before = list(open_bag(whole).messages())
    folder = damaged(whole, tmp_path / "bag", flip, keep_metadata=True)
    original = next(folder.glob("*.mcap")).read_bytes()
    done = repair(folder)
    left = list(open_bag(folder).messages())
    assert set(left) <= set(recorded_before)
    if done.changed:  # a byte that nothing depends on may have been hit
        assert "damaged" in done.damage or "cut off" in done.damage
        assert next(folder.glob(f"*{KEPT}")).read_bytes() == original
        assert 0 < done.messages < MESSAGES


def test_a_bag_that_is_being_recorded_is_left_alone(tmp_path):
    writer = BagWriter(tmp_path / "episode_000000")
    text = messages.serialize(messages.typestore().types["std_msgs/msg/String"]("a"), "std_msgs/msg/String")
    writer.write("/a", "std_msgs/msg/String", text, 1, 1)
    writer.flush()
    assert open_bag(writer.folder).being_recorded
    before = contents(writer.folder)
    with pytest.raises(ValueError, match="is being recorded; repair it when that has ended"):
        repair(writer.folder)
    assert contents(writer.folder) == before
    writer.write("/a", "std_msgs/msg/String", text, 2, 2)
    writer.close()
    assert not open_bag(writer.folder).being_recorded
    assert not repair(writer.folder).changed
    assert len(list(open_bag(writer.folder).messages())) == 2


def test_a_whole_bag_is_left_alone(whole):
    before = contents(whole)
    assert not repair(whole).changed
    assert contents(whole) == before


@pytest.mark.parametrize("text", [None, "", "a: [", "rosbag2_bagfile_information:\n  version: 9\n"])
def test_metadata_that_is_missing_or_damaged_is_written_anew(whole, tmp_path, text):
    folder = damaged(whole, tmp_path / "bag", lambda data: data)
    if text is not None:
        (folder / METADATA).write_text(text)
    done = repair(folder)
    assert done.changed and not done.damage and not list(folder.glob(f"*{KEPT}"))
    with Reader(folder) as reader:
        assert reader.message_count == done.messages == len(list(open_bag(whole).messages()))


def test_metadata_that_disagrees_is_written_anew(whole, tmp_path):
    folder = damaged(whole, tmp_path / "bag", lambda data: data, keep_metadata=True)
    text = (folder / METADATA).read_text()
    (folder / METADATA).write_text(text.replace("message_count: 500", "message_count: 17"))
    assert (folder / METADATA).read_text() != text
    assert repair(folder).changed
    assert not repair(folder).changed


def test_a_repair_that_was_cut_off_itself_is_done_again(whole, tmp_path):
    folder = damaged(whole, tmp_path / "bag", lambda data: data[: len(data) // 2])
    (folder / ".repair" / "bag").mkdir(parents=True)
    (folder / ".repair" / "bag" / "bag_0.mcap").write_bytes(b"half")
    assert repair(folder).changed
    assert not (folder / ".repair").exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: None, "there is no bag"),
        (lambda folder: folder.mkdir(), "neither metadata.yaml nor an MCAP file"),
        (lambda folder: (folder.mkdir(), (folder / "a.mcap").write_bytes(b"")), "nothing can be read"),
        (lambda folder: (folder.mkdir(), (folder / "a.mcap").write_bytes(b"\x89MCAP0\r\n")), "nothing can be read"),
        (lambda folder: (folder.mkdir(), (folder / "a.mcap").write_bytes(b"something else")), "nothing can be read"),
    ],
)
def test_what_is_no_bag_is_said_to_be_none(tmp_path, make, words):
    make(tmp_path / "bag")
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        repair(tmp_path / "bag")


def test_bags_of_others_are_read(tmp_path):
    store = get_typestore(Stores.ROS2_JAZZY)
    text = store.types["std_msgs/msg/String"]
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connection = writer.add_connection("/text", "std_msgs/msg/String", typestore=store)
        for i in range(5):
            writer.write(connection, i, store.serialize_cdr(text(str(i)), "std_msgs/msg/String"))
    bag = open_bag(tmp_path / "bag")
    assert bag.info is None
    assert bag.topics["/text"].count == 5
    assert [m.received_ns for m in bag.messages(["/text"])] == list(range(5))
    with pytest.raises(ValueError, match="ros2 bag reindex"):
        repair(tmp_path / "bag")


def test_bags_are_found_by_name(whole, tmp_path):
    for i in (2, 0, 1):
        shutil.copytree(whole, tmp_path / f"episode_{i:06d}")
    (tmp_path / "notes").mkdir()
    assert [path.name[-1] for path in find_bags(tmp_path)] == ["0", "1", "2"]
    assert find_bags(tmp_path / "episode_000001") == [tmp_path / "episode_000001"]
    assert find_bags(tmp_path / "none") == []


def test_what_is_known_of_an_episode_is_kept(tmp_path):
    info = EpisodeInfo(
        task="push_button",
        instruction="push",
        streams={"joint_states": "/joint_states"},
        label="failure",
        suspect=("a", "b"),
        quality={"x": 1.5},
        seed=3,
    )
    info.save(tmp_path)
    assert EpisodeInfo.load(tmp_path) == info
    (tmp_path / "episode.json").write_text(json.dumps({"format": 1, "task": "x"}))
    with pytest.raises(ValueError, match="is damaged: the arm is None; valid are"):
        EpisodeInfo.load(tmp_path)
    with pytest.raises(ValueError, match="label is 'good'"):
        EpisodeInfo(task="", instruction="", label="good")


@pytest.mark.parametrize("finished", [True, False])
def test_a_bag_of_which_nothing_can_be_read_is_not_sent_to_repair(tmp_path, capsys, finished):
    bag = recorded.write(tmp_path / "bag", finished=finished)
    (file,) = bag.glob("*.mcap")
    file.write_bytes(b"")
    assert cli.run(["bag", "info", str(bag)]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "unreadable" in shown and "without a message that can be read" in shown and "repair" not in shown


def test_the_verbs_show_and_mend(whole, tmp_path, capsys):
    recorded.write(tmp_path / "a" / "episode_000000", info={"suspect": ("front is frozen",)})
    recorded.write(tmp_path / "a" / "episode_000001", finished=False)
    assert cli.run(["bag", "info", str(tmp_path / "a"), "--json", str(tmp_path / "info.json")]) == 1
    shown = capsys.readouterr().out
    assert "front is frozen" in " ".join(shown.split()) and "interrupted" in shown and "genima bag repair" in shown
    states = {row["name"]: row["state"] for row in json.loads((tmp_path / "info.json").read_text())["bags"]}
    assert states == {"episode_000000": "finished", "episode_000001": "interrupted"}
    assert cli.run(["bag", "repair", str(tmp_path / "a")]) == 0
    assert "episode_000001: written again" in capsys.readouterr().out
    assert cli.run(["bag", "info", str(tmp_path / "a" / "episode_000001")]) == 0
    assert "/joint_commands" in capsys.readouterr().out
    assert cli.run(["bag", "info", str(tmp_path)]) == 1
    assert "there is no bag in" in capsys.readouterr().err


@pytest.mark.parametrize("stopped_at", [None, 1, 2, 3])
def test_several_files_of_one_bag_become_one(tmp_path, monkeypatch, stopped_at):
    """The second is cut; also where the repair itself is killed at any of its steps."""
    folder, contents = tmp_path / "session", []
    folder.mkdir()
    for i in range(2):
        part = recorded.write(tmp_path / f"part_{i}", recorded.Plan(seconds=0.5))
        contents.append([(m.topic, m.data) for m in open_bag(part).messages()])
        shutil.move(next(part.glob("*.mcap")), folder / f"session_{i}.mcap")
    cut = folder / "session_1.mcap"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    left = [(m.topic, m.data) for m in open_bag(folder).messages()]
    assert left[: len(contents[0])] == contents[0] and len(left) < len(contents[0]) + len(contents[1])
    if stopped_at is not None:
        steps = []

        def stop(*arguments, original):
            steps.append(arguments)
            if len(steps) == stopped_at:
                raise KeyboardInterrupt
            return original(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", partial(stop, original=os.replace))
            patch.setattr(Path, "unlink", lambda path, original=Path.unlink: stop(path, original=original))
            with pytest.raises(KeyboardInterrupt):
                repair(folder)
    repair(folder)
    bag = open_bag(folder)
    assert bag.finished and not bag.flaw()
    assert [(m.topic, m.data) for m in bag.messages()] == left
    assert (folder / "session_1.mcap.broken").exists()
    assert not repair(folder).changed


def test_files_that_do_not_belong_together_are_not_joined(tmp_path):
    for name in ("monday", "tuesday"):
        recorded.write(tmp_path / name, recorded.Plan(seconds=0.3))
        shutil.move(next((tmp_path / name).glob("*.mcap")), tmp_path / f"{name}.mcap")
    with pytest.raises(FileNotFoundError, match="holds 2 MCAP files and no metadata.yaml; give each a folder"):
        open_bag(tmp_path)
