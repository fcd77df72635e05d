"""The scene of the page: the arm as it is, where it will go, what was drawn, and the cameras with their pictures."""

import time
from collections.abc import Mapping

import numpy as np
import viser
from sensor_msgs.msg import Image

from genima_core.arm import FRAMES, Arm
from genima_core.geometry import to_quat_wxyz
from genima_core.sim.meshes import coarse_meshes, mesh_poses
from genima_core.targets.locate import Drawn
from genima_core.targets.look import TARGET_NAMES, Look
from genima_core.targets.triangulation import camera_poses
from genima_core.types import ActionChunk
from genima_ros.messages.conversions import image_to_rgb
from genima_ros.nodes.console.watch import Watch

MOVED_RAD = 5e-4
ARM_COLOUR, SKELETON_COLOUR, CAMERA_COLOUR = (222, 226, 230), (200, 205, 210), (150, 160, 175)
ARM_OPACITY = 0.6
"""Targets are often inside the arm."""
DRAWN_RADIUS_M, PLANNED_RADIUS_M = 0.055, 0.022
DRAWN_OPACITY = 0.55
FADE_S = 4.0
"""Targets are shown until the pictures they come from are this old."""
LABELS_APART_M = 0.04
"""When its end and its middle are due stands at the path, at both if they are not too close to be read."""
FRUSTUM_M, FRUSTUM_LINE_M = 0.12, 0.006
FRUSTUM_EVERY_S = 0.4
"""A texture costs a browser without a GPU more than a picture beside the scene."""
VIEW_FROM, VIEW_AT = (1.6, 1.05, 0.95), (0.3, 0.0, 0.28)
TABLE_M = 1.6


class Scene:
    """All in the frame of the arm's base; `show` sends what has changed."""

    def __init__(self, server: viser.ViserServer, arm: Arm, look: Look) -> None:
        self._server, self._api, self._arm, self._look = server, server.scene, arm, look
        self._api.configure_default_lights(cast_shadow=False)
        server.initial_camera.position, server.initial_camera.look_at = VIEW_FROM, VIEW_AT
        self._api.add_grid("/table", width=TABLE_M, height=TABLE_M, cell_size=0.1, position=(0.4, 0.0, 0.0))
        self._links = self._add_links()
        self._q: np.ndarray | None = None
        self._opening = 1.0
        self._drawn = [
            self._api.add_icosphere(f"/drawn/{name}", DRAWN_RADIUS_M, opacity=DRAWN_OPACITY, visible=False)
            for name in TARGET_NAMES
        ]
        self._planned = [
            self._api.add_icosphere(f"/planned/{name}", PLANNED_RADIUS_M, visible=False) for name in TARGET_NAMES
        ]
        self._chunk: ActionChunk | None = None
        self._located: Drawn | None = None
        self._path: list[viser.SceneNodeHandle] = []
        self._cameras: dict[str, viser.CameraFrustumHandle] = {}
        self._pictured_s = 0.0

    def show(self, watch: Watch, drawn: Drawn | None) -> None:
        with self._server.atomic():
            if watch.q is not None:
                self._move_arm(watch.q, watch.opening)
                self._show_cameras(watch, watch.q)
            self._show_plan(watch)
            self._show_drawn(drawn, watch.now_s)

    def _add_links(self) -> list[viser.SceneNodeHandle]:
        """The arm's meshes; none where what brings them is not installed, then lines stand for it."""
        look = {"color": ARM_COLOUR, "opacity": ARM_OPACITY, "flat_shading": True}
        shapes = enumerate(coarse_meshes(self._arm))
        return [self._api.add_mesh_simple(f"/arm/{i}", *shape, **look) for i, shape in shapes]

    def _move_arm(self, q: np.ndarray, opening: float) -> None:
        still = self._q is not None and np.abs(q - self._q).max() < MOVED_RAD and abs(opening - self._opening) < 1e-3
        if still:
            return
        self._q, self._opening = q, opening
        if not self._links:
            points = self._arm.forward_kinematics(q)[: len(FRAMES), :3, 3]
            self._api.add_line_segments(
                "/arm/bones", np.stack([points[:-1], points[1:]], axis=1), SKELETON_COLOUR, thickness=0.04
            )
            return
        for link, (_, T_base_mesh) in zip(self._links, mesh_poses(self._arm, q, opening), strict=True):
            place(link, T_base_mesh)

    def _show_plan(self, watch: Watch) -> None:
        chunk = watch.chunk
        waiting = watch.proposed is not None and chunk is watch.proposed
        fresh = chunk is not None and (waiting or watch.now_s - chunk.stamp_s < FADE_S)
        if not fresh:
            chunk = None
        if chunk is self._chunk:
            return
        self._chunk = chunk
        for old in self._path:
            old.remove()
        self._path.clear()
        for sphere in self._planned:
            sphere.visible = chunk is not None
        if chunk is None:
            return
        opening = 1.0 if chunk.gripper is None else float(chunk.gripper[-1])
        poses = self._arm.target_poses(chunk.positions)
        for sphere, T_base_target, colour in zip(self._planned, poses[-1], self._look.colours(opening), strict=True):
            sphere.position, sphere.color = T_base_target[:3, 3], colour.light
        way = poses[:, TARGET_NAMES.index("gripper"), :3, 3]
        segments = np.stack([way[:-1], way[1:]], axis=1)
        self._path.append(self._api.add_line_segments("/path/line", segments, (255, 183, 77), thickness=0.008))
        for k in sorted({(len(way) - 1) // 2, len(way) - 1}):
            if k == len(way) - 1 or np.linalg.norm(way[-1] - way[k]) > LABELS_APART_M:
                due = f"+{(k + 1) * chunk.dt_s:.2f} s"
                label = self._api.add_label(f"/path/{k}", due, position=way[k], font_screen_scale=0.7)
                self._path.append(label)

    def _show_drawn(self, drawn: Drawn | None, now_s: float) -> None:
        if drawn is not None and now_s - drawn.stamp_s > FADE_S:
            drawn = None
        if drawn is self._located:
            return
        self._located = drawn
        colours = self._look.colours(1.0 if drawn is None else drawn.opening)
        for i, sphere in enumerate(self._drawn):
            seen = drawn is not None and bool(np.isfinite(drawn.points[i]).all())
            sphere.visible = seen
            if drawn is not None and seen:
                sphere.position, sphere.color = drawn.points[i], colours[i].light

    def _show_cameras(self, watch: Watch, q: np.ndarray) -> None:
        rig = watch.rig
        if rig is None:
            return
        if tuple(self._cameras) != tuple(rig.names):
            for frustum in self._cameras.values():
                frustum.remove()
            self._cameras = {
                camera.name: self._api.add_camera_frustum(
                    f"/cameras/{camera.name}",
                    2 * float(np.arctan2(camera.intrinsics.height / 2, camera.intrinsics.fy)),
                    camera.intrinsics.width / camera.intrinsics.height,
                    scale=FRUSTUM_M,
                    thickness=FRUSTUM_LINE_M,
                    color=CAMERA_COLOUR,
                )
                for camera in rig.cameras
            }
        for frustum, T_base_cam in zip(self._cameras.values(), camera_poses(rig, q), strict=True):
            if not np.allclose(frustum.position, T_base_cam[:3, 3], atol=1e-3):
                place(frustum, T_base_cam)
        now_s = time.monotonic()
        if now_s - self._pictured_s >= FRUSTUM_EVERY_S:
            self._pictured_s = now_s
            self._show_pictures(watch.images)

    def _show_pictures(self, images: Mapping[str, Image]) -> None:
        for name, frustum in self._cameras.items():
            if name in images:
                frustum.image = image_to_rgb(images[name])


def place(node: viser.SceneNodeHandle, T_base_node: np.ndarray) -> None:
    node.position, node.wxyz = T_base_node[:3, 3], to_quat_wxyz(T_base_node)
