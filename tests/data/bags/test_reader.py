"""What is read of files that are damaged in the middle, and what is said of bags that are none."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from mcap.reader import make_reader
from mcap.writer import IndexType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import Reader

from genima_core.data.bags import messages
from genima_core.data.bags.reader import open_bag
from genima_core.data.bags.storage import METADATA
from genima_core.data.bags.writer import KEPT, BagWriter, repair

STRING = "std_msgs/msg/String"


def text(content: str) -> bytes:
    return messages.serialize(messages.typestore().types[STRING](content), STRING)


@pytest.fixture
def bag(tmp_path) -> Path:
    """Ten chunks of ten messages."""
    writer = BagWriter(tmp_path / "bag", "none")
    for i in range(100):
        writer.write("/text", STRING, text("x" * 50), i, i, "- {depth: 3}")
        if i % 10 == 9:
            writer.flush()
    writer.note("genima", {"a": "b"})
    writer.close()
    return writer.folder


def file_of(folder: Path) -> Path:
    return next(folder.glob("*.mcap"))


def chunk_offsets(folder: Path) -> list[int]:
    with file_of(folder).open("rb") as file:
        return [index.chunk_start_offset for index in make_reader(file).get_summary().chunk_indexes]


def flip(folder: Path, offset: int, mask: int = 0xFF) -> None:
    data = bytearray(file_of(folder).read_bytes())
    data[offset] ^= mask
    file_of(folder).write_bytes(data)


def read(folder: Path) -> tuple[list[int], str]:
    opened = open_bag(folder)
    return [message.received_ns for message in opened.messages()], opened.damage


def test_a_whole_bag_has_no_damage(bag):
    assert read(bag) == (list(range(100)), "")
    assert open_bag(bag).flaw() == ""


@pytest.mark.parametrize("chunk", [0, 4, 9])
def test_the_messages_of_damaged_chunks_are_counted(bag, chunk):
    flip(bag, chunk_offsets(bag)[chunk] + 400)
    numbers, damage = read(bag)
    assert numbers == [i for i in range(100) if i // 10 != chunk]
    assert "1 damaged chunk; 10 messages" in damage


@pytest.mark.parametrize("byte", range(9))
def test_a_damaged_head_of_a_record_costs_one_chunk_at_most(bag, byte):
    flip(bag, chunk_offsets(bag)[4] + byte)
    numbers, damage = read(bag)
    assert numbers in ([i for i in range(100) if i // 10 != 4], list(range(100)))
    assert damage or len(numbers) == 100


def test_repair_keeps_notes_profiles_and_the_original(bag):
    flip(bag, chunk_offsets(bag)[4] + 400)
    original = file_of(bag).read_bytes()
    (bag / f"bag_0.mcap{KEPT}").write_bytes(b"of an earlier repair")
    done = repair(bag)
    assert done.messages == 90 and "10 messages" in done.damage
    assert (bag / f"bag_0.mcap{KEPT}").read_bytes() == b"of an earlier repair"
    assert (bag / f"bag_0.mcap.2{KEPT}").read_bytes() == original
    with file_of(bag).open("rb") as file:
        reader = make_reader(file)
        assert [(note.name, note.metadata) for note in reader.iter_metadata()] == [("genima", {"a": "b"})]
        (channel,) = reader.get_summary().channels.values()
    assert channel.metadata == {"offered_qos_profiles": "- {depth: 3}", "topic_type_hash": messages.type_hash(STRING)}
    assert not repair(bag).changed


def test_types_that_only_the_file_knows_are_kept(tmp_path):
    (tmp_path / "bag").mkdir()
    with (tmp_path / "bag/bag_0.mcap").open("wb") as file:
        writer = McapWriter(file)
        writer.start(profile="ros2")
        schema = writer.register_schema("arm_msgs/msg/Force", "ros2msg", b"float64 newton")
        channel = writer.register_channel("/force", "cdr", schema, {})
        writer.add_message(channel, 1, b"\0\1\0\0" + bytes(8), 1)
        writer.flush()
    assert repair(tmp_path / "bag").messages == 1
    assert open_bag(tmp_path / "bag").topics["/force"].type == "arm_msgs/msg/Force"
    with Reader(tmp_path / "bag") as reader:
        assert reader.connections[0].msgdef.data == "float64 newton"


def test_an_end_that_is_missing_shows_without_reading_all(bag):
    data = file_of(bag).read_bytes()
    file_of(bag).write_bytes(data[: len(data) // 2])
    assert "the end of bag_0.mcap is missing" in open_bag(bag).flaw()


@pytest.mark.parametrize("lacking", [("use_statistics",), ("use_summary_offsets", "use_statistics", "use_chunking")])
def test_a_file_without_the_records_that_are_optional_is_whole(bag, lacking):
    with file_of(bag).open("rb") as file:
        kept = list(make_reader(file).iter_messages())
    options = dict.fromkeys(lacking, False) | ({"index_types": IndexType.NONE} if len(lacking) > 1 else {})
    with file_of(bag).open("wb") as file:
        writer = McapWriter(file, **options)
        writer.start(profile="ros2")
        schema = writer.register_schema(STRING, "ros2msg", kept[0][0].data)
        channel = writer.register_channel("/text", "cdr", schema, {})
        for _, _, message in kept:
            writer.add_message(channel, message.log_time, message.data, message.publish_time)
        writer.finish()
    assert open_bag(bag).flaw() == ""
    assert read(bag) == (list(range(100)), "")
    with file_of(bag).open("r+b") as file:
        file.truncate(file_of(bag).stat().st_size - 20)
    assert "the end of bag_0.mcap is missing" in open_bag(bag).flaw()


def test_an_interrupted_bag_that_ends_after_a_record_has_no_damage(bag):
    data = file_of(bag).read_bytes()
    file_of(bag).write_bytes(data[: chunk_offsets(bag)[4]])
    (bag / METADATA).unlink()
    assert read(bag) == (list(range(40)), "")
    assert repair(bag).damage == "" and not list(bag.glob(f"*{KEPT}"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("storage_identifier: mcap", "storage_identifier: tape", "stored as 'tape'; readable are mcap and sqlite3"),
        ("name: /text", "nome: /text", "genima bag repair rewrites it"),
        ("bag_0.mcap", "other.mcap", "lacks other.mcap, which its metadata.yaml names"),
    ],
)
def test_metadata_that_cannot_be_used_is_told(bag, old, new, words):
    path = bag / METADATA
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        open_bag(bag)


def test_metadata_cut_anywhere_is_mended(bag, tmp_path):
    whole = (bag / METADATA).read_text()
    for cut in range(0, len(whole), 40):
        folder = tmp_path / str(cut) / "bag"
        shutil.copytree(bag, folder)
        (folder / METADATA).write_text(whole[:cut])
        repair(folder)
        assert read(folder) == (list(range(100)), "")
        assert open_bag(folder).topics["/text"].count == 100


def test_a_database_without_metadata_is_told_how_to_be_mended(tmp_path):
    sqlite3.connect(tmp_path / "a.db3").close()
    with pytest.raises(FileNotFoundError, match="ros2 bag reindex"):
        open_bag(tmp_path)
