"""All cameras of an episode at the same time: what is written, and what happens when one of them fails."""

import numpy as np
import pytest

from genima_core.data.video import QUANTILES, VideoFrames, encode_all

from . import synthetic


class Made:
    """Frames that are made when they are taken."""

    dtype = np.dtype(np.uint8)

    def __init__(self, T: int, broken: int = -1, size: int = 32) -> None:
        self.shape, self.broken, self.taken = (T, size, size, 3), broken, 0

    def __iter__(self):
        for t in range(self.shape[0]):
            if t == self.broken:
                raise ValueError(f"frame {t} cannot be decoded")
            self.taken = t + 1
            yield np.full(self.shape[1:], t % 256, np.uint8)


def test_statistics_are_those_of_the_frames_that_pass(tmp_path, rng):
    frames = {tmp_path / f"{i}.mp4": synthetic.frames(rng, 12, 32) for i in range(4)}
    for found, some in zip(encode_all(frames, 20), frames.values(), strict=True):
        pixels = some.reshape(-1, 3) / 255
        for name, wanted in (
            ("min", pixels.min(0)),
            ("max", pixels.max(0)),
            ("mean", pixels.mean(0)),
            ("std", pixels.std(0)),
            *((name, np.quantile(pixels, share, axis=0)) for name, share in QUANTILES.items()),
        ):
            atol = 1 / 255 if name in QUANTILES else 1e-9
            np.testing.assert_allclose(found[name], wanted.reshape(3, 1, 1), atol=atol)
        assert found["count"] == [12]
    assert all(len(list(VideoFrames(path, 0, 12, some.shape[2:0:-1], 20))) == 12 for path, some in frames.items())


def test_frames_that_are_made_one_at_a_time_give_the_same(tmp_path):
    made = Made(130)
    (lazy,) = encode_all({tmp_path / "lazy.mp4": made}, 20)
    (whole,) = encode_all({tmp_path / "whole.mp4": np.stack(list(made))}, 20)
    assert {name: value.tolist() for name, value in lazy.items()} == {name: v.tolist() for name, v in whole.items()}
    np.testing.assert_array_equal(
        *(list(VideoFrames(tmp_path / f"{name}.mp4", 0, 130, made.shape[2:0:-1], 20)) for name in ("lazy", "whole"))
    )


def test_when_one_camera_fails_the_others_end_and_nothing_is_left(tmp_path):
    endless = [Made(10**9) for _ in range(3)]
    frames = dict(zip((tmp_path / f"{i}.mp4" for i in range(4)), [*endless, Made(100, broken=30)], strict=True))
    with pytest.raises(ValueError, match="frame 30 cannot be decoded"):
        encode_all(frames, 20)
    assert all(some.taken < 10**9 for some in endless)
    assert not list(tmp_path.iterdir())
