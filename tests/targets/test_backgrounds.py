import cv2
import numpy as np
import pytest

from genima_core.targets.backgrounds import FolderBackgrounds, ProceduralBackgrounds


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(3)
    (tmp_path / "more").mkdir()
    for name, size in (("a.png", (40, 60)), ("more/b.jpg", (300, 900)), ("c.png", (64, 64))):
        cv2.imwrite(str(tmp_path / name), rng.integers(0, 255, (*size, 3), dtype=np.uint8))
    (tmp_path / "broken.png").write_bytes(b"not an image")
    (tmp_path / "notes.txt").write_text("neither")
    return tmp_path


@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 96), (256, 256), (3, 5)])
def test_procedural_shape_and_type(rng, height, width):
    pictures = ProceduralBackgrounds().sample(rng, 20, height, width)
    assert pictures.shape == (20, height, width, 3)
    assert pictures.dtype == np.uint8


def test_procedural_is_determined_by_the_generator():
    first, second, other = (
        ProceduralBackgrounds().sample(np.random.default_rng(seed), 30, 64, 64) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_procedural_pictures_are_diverse(rng):
    pictures = ProceduralBackgrounds().sample(rng, 200, 64, 64).astype(float)
    means = pictures.mean((1, 2))
    assert means.std(0).min() > 30
    contrast = pictures.std((1, 2)).mean(-1)
    assert (contrast < 10).any()
    assert (contrast > 50).any()


def test_folder_reads_every_readable_image_in_any_size(folder, rng):
    backgrounds = FolderBackgrounds(folder)
    assert len(backgrounds.files) == 4
    assert backgrounds.sample(rng, 30, 64, 48).shape == (30, 64, 48, 3)


def test_folder_is_determined_by_the_generator(folder):
    first, second = (
        FolderBackgrounds(folder, cached_images=1).sample(np.random.default_rng(1), 10, 32, 32) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_folder_keeps_colour_channels_in_order(tmp_path, rng):
    cv2.imwrite(str(tmp_path / "red.png"), np.full((50, 50, 3), (0, 0, 255), np.uint8))
    np.testing.assert_array_equal(FolderBackgrounds(tmp_path).sample(rng, 1, 16, 16)[0, 0, 0], [255, 0, 0])


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="procedural"):
        FolderBackgrounds(tmp_path / "nowhere")


def test_folder_without_readable_images(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="no readable image"):
        FolderBackgrounds(tmp_path)
