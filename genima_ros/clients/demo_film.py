"""Videos and pictures of a demo's episodes."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from genima_core.data.video import encode

if TYPE_CHECKING:
    from genima_ros.clients.demo_observer import Episode, Frame

FPS = 10
WIDTH_PX = 384
CAPTION_PX = 36
GIF_WIDTH_PX = 480
GIF_PICTURES = 100
GIF_COLOURS = 200
PICTURES = 8
_INK, _PAPER, _GREEN, _GREY = (235, 235, 235), (30, 30, 30), (90, 220, 110), (110, 110, 110)


def write_films(folder: Path, films: Sequence[tuple[str, "Episode", bool]]) -> None:
    """Writes for each name, episode and its success episode_<name>.mp4 and the first drawings that were followed as
    PNG, and all episodes as demo.gif; nothing for one without frames.
    """
    shown = []
    for name, episode, success in films:
        for i, drawing in enumerate(episode.followed[:PICTURES]):
            Image.fromarray(enlarge(drawing)).save(folder / f"episode_{name}_targets_{i}.png")
        if episode.frames:
            pictures = [compose(frame, episode.instruction, success) for frame in at_even_times(episode.frames)]
            encode(folder / f"episode_{name}.mp4", np.stack(pictures), FPS, crf=20)
            shown += pictures
    if shown:
        write_gif(folder / "demo.gif", shown)


def at_even_times(frames: list["Frame"]) -> list["Frame"]:
    """The newest frame at each 1 / FPS s, so that the film runs at the speed of life whatever the cameras' rate was."""
    times_s = np.array([frame.time_s for frame in frames])
    ticks_s = np.arange(times_s[0], times_s[-1] + 1e-9, 1 / FPS)
    return [frames[i] for i in np.searchsorted(times_s, ticks_s, side="right") - 1]


def compose(frame: "Frame", instruction: str, success: bool) -> np.ndarray:
    """Left the tiled observation, right the drawing of that moment, a caption above."""
    left = enlarge(frame.observation)
    views = np.hstack([left, np.full_like(left, _PAPER) if frame.drawing is None else enlarge(frame.drawing)])
    caption = np.full((CAPTION_PX, views.shape[1], 3), _PAPER, np.uint8)
    if frame.success:
        state, colour = "success", _GREEN
    else:
        state, colour = ("running" if success else "no success in this episode"), _GREY
    write(caption, instruction, 8, _INK)
    write(caption, "drawn targets" if frame.drawing is not None else "no drawing yet", WIDTH_PX + 8, _INK)
    write(caption, f"{frame.time_s:4.1f} s   {state}", WIDTH_PX + 150, colour)
    return np.vstack([caption, views])


def write(picture: np.ndarray, text: str, left: int, colour: tuple[int, int, int]) -> None:
    cv2.putText(picture, text, (left, CAPTION_PX - 12), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)


def enlarge(tiled: np.ndarray) -> np.ndarray:
    """As wide as all are; of even height, as films need it."""
    height = 2 * round(WIDTH_PX / 2 * tiled.shape[0] / tiled.shape[1])
    return cv2.resize(tiled, (WIDTH_PX, height), interpolation=cv2.INTER_CUBIC)


def write_gif(path: Path, pictures: list[np.ndarray]) -> None:
    """A film at the same speed, small enough for a README."""
    every = max(2, math.ceil(len(pictures) / GIF_PICTURES))
    chosen = pictures[::every]
    height = round(chosen[0].shape[0] * GIF_WIDTH_PX / chosen[0].shape[1])
    small = [cv2.resize(picture, (GIF_WIDTH_PX, height), interpolation=cv2.INTER_AREA) for picture in chosen]
    # One palette for all: a palette of each picture's own makes the colours flicker.
    palette = Image.fromarray(np.vstack(small[:: max(1, len(small) // 8)])).quantize(GIF_COLOURS)
    images = [Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE) for picture in small]
    images[0].save(path, save_all=True, append_images=images[1:], duration=1000 * every // FPS, loop=0)
