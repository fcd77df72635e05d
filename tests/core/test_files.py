"""Files of others end in a result or an error that names them; folders of others stay."""

import json
import os
import time
from dataclasses import dataclass

import numpy as np
import pytest

from genima_core import files
from genima_core.config import from_overrides
from genima_core.geometry import checked_numbers, checked_pose

DEEP = "[" * 100_000
LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i}\n  <<: [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))


@pytest.mark.parametrize(
    "text",
    [
        "!!int ''",
        "a: !!int ''",
        "a: !!timestamp x",
        "a: !!bool maybe",
        "a: !!float x",
        "a: !!binary x",
        "? {a: 1}\n: 2",
        "{[1]: 2}",
        "a: *b",
        "a: &a [*a]",
        "!!python/object/apply:os.system ['true']",
        "a: [",
        "a: " + DEEP,
        LAUGHS,
        MERGES,
        "a: " + "1:" * 60_000 + "1",
        "a: " + "9" * 5000,
        "- 1",
        "1: 2",
        "text",
    ],
    ids=lambda text: text[:12],
)
def test_yaml_that_is_none_is_an_error_that_names_the_file(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    begun_s = time.process_time()
    with pytest.raises(ValueError, match=r"x\.yaml"):
        files.read_yaml(tmp_path / "x.yaml")
    assert time.process_time() - begun_s < 20


def test_yaml_as_people_write_it(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("base: &b {a: 1, b: 1.5}\nmore: {<<: *b, a: 2}\nagain: *b\n")
    assert files.read_yaml(path) == {
        "base": {"a": 1, "b": 1.5},
        "more": {"a": 2, "b": 1.5},
        "again": {"a": 1, "b": 1.5},
    }
    path.write_text("")
    assert files.read_yaml(path) == {}


@pytest.mark.parametrize(
    "text", [DEEP, "[" * 500 + "]" * 500, '{"a":' * 70 + "1" + "}" * 70, "[]", "1", "", "{", "9" * 5000]
)
def test_json_that_is_none_is_an_error_that_names_the_file(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=r"x\.json is damaged"):
        files.read_json(tmp_path / "x.json")


def test_what_is_no_regular_file_or_too_large_or_no_text_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b" " * (files.MAX_JSON_BYTES + 1))
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name, message in (("pipe", "not a regular file"), ("large", "larger than"), ("bytes", "UTF-8")):
        with pytest.raises(ValueError, match=f"{name} is .*{message}"):
            files.read_json(tmp_path / name)
    with pytest.raises(ValueError, match="not a regular file"):
        files.read_json(tmp_path)
    with pytest.raises(FileNotFoundError, match="nothing does not exist"):
        files.read_json(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["", "a/b", "..", "x/../../y", "a b", "a-b", "ä", "a\n", None, 3])
def test_names_that_lead_elsewhere_are_refused(name):
    with pytest.raises(ValueError, match="letters, digits and underscores"):
        files.check_name(name, "a camera")


PARTS = ("mark.json", "weights")


def test_a_folder_of_ours_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "ours"
    for text in ("first", "second"):
        with files.replaced_folder(path, "mark.json", PARTS, "ours") as new:
            (new / "mark.json").write_text(text)
    with pytest.raises(ZeroDivisionError), files.replaced_folder(path, "mark.json", PARTS, "ours") as new:
        (new / "mark.json").write_text(str(1 // 0))
    assert (path / "mark.json").read_text() == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["ours"]


def test_folders_of_others_and_links_stay(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "mark.json").write_text("{}")
    (theirs / "thesis.txt").write_text("years of work")
    (tmp_path / "link").symlink_to(theirs)
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for name in ("theirs", "link", "file", "empty"):
        with (
            pytest.raises(FileExistsError, match=name),
            files.replaced_folder(tmp_path / name, "mark.json", PARTS, "ours") as new,
        ):
            (new / "mark.json").write_text("")
    assert (theirs / "thesis.txt").read_text() == "years of work"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "file", "link", "theirs"]


def test_a_full_disk_is_called_so(tmp_path):
    with (
        pytest.raises(OSError, match="is full: make space"),
        files.telling_full_disk(tmp_path),
        open("/dev/full", "w", buffering=1) as full,
    ):
        full.write("x\n")
    with pytest.raises(ZeroDivisionError), files.telling_full_disk(tmp_path):
        1 // 0  # noqa: B018  # anything that goes wrong


def test_poses_that_are_none_are_refused():
    T = np.eye(4)
    np.testing.assert_array_equal(checked_pose(T.tolist(), "T"), T)
    mirrored, scaled, far, sheared, unknown = (T.copy() for _ in range(5))
    mirrored[0, 0], far[0, 3], unknown[1, 3] = -1, 1e9, np.nan
    scaled[:3, :3] *= 2
    sheared[3, 0] = 1
    for wrong in (mirrored, scaled, far, sheared, unknown, np.eye(3), [["1"] * 4] * 4, None, [[0, [1]]]):
        with pytest.raises(ValueError, match="T is"):
            checked_pose(wrong, "T")


@pytest.mark.parametrize(
    "values", ["1", ["1", "2"], [1, None], [True, False], [float("inf"), 0], [10**400, 1], [[1], [1, 2]]]
)
def test_texts_are_no_numbers(values):
    with pytest.raises(ValueError, match="finite numbers"):
        checked_numbers(values, (2,), "values")


@dataclass(frozen=True)
class Inner:
    x: float


@dataclass(frozen=True)
class Kinds:
    size: tuple[int, int]
    inner: Inner
    many: tuple[Inner, ...]
    array: np.ndarray
    table: dict[str, float]
    maybe: Inner | None = None


GOOD = {"size": [1, 2], "inner": {"x": 1}, "many": [{"x": 2.0}], "array": [[1, 2]], "table": {"a": 1}}


def test_a_dataclass_of_json():
    kinds = from_overrides(Kinds, json.loads(json.dumps(GOOD)), "it")
    assert (kinds.size, kinds.inner, kinds.many, kinds.table) == ((1, 2), Inner(1.0), (Inner(2.0),), {"a": 1.0})
    assert from_overrides(Kinds, {**GOOD, "unknown": 1}, "it", strict=False).maybe is None


@pytest.mark.parametrize("key", GOOD)
@pytest.mark.parametrize(
    "value", [None, "x", 3, True, [], {}, [1, 2, 3], {"x": "1"}, {"x": float("nan")}, {1: 2}, 10**400]
)
def test_other_kinds_of_values_are_named(key, value):
    try:
        from_overrides(Kinds, {**GOOD, key: value}, "it")
    except ValueError as error:
        assert key in str(error) and "it" in str(error)
    else:
        assert (key, value) in [("many", []), ("array", []), ("array", 3), ("array", [1, 2, 3]), ("table", {})]
