import pytest

pytest.importorskip("rclpy")

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from genima_ros.graph import shared_memory
from genima_ros.graph.shared_memory import PROFILES, make_room


def test_it_names_our_profiles_where_there_is_room(tmp_path, monkeypatch):
    monkeypatch.setattr(shared_memory, "NEEDED_BYTES", 0)
    environment: dict[str, str] = {}
    make_room(environment, tmp_path)
    root = ElementTree.parse(environment[PROFILES]).getroot()
    assert any(element.tag.endswith("segment_size") for element in root.iter())


def test_it_leaves_what_the_user_set_and_small_or_missing_file_systems(tmp_path, monkeypatch):
    environment = {PROFILES: "mine.xml"}
    make_room(environment, tmp_path)
    assert environment == {PROFILES: "mine.xml"}
    empty: dict[str, str] = {}
    make_room(empty, Path("/nowhere"))
    monkeypatch.setattr(shared_memory, "NEEDED_BYTES", 2**80)
    make_room(empty, tmp_path)
    assert empty == {}
