"""How pictures of others become the views of a data set: cropped, resized, of cameras whose places are known."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from genima_core.camera_sources.lens import Lens, View, parse_crop
from genima_core.cameras import CameraRig, PinholeCamera
from genima_core.data.dataset import load_rig


@dataclass(frozen=True)
class Framing:
    """What is kept of the pictures, and which cameras took them."""

    crop: str | None = None
    """Part of each recorded image to keep: square (the middle), or left,top,width,height in px; all by default."""
    size: int | None = None
    """Width and height of each view in pixels; as recorded by default."""
    rig: Path | None = None
    """The cameras, as a rig's file or a data set's folder; by default, what each recording says."""

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 16:
            raise ValueError(f"size is {self.size}; it must be at least 16")
        parse_crop(self.crop or "", 1, 1)  # refuses another form

    @cached_property
    def given_rig(self) -> CameraRig | None:
        return None if self.rig is None else load_rig(self.rig)

    def arguments(self) -> dict[str, object]:
        """All options by name, for `Origin`."""
        return asdict(self) | {"rig": self.given_rig and self.given_rig.fingerprint()}

    def view_of(self, camera: PinholeCamera) -> View:
        """How a camera's images become views; ValueError if the crop leaves them, or is not square, as `size` needs."""
        crop = parse_crop(self.crop or "", camera.width, camera.height)
        view = View(Lens(camera), crop)
        if self.size is None:
            return view
        if (wide := view.camera.width) != (high := view.camera.height):
            side = min(camera.width, camera.height)
            remedy = f"--crop square, which keeps the middle {side}x{side}, or --crop left,top,width,height"
            raise ValueError(f"--size {self.size} makes square views, and these are {wide}x{high}: add {remedy}")
        return replace(view, size=(self.size, self.size))


def framed(rig: CameraRig, views: Mapping[str, View]) -> CameraRig:
    """The rig of the views, by camera name, of a rig's pictures."""
    return replace(rig, cameras=tuple(replace(c, intrinsics=views[c.name].camera) for c in rig.cameras))
