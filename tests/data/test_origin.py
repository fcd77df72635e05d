"""What a data set was made from: resuming needs the same, and says what differs."""

import pytest

from genima_core.data.dataset import DatasetWriter
from genima_core.data.origin import ORIGIN, Origin, resume

from . import synthetic

FIRST = Origin("collected", {"seed": 1, "tasks": ("a", "b")}, report={"residual_mm": 0.5})


def begin(root, episodes: int = 1) -> None:
    with DatasetWriter(root, synthetic.rig()) as writer:
        FIRST.save(root)
        for seed in range(episodes):
            writer.add(synthetic.episode(seed))


def test_what_was_saved_is_what_one_resumes_with(tmp_path):
    assert resume(tmp_path / "new", FIRST) == (0, FIRST)
    begin(tmp_path / "set", 2)
    same = Origin("collected", {"tasks": ["a", "b"], "seed": 1})
    assert resume(tmp_path / "set", same) == (2, FIRST)
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            Origin("collected", {"seed": 2, "tasks": ("a", "b")}),
            "was collected with seed 1, not 2: choose another folder",
        ),
        (Origin("collected", {"seed": 1}), r"with tasks \['a', 'b'\], not None"),
        (Origin("collected", {**FIRST.arguments, "size": 64}), "with size None, not 64"),
        (Origin("converted from stones", FIRST.arguments), "was not converted from stones but collected"),
    ],
)
def test_other_arguments_are_refused(tmp_path, other, message):
    begin(tmp_path)
    with pytest.raises(ValueError, match=message):
        resume(tmp_path, other)


def test_what_has_no_origin_is_resumed_only_while_empty(tmp_path):
    begin(tmp_path / "set")
    begin(tmp_path / "empty", 0)
    for folder in ("set", "empty"):
        (tmp_path / folder / ORIGIN).unlink()
    assert resume(tmp_path / "empty", FIRST) == (0, FIRST)
    with pytest.raises(ValueError, match="was not collected; choose another folder"):
        resume(tmp_path / "set", FIRST)
    (tmp_path / "set" / ORIGIN).write_text("{")
    with pytest.raises(ValueError, match=r"origin\.json is damaged"):
        resume(tmp_path / "set", FIRST)
