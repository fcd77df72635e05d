from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from genima_core.camera_sources.lens import Lens
from genima_core.camera_sources.source import Frame, Reader, ReadingConfig

from .scripted import LENS, Clock, ScriptedOpener, at, frame, lost

CONFIG = ReadingConfig(freeze_s=1.0, retry_s=0.5, retry_longest_s=4.0, reset_after=3)


def reader_of(clock: Clock, opener: ScriptedOpener) -> Reader:
    return Reader(opener, CONFIG, clock)


def read(reader: Reader, steps: int) -> list[Frame]:
    return [got for _ in range(steps) if (got := reader.step()) is not None]


def play(reader: Reader, opener: ScriptedOpener) -> tuple[list[Frame], set[str]]:
    """What comes until the script is over, and the problems on the way."""
    frames, problems = [], set()
    while not opener.ended:
        frames += [got for got in [reader.step()] if got is not None]
        problems.add(reader.problem)
    return frames, problems


def increase(frames: list[Frame]) -> bool:
    return bool((np.diff([f.stamp_s for f in frames]) > 0).all())


def test_it_gives_each_picture_once_with_increasing_stamps():
    clock = Clock()
    reader = reader_of(clock, ScriptedOpener(clock, [frame(i) for i in range(50)]))
    frames = read(reader, 50)
    assert [f.number for f in frames] == list(range(50))
    assert increase(frames)
    assert reader.problem == ""


def test_repeated_pictures_are_dropped_and_counted():
    clock = Clock()
    stamp_s = clock.ros_s()
    script = [at(1, stamp_s), at(1, stamp_s), at(1, stamp_s + 0.03), at(2, stamp_s), at(2, stamp_s + 0.06)]
    reader = reader_of(clock, ScriptedOpener(clock, script))
    assert [f.number for f in read(reader, 5)] == [1, 2]
    assert reader.counts["repeated"] == 3


@pytest.mark.parametrize("hang", [[None] * 12, [frame(5)] * 35], ids=["silent", "the same picture under new stamps"])
def test_a_frozen_stream_is_opened_again(hang):
    clock = Clock()
    opener = ScriptedOpener(clock, [frame(4), frame(5), *hang, *(frame(i) for i in range(30))])
    reader = reader_of(clock, opener)
    frames, problems = play(reader, opener)
    assert any("frozen" in problem for problem in problems)
    assert (opener.opened, opener.closed) == (2, 1)
    assert (reader.counts["frozen"], reader.counts["reopened"]) == (1, 1)
    assert [f.number for f in frames[-20:]] == list(range(10, 30))
    assert increase(frames)
    assert reader.problem == ""


def test_a_sensor_never_takes_the_same_picture_twice():
    """Played pictures may be alike; of a sensor, equal pixels are the last picture under a new number and stamp."""
    for live, count in ((False, 40), (True, 1)):
        clock = Clock()
        script = [lambda now_s, i=i: Frame(np.zeros((48, 64, 3), np.uint8), now_s, i, LENS) for i in range(40)]
        reader = reader_of(clock, ScriptedOpener(clock, script, live=live))
        assert len(read(reader, 40)) == count
        assert bool(reader.counts["frozen"]) == live


def test_unplugged_and_plugged_in_again_it_goes_on():
    clock = Clock()
    openings = [None, *[lost("there is no camera")] * 5]
    opener = ScriptedOpener(clock, [frame(1), lost(), *(frame(i) for i in range(9))], openings)
    reader = reader_of(clock, opener)
    assert len(read(reader, 2)) == 1
    assert not reader.connected
    assert reader.problem == "unplugged"
    frames, _ = play(reader, opener)
    assert len(frames) == 9
    assert opener.resets == 2
    assert reader.counts["resets"] == 2


def test_it_backs_off():
    clock = Clock()
    opener = ScriptedOpener(clock, [lost()], [None, *[lost()] * 7])
    read(reader_of(clock, opener), 400)
    waits_s = np.diff(opener.asked_s[1:8])
    assert waits_s == pytest.approx([1.0, 2.0, 4.0, 4.0, 4.0, 4.0], abs=0.01)


def test_what_cannot_be_opened_at_the_start_is_an_error():
    clock = Clock()
    with pytest.raises(ValueError, match="no camera 7"):
        reader_of(clock, ScriptedOpener(clock, [], [ValueError("no camera 7")]))


def test_a_profile_that_is_missing_after_the_reset_is_no_crash():
    clock = Clock()
    opener = ScriptedOpener(clock, [lost(), frame(1)], [None, ValueError("no profile 640x480x30")])
    reader = reader_of(clock, opener)
    read(reader, 10)
    assert reader.problem == "no profile 640x480x30"
    assert len(read(reader, 20)) == 1


def test_a_source_that_does_not_close_is_opened_again():
    clock = Clock()
    opener = ScriptedOpener(clock, [lost(), frame(1)])

    def refuse() -> None:
        opener.closed += 1
        if opener.closed == 1:
            raise RuntimeError("stop() failed")

    opener.close = refuse
    reader = reader_of(clock, opener)
    reader.step()
    assert "stop() failed" in reader.problem
    assert len(read(reader, 20)) == 1


@pytest.mark.parametrize(
    "other", [frame(2, size=(96, 128)), frame(2, lens=replace(LENS, camera=LENS.camera.resize(32, 24)), size=(24, 32))]
)
def test_pictures_of_another_size_are_refused(other):
    clock = Clock()
    reader = reader_of(clock, ScriptedOpener(clock, [frame(1), other, frame(3)]))
    assert len(read(reader, 2)) == 1
    assert "64x48" in reader.problem
    assert len(read(reader, 20)) == 1


def test_pictures_with_wrong_stamps_are_dropped_until_the_clock_is_right():
    clock = Clock()
    script = [frame(1), *(frame(i, delay_s=-5.0) for i in range(2, 40)), *(frame(i) for i in range(40, 50))]
    opener = ScriptedOpener(clock, script)
    reader = reader_of(clock, opener)
    frames, problems = play(reader, opener)
    assert any("5.0 s in the future" in problem for problem in problems)
    assert frames[0].number == 1
    assert all(f.number >= 40 for f in frames[1:])
    assert opener.opened == 2
    assert increase(frames)


def test_pictures_out_of_order_are_dropped():
    clock = Clock()
    reader = reader_of(clock, ScriptedOpener(clock, [frame(1), frame(2, delay_s=0.1), frame(3)]))
    assert [f.number for f in read(reader, 3)] == [1, 3]
    assert reader.counts["misplaced"] == 1


def test_a_host_clock_that_is_set_back_is_followed_and_told():
    clock = Clock()
    reader = reader_of(clock, ScriptedOpener(clock, [frame(i) for i in range(20)]))
    read(reader, 10)
    clock.ros_minus_steady_s -= 3600.0
    assert len(read(reader, 10)) == 10
    assert reader.counts["clock_jumps"] == 1


def test_a_host_clock_that_is_set_forward_is_followed():
    clock = Clock()
    reader = reader_of(clock, ScriptedOpener(clock, [frame(i) for i in range(20)]))
    read(reader, 10)
    clock.ros_minus_steady_s += 3600.0
    frames = read(reader, 10)
    assert len(frames) == 10
    assert increase(frames)


def test_it_says_where_the_stamps_are_from():
    clock = Clock()
    reader = reader_of(clock, ScriptedOpener(clock, [frame(1, timing="host")]))
    assert reader.timing == "device"
    reader.step()
    assert reader.timing == "host"


_EVENTS = st.one_of(
    st.none(), st.just("lost"), st.just("bug"), st.tuples(st.integers(0, 5), st.floats(-3.0, 3.0), st.booleans())
)


@given(st.lists(_EVENTS, max_size=80), st.lists(st.booleans(), max_size=10))
@example(events=[(0, -1.0, False), (1, 0.0, False)], openings=[])
def test_whatever_a_source_does_stamps_increase_and_nothing_is_raised(events, openings):
    clock = Clock()

    def item(event: object) -> object:
        if event in ("lost", "bug"):
            return lost() if event == "lost" else RuntimeError("driver")
        if event is None:
            return None
        number, delay_s, small = event
        return frame(number, delay_s, size=(24, 32) if small else (48, 64))

    opener = ScriptedOpener(clock, map(item, events), [None, *(lost() if bad else None for bad in openings)])
    reader = reader_of(clock, opener)
    frames = read(reader, 150)
    assert increase(frames)
    assert all(f.rgb.shape == (48, 64, 3) for f in frames)
    reader.close()
    assert opener.opened == opener.closed


def test_bounds_must_be_positive():
    with pytest.raises(ValueError, match="freeze_s"):
        ReadingConfig(freeze_s=0.0)
    with pytest.raises(ValueError, match="reset_after"):
        ReadingConfig(reset_after=0)


def test_the_lens_is_that_of_the_first_opening():
    clock = Clock()
    assert reader_of(clock, ScriptedOpener(clock, [])).lens == Lens(LENS.camera)
