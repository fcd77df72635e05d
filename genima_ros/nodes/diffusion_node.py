"""Draws the next joint targets onto all camera images."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String

from genima_core.cameras import CameraRig
from genima_core.checkpoint import Checkpoint
from genima_core.config import check_within
from genima_core.device import choose_device
from genima_core.pixels import tile
from genima_core.timing import Synchroniser
from genima_ros.messages import conversions, interfaces
from genima_ros.nodes.base import GraphNode

if TYPE_CHECKING:
    from genima_core.diffusion.agent import DiffusionAgent

WATCH_S = 1.0
SILENT_S = 2.0
MOST_STEPS = 100


@dataclass(frozen=True)
class DiffusionParameters:
    checkpoint: Path = Path("checkpoints/demo")
    """Folder with the trained models."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto is cuda where there is one."""
    precision: str = ""
    """float32, float16 or bfloat16; by default half precision on a GPU only."""
    compiled: bool = False
    """Compile the networks: drawing is faster, starting takes a minute or two longer."""
    denoising_steps: int = 0
    """Denoising steps of a drawing; 0: the checkpoint's own number."""
    seed: int = 0
    """Of the first drawing; the next ones count up."""
    slack_s: float = 0.06
    """The images of one drawing must be captured within this time."""
    instruction: str = ""
    """What to do, until one arrives on the topic."""
    identical_frames: int = 0
    """This many images in a row with equal pixels mean that a camera is frozen; 0: never (simulated images repeat)."""

    def __post_init__(self) -> None:
        check_within(self, 0, MOST_STEPS, "denoising_steps")


def load_agent(parameters: DiffusionParameters) -> tuple["DiffusionAgent", Checkpoint]:
    checkpoint = Checkpoint.open(parameters.checkpoint)
    from genima_core.diffusion.agent import DiffusionAgent  # torch takes seconds: tests and bad checkpoints need none

    device, precision = choose_device(parameters.device), parameters.precision or None
    return DiffusionAgent.load(checkpoint.path / "diffusion", device, precision, parameters.compiled), checkpoint


class DiffusionNode(GraphNode[DiffusionParameters]):
    """Draws as fast as it can, always on the newest images; the controller decides which drawing to use.

    While it draws, newer images replace older ones (queues of one). A drawing carries the capture time of the oldest
    of its images. Images that are missing, frozen or of another size or encoding are reported and never drawn on.

    Publishes: targets/observation and targets/image (what was drawn over, and the drawing; both tiled),
    targets/<camera>/image, diagnostics.
    Subscribes: <camera>/color/image_raw, <camera>/color/camera_info (of the checkpoint's cameras), camera_rig,
    instruction.
    Changes while running: the parameter denoising_steps.
    """

    def __init__(
        self, load: Callable[[DiffusionParameters], tuple["DiffusionAgent", Checkpoint]] = load_agent, **options: Any
    ) -> None:
        super().__init__("diffusion", DiffusionParameters, changeable=("denoising_steps",), **options)
        self.agent, self.checkpoint = load(self.parameters)
        self.rig = self.checkpoint.rig
        self._instruction = self.parameters.instruction
        self._drawings = 0
        self._images: Synchroniser[np.ndarray] = Synchroniser(self.rig.names, self.parameters.slack_s)
        self._drawn_s = self.clock_s()
        self._arrived_s = dict.fromkeys(self.rig.names, self._drawn_s)
        self._same: dict[str, tuple[bytes, int]] = {}
        self.announce(interfaces.OBSERVATION, interfaces.TARGETS, *map(interfaces.target_image, self.rig.names))
        self.diagnostics.expect(*self.rig.names)
        self._rig_watch = RigWatch(self, self.rig)
        self.subscribe(interfaces.INSTRUCTION, lambda message: setattr(self, "_instruction", message.data))
        for name in self.rig.names:
            self.subscribe(interfaces.camera_image(name), partial(self._on_image, name))
        self.take_changes()
        self.every(WATCH_S, self._watch_cameras)

    def values(self) -> dict[str, object]:
        return {
            "drawings": self._drawings,
            "steps": self.parameters.denoising_steps,
            "rig": self._rig_watch.fingerprint,
        }

    def _on_image(self, name: str, message: Image) -> None:
        self._arrived_s[name] = self.clock_s()
        stamp_s = conversions.seconds(message.header.stamp)
        images = None
        with self.using(f"camera {name}", name):
            images = self._images.add(name, stamp_s, self._checked(name, message))
            self.diagnostics.received(name, stamp_s)
        if images is not None:
            self._draw(np.stack([image.item for image in images]), min(image.stamp_s for image in images))
            self._drawn_s = self.clock_s()

    def _checked(self, name: str, message: Image) -> np.ndarray:
        image = conversions.image_to_rgb(message)
        width, height = self.rig.size
        if image.shape[:2] != (height, width):
            given = f"image is {image.shape[1]}x{image.shape[0]}; the checkpoint draws on {width}x{height}"
            raise ValueError(f"{given}: crop and resize in the camera node, or use a checkpoint of that size")
        if self.parameters.identical_frames:
            pixels = image.tobytes()
            before, count = self._same.get(name, (b"", 0))
            count = count + 1 if pixels == before else 1
            self._same[name] = pixels, count
            if count >= self.parameters.identical_frames:
                raise ValueError(f"frozen: {count} images in a row are identical; restart its driver")
        return image

    def _draw(self, images: np.ndarray, stamp_s: float) -> None:
        if not self._instruction:
            remedy = f"publish one (std_msgs/String) on {self.full_name(interfaces.INSTRUCTION)}, or set the parameter"
            self.diagnostics.warn(f"no instruction yet: {remedy} instruction", "instruction")
            return
        begin_s = self.clock_s()
        seed, steps = self.parameters.seed + self._drawings, self.parameters.denoising_steps or None
        try:
            drawing = self.agent.draw(images, self._instruction, seed, steps)
        except (ValueError, RuntimeError) as error:
            self.diagnostics.warn(f"the agent cannot draw: {error}", "agent")
            return
        self._drawings += 1
        self.say(interfaces.OBSERVATION, conversions.rgb_to_image(tile(images), stamp_s, "tiled"))
        self.say(interfaces.TARGETS, conversions.rgb_to_image(tile(drawing), stamp_s, "tiled"))
        for name, view in zip(self.rig.names, drawing, strict=True):
            image = conversions.rgb_to_image(view, stamp_s, f"{name}_color_optical_frame")
            self.say(interfaces.target_image(name), image)
        self.diagnostics.worked(self.clock_s() - begin_s)

    def _watch_cameras(self) -> None:
        self._rig_watch.remind()
        if unknown_instruction := self.checkpoint.unknown_instruction(self._instruction):
            self.diagnostics.warn(unknown_instruction, "instruction")
        now_s = self.clock_s()
        silent = [name for name, arrived_s in self._arrived_s.items() if now_s - arrived_s > SILENT_S]
        if silent:
            topics = ", ".join(self.full_name(interfaces.camera_image(name)) for name in silent)
            text = f"no image from {', '.join(silent)}: is the camera running and publishing on {topics}?"
            self.diagnostics.warn(text, "silent")
        elif (spread_s := self._images.spread_s or 0.0) > self.parameters.slack_s and now_s - self._drawn_s > SILENT_S:
            given = f"{1e3 * spread_s:.0f} ms apart, allowed are {1e3 * self.parameters.slack_s:.0f}"
            text = f"the images lie {given}: synchronise the cameras or raise slack_s"
            self.diagnostics.warn(text, "slack")


class RigWatch:
    """Compares with the rig of training what comes on camera_rig, and that with each camera_info.

    Subscribes: camera_rig, <camera>/color/camera_info. Warns in the node's diagnostics; nothing stops.
    """

    def __init__(self, node: GraphNode, trained: CameraRig) -> None:
        self._trained, self._diagnostics = trained, node.diagnostics
        self._running: CameraRig | None = None
        self._changed = ""
        self._infos: dict[str, CameraInfo] = {}
        node.subscribe(interfaces.CAMERA_RIG, self._on_rig)
        for name in trained.names:
            node.subscribe(interfaces.camera_info(name), partial(self._infos.__setitem__, name))

    @property
    def fingerprint(self) -> str:
        """Of the rig that runs; "" while nobody said which that is."""
        return "" if self._running is None else self._running.fingerprint()

    def remind(self) -> None:
        """Call it now and then: what is wrong stays in the diagnostics."""
        if self._changed:
            self._diagnostics.warn(self._changed, "rig")
        rig = self._running or self._trained
        rig = rig if rig.names == self._trained.names else self._trained
        for name, message in self._infos.items():
            try:
                text = rig[name].intrinsics.difference(conversions.camera_info_to_camera(message))
            except ValueError as error:
                text = str(error)
            if text:
                remedy = "crop and resize as for the calibration, or calibrate again"
                text = f"camera {name} is not the one of the rig: by its camera_info {text}; {remedy}"
                self._diagnostics.warn(text, f"camera_info {name}")

    def _on_rig(self, message: String) -> None:
        try:
            rig = self._running = conversions.read_rig(message).in_order(self._trained.names)
        except ValueError as error:
            self._changed = str(error)
            return
        self._changed = ""
        if differences := self._trained.differences(rig):
            self._changed = (
                f"another rig than the checkpoint's ({rig.fingerprint()}, not {self._trained.fingerprint()}): "
                f"{'; '.join(differences)}. Put the cameras back, or train on recordings of this rig"
            )
