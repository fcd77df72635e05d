"""Renders the targets: four striped spheres in each of the rig's views."""

from typing import Any

import cv2
import numpy as np

from genima_core import gl  # noqa: F401  (selects EGL; OpenGL and pyrender read that when they are imported)
from genima_core.cameras import CameraRig, RigCamera
from genima_core.geometry import opencv_to_opengl
from genima_core.targets.draw import TargetViews
from genima_core.targets.look import OURS, TARGET_NAMES, Look, Stripes, TargetColour

import pyrender  # isort: skip
from OpenGL import GL  # isort: skip

STACKS, SECTORS = 12, 24
"""Of a sphere's mesh, along its axis and around it; its outline is within 1 % of the radius."""
FAR_M = 10.0
FIRST_CODE = 252
"""The alpha channel of a sphere's colour is 252 plus its index, so that one rendering yields colours and labels.

So close to 255 that averages of it still tell how many of up to 8×8 samples lay on spheres.
"""
MAX_SUPERSAMPLE = 8
COLOURS = {"base": 0, "elbow": 1, "wrist": 2, "gripper_open": 3, "gripper_closed": 3}
"""Of a look, and the indices of their targets."""
TEXTURE_PX = 256

__all__ = ["TargetRenderer", "TargetViews"]


class TargetRenderer:
    """Draws where four of the arm's frames should be; built once and moved, in the thread that made it."""

    def __init__(self, rig: CameraRig, supersample: int = 2, look: Look = OURS) -> None:
        """`supersample` pixels are rendered per pixel and axis, 1 to 8; white rims come of 4 samples instead."""
        if not 1 <= supersample <= MAX_SUPERSAMPLE:
            raise ValueError(f"supersample is {supersample}; valid are 1 to {MAX_SUPERSAMPLE}")
        self._white_rims = look.rims == "white"
        supersample = 1 if self._white_rims else supersample
        self.rig, self.look, self.supersample = rig, look, supersample
        views, (width, height) = len(rig.cameras), rig.size
        self._offscreen = _ColumnRenderer(width * supersample, height * supersample, views)
        background = float(self._white_rims)
        self._scene = pyrender.Scene(bg_color=(background, background, background, 0.0))
        self._cameras = [self._scene.add(_gl_camera(c, supersample, views, look.near_m)) for c in rig.cameras]
        spheres = {
            name: self._scene.add(pyrender.Mesh([_striped(getattr(look, name), look.stripes, index)]))
            for name, index in COLOURS.items()
        }
        self._joints = [spheres[name] for name in TARGET_NAMES[:3]]
        self._grippers = {look.gripper_open: spheres["gripper_open"], look.gripper_closed: spheres["gripper_closed"]}

    def render(self, q_now: np.ndarray, q_target: np.ndarray, gripper_target: float) -> TargetViews:
        """The targets of `q_target` (7,) rad and an opening 0 to 1 for the arm at `q_now` (7,) rad, which carries
        cameras. ValueError: joint positions of another shape, or not finite; RuntimeError: the renderer is closed.
        """
        for name, q in (("q_now", q_now), ("q_target", q_target)):
            if not np.all(np.isfinite(q)):
                raise ValueError(f"{name} is {np.asarray(q).tolist()}: not finite; rendering needs 7 angles in rad")
        T_base_target = self.rig.arm.target_poses(q_target)
        T_base_hand = self.rig.arm.frame_pose(q_now, "hand")
        spheres = self.sphere_nodes(gripper_target)
        for view, (camera, node) in enumerate(zip(self.rig.cameras, self._cameras, strict=True)):
            self._scene.set_pose(node, opencv_to_opengl(camera.T_base_cam(T_base_hand)))
            scale = np.diag([camera.target_radius_m] * 3 + [1.0])
            for sphere, pose in zip(spheres, T_base_target, strict=True):
                self._scene.set_pose(sphere, pose @ scale)
            self._scene.main_camera_node = node
            self._offscreen.draw(self._scene, view)
            if self._white_rims:
                self._offscreen.draw(self._scene, view, multisampled=True)
        if self._white_rims:
            return _label(self._offscreen.read(), self._offscreen.read(multisampled=True))
        return _downsample(self._offscreen.read(), self.supersample)

    def sphere_nodes(self, gripper_opening: float) -> list[pyrender.Node]:
        """Nodes of the spheres in the order of `TARGET_NAMES`; the gripper's other sphere becomes invisible."""
        shown = self.look.gripper(gripper_opening)
        for colour, node in self._grippers.items():
            node.mesh.is_visible = colour is shown
        return [*self._joints, self._grippers[shown]]

    def close(self) -> None:
        """Frees the GL context; harmless when called twice."""
        self._offscreen.delete()


class _ColumnRenderer(pyrender.OffscreenRenderer):
    """pyrender's renderer, drawing several views below each other into one framebuffer that is read once.

    Stock pyrender reads depth and colour back and resolves multisampling after every view, which takes longer than
    drawing a few spheres; and exact colours, which carry the labels, need a framebuffer without multisampling.
    """

    _platform: Any
    _renderer: Any

    def __init__(self, width: int, height: int, views: int) -> None:
        self._view_size = width, height
        super().__init__(width, height * views)

    def _create(self) -> None:
        super()._create()
        self._renderer = _ColumnPass(self.viewport_width, self.viewport_height, self._view_size)

    def draw(self, scene: pyrender.Scene, view: int, multisampled: bool = False) -> None:
        if self._platform is None:
            raise RuntimeError("the renderer is closed; make another one to render")
        self._platform.make_current()
        self._renderer.view, self._renderer.multisampled = view, multisampled
        self._renderer.render(scene, pyrender.RenderFlags.FLAT | pyrender.RenderFlags.OFFSCREEN)

    def read(self, multisampled: bool = False) -> np.ndarray:
        """All views, (views, height, width, 4) uint8 RGBA, rows from bottom to top; the multisampled ones last."""
        self._platform.make_current()
        width, height = self._view_size
        return self._renderer.read(multisampled).reshape(-1, height, width, 4)

    def delete(self) -> None:
        """Frees the context only: ending the EGL display, as pyrender does, would end MuJoCo's rendering too."""
        if self._platform is None:
            return
        self._platform.make_current()
        self._renderer.delete()
        if display := getattr(self._platform, "_egl_display", None):
            from OpenGL import EGL

            EGL.eglMakeCurrent(display, EGL.EGL_NO_SURFACE, EGL.EGL_NO_SURFACE, EGL.EGL_NO_CONTEXT)
            EGL.eglDestroyContext(display, self._platform._egl_context)
        else:
            self._platform.delete_context()
        self._renderer = self._platform = None


class _ColumnPass(pyrender.Renderer):
    """Forward pass into one view of the column, with multisampling or without, and without reading back."""

    def __init__(self, width: int, height: int, view_size: tuple[int, int]) -> None:
        super().__init__(width, height)
        self.view, self.multisampled = 0, False
        self._view_size = view_size
        self._prepared = False

    def _configure_forward_pass_viewport(self, flags: int) -> None:
        super()._configure_forward_pass_viewport(flags)
        GL.glBindFramebuffer(GL.GL_DRAW_FRAMEBUFFER, self._main_fb_ms if self.multisampled else self._main_fb)
        width, height = self._view_size
        GL.glViewport(0, self.view * height, width, height)
        GL.glEnable(GL.GL_SCISSOR_TEST)
        GL.glScissor(0, self.view * height, width, height)

    def _bind_and_draw_primitive(self, primitive: pyrender.Primitive, pose: np.ndarray, program, flags: int) -> None:
        # Spheres' materials without a texture are alike, so uniforms and GL state stay as the first draw set them.
        if not self._prepared or primitive.material.baseColorTexture is not None:
            super()._bind_and_draw_primitive(primitive, pose, program, flags)
            self._prepared = True
            return
        program.set_uniform("M", pose)
        primitive._bind()
        GL.glDrawArrays(primitive.mode, 0, len(primitive.positions))
        primitive._unbind()

    def _read_main_framebuffer(self, scene: pyrender.Scene, flags: int) -> None:
        GL.glDisable(GL.GL_SCISSOR_TEST)

    def read(self, multisampled: bool) -> np.ndarray:
        width, height = self.viewport_width, self.viewport_height
        if multisampled:
            GL.glBindFramebuffer(GL.GL_READ_FRAMEBUFFER, self._main_fb_ms)
            GL.glBindFramebuffer(GL.GL_DRAW_FRAMEBUFFER, self._main_fb)
            whole = 0, 0, width, height
            GL.glBlitFramebuffer(*whole, *whole, GL.GL_COLOR_BUFFER_BIT, GL.GL_NEAREST)
        GL.glBindFramebuffer(GL.GL_READ_FRAMEBUFFER, self._main_fb)
        data = GL.glReadPixels(0, 0, width, height, GL.GL_RGBA, GL.GL_UNSIGNED_BYTE)
        return np.frombuffer(data, dtype=np.uint8)


def _gl_camera(camera: RigCamera, supersample: int, views: int, near_m: float) -> pyrender.IntrinsicsCamera:
    k = camera.intrinsics
    # OpenGL counts pixels from their edges, OpenCV from their centres. pyrender divides by the size of the whole
    # framebuffer, which is `views` times as high as a view.
    sx, sy = supersample, supersample * views
    cx, cy = (k.cx + 0.5) * sx, (k.cy + 0.5) * sy
    return pyrender.IntrinsicsCamera(k.fx * sx, k.fy * sy, cx, cy, znear=near_m, zfar=FAR_M)


def _sphere(around: np.ndarray, stacks: int = STACKS) -> np.ndarray:
    """Triangles (stacks, sectors, 2, 3, 3) of a unit sphere with grid lines `around` (sectors + 1,) it, from 0 to 1."""
    polar, azimuth = np.meshgrid(np.linspace(0, np.pi, stacks + 1), 2 * np.pi * around, indexing="ij")
    grid = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=-1)
    upper_left, lower_left = grid[:-1, :-1], grid[1:, :-1]
    upper_right, lower_right = grid[:-1, 1:], grid[1:, 1:]
    halves = [upper_left, lower_left, lower_right], [upper_left, lower_right, upper_right]
    return np.stack([np.stack(half, axis=-2) for half in halves], axis=2)


def _striped(colour: TargetColour, stripes: Stripes, index: int) -> pyrender.Primitive:
    """A unit sphere; the alpha channel of its colours tells which it is."""
    light, dark = (np.array([*tone, FIRST_CODE + index], np.uint8) for tone in (colour.light, colour.dark))
    around = np.linspace(0, 1, SECTORS + 1)
    plain = {"alphaMode": "OPAQUE", "baseColorFactor": (1.0, 1.0, 1.0, 1.0)}
    if stripes.around == "z":  # sharp: with a grid line at each border
        around = np.unique(np.concatenate([around, *stripes.dark]).round(9))
        is_dark, triangles = stripes.is_dark((around[1:] + around[:-1]) / 2), _sphere(around)
        tones = np.where(is_dark[:, None], dark, light).astype(np.float32) / 255
        colours = np.broadcast_to(tones[None, :, None, None], (*triangles.shape[:-1], 4))
        material = pyrender.MetallicRoughnessMaterial(**plain)
        return pyrender.Primitive(triangles.reshape(-1, 3), color_0=colours.reshape(-1, 4), material=material)
    # By a texture, as the published code has them: far away and at the rim they blur as there.
    is_dark = stripes.is_dark((np.arange(TEXTURE_PX) + 0.5) / TEXTURE_PX)
    row = np.where(is_dark[:, None], dark, light)
    texture = pyrender.Texture(source=np.tile(row, (TEXTURE_PX, 1, 1)), source_channels="RGBA")
    corners = _sphere(np.linspace(0, 1, 65), 31).reshape(-1, 3)
    positions, indices = np.unique(corners.round(9), axis=0, return_inverse=True)
    material = pyrender.MetallicRoughnessMaterial(**plain, baseColorTexture=texture)
    low = positions[:, :2].min(0)
    place = (positions[:, :2] - low) / (positions[:, :2].max(0) - low)
    return pyrender.Primitive(positions, texcoord_0=place, indices=indices, material=material)


def _label(rgba: np.ndarray, multisampled: np.ndarray) -> TargetViews:
    """Colours of the `multisampled` views, labels of the others; both (views, height, width, 4), bottom row first."""
    codes, multisampled = rgba[:, ::-1, :, 3], multisampled[:, ::-1]
    alpha = np.where(multisampled[..., 3] > 0, 255, 0).astype(np.uint8)
    labels = np.where(codes > 0, codes - (FIRST_CODE - 1), 0).astype(np.uint8)
    return TargetViews(np.ascontiguousarray(multisampled[..., :3]), alpha, labels)


def _downsample(rgba: np.ndarray, factor: int) -> TargetViews:
    """Averages what is `factor` times larger, (views, height, width, 4) with rows from bottom to top."""
    count, height, width = rgba.shape[0], rgba.shape[1] // factor, rgba.shape[2] // factor
    # For even factors no sample lies at the pixel's centre: the two beside it on the diagonal share the decision.
    first, second = (rgba[:, i::factor, i::factor, 3] for i in ((factor - 1) // 2, factor // 2))
    codes = np.where(first > 0, first, second)[:, ::-1]
    # The picture is zero where nothing is drawn, so that the average is already weighted by coverage.
    small = cv2.resize(rgba.reshape(-1, rgba.shape[2], 4), (width, count * height), interpolation=cv2.INTER_AREA)
    # Whole pixels as one number each: flipping and filling are then several times faster.
    pixels = small.view(np.uint32).reshape(count, height, width)[:, ::-1]
    white = int(np.array([255, 255, 255, 0], dtype=np.uint8).view(np.uint32)[0])
    rgba_small = np.where(pixels == 0, np.uint32(white), pixels).view(np.uint8).reshape(count * height, width, 4)
    rgb = cv2.cvtColor(rgba_small, cv2.COLOR_RGBA2RGB)
    alpha = cv2.LUT(np.ascontiguousarray(rgba_small[..., 3]), _coverage(factor))
    edge = np.flatnonzero((alpha > 0) & (alpha < 255))
    flat = rgb.reshape(-1, 3)
    flat[edge] = np.minimum(flat[edge] * (255.0 / alpha.reshape(-1)[edge, None]) + 0.5, 255)
    alpha = alpha.reshape(count, height, width)
    labels = np.where((alpha > 127) & (codes > 0), codes - (FIRST_CODE - 1), 0).astype(np.uint8)
    return TargetViews(rgb.reshape(count, height, width, 3), alpha, labels)


def _coverage(factor: int) -> np.ndarray:
    """Alpha (256,) uint8 of each average code: how many of the factor² samples lay on any sphere."""
    mean_code = FIRST_CODE + (len(TARGET_NAMES) - 1) / 2
    samples = np.minimum(np.rint(np.arange(256) / mean_code * factor**2), factor**2)
    return np.rint(samples * 255 / factor**2).astype(np.uint8)
