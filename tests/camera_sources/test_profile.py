import pytest

from genima_core.camera_sources.realsense import Profile, in_short, nearest

PROFILES = (Profile(640, 480, 6), Profile(640, 480, 30), Profile(1280, 720, 30), Profile(320, 240, 60))


def test_text_and_back():
    assert Profile.parse("640x480x30") == PROFILES[1]
    assert str(PROFILES[1]) == "640x480x30"


@pytest.mark.parametrize("text", ["640x480", "640,480,30", "0x480x30", "a x b"])
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match="640x480x30"):
        Profile.parse(text)


@pytest.mark.parametrize("wanted", PROFILES)
def test_the_nearest_of_one_that_is_there_is_itself(wanted):
    assert nearest(PROFILES, wanted)[0] == wanted


def test_the_size_counts_before_the_rate():
    assert nearest(PROFILES, Profile(640, 480, 60), 2) == [PROFILES[1], PROFILES[0]]


def test_in_short():
    assert in_short(PROFILES[:3]) == "640x480 @ 6, 30; 1280x720 @ 30"
