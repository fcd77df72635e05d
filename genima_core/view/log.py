"""One episode as Rerun shows it: pictures, joints, the arm and the cameras in space, texts, all at capture times."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import rerun as rr

from genima_core.arm import FRAMES
from genima_core.cameras import CameraRig
from genima_core.data.bags.stamps import distances_ns
from genima_core.sim.meshes import coarse_meshes, mesh_poses
from genima_core.targets.locate import Drawn
from genima_core.targets.look import OURS, TARGET_NAMES
from genima_core.targets.triangulation import camera_poses
from genima_core.types import ActionChunk

TIMELINE = "capture_time"
SIMULATED_NS = 10**17
"""Smaller times, before 1973, are those of a simulation that began at 0, and are shown as seconds."""
WORLD, DRAWING, STATES, LOG, ABOUT = "/world", "/drawing", "/states", "/log", "/about"
JOINTS, GRIPPER, ERROR, SKEW = "/joints", "/gripper", "/following_error", "/skew"
POSES_S = 0.04
"""The arm in space moves at most so often; its joints are plotted as they came."""
JPEG, QUALITY = "image/jpeg", 90
"""How pictures that are not stored as such are shown."""
FRUSTUM_M = 0.15
DRAWN_RADIUS_M, PLANNED_RADIUS_M, SKELETON_RADIUS_M, WAY_RADIUS_M = 0.055, 0.022, 0.02, 0.004
DRAWN_ALPHA, ARM_ALPHA = 140, 160
"""Of 255: targets are often inside the arm."""
ARM_COLOUR, WAY_COLOUR = (222, 226, 230), (255, 183, 77)
JOINT_COLOURS = (
    (228, 87, 86),
    (245, 133, 24),
    (238, 202, 59),
    (84, 162, 75),
    (76, 120, 168),
    (178, 121, 162),
    (157, 117, 93),
)
PALE = 0.45
"""Commands have the joint's colour, so much of the way to white."""


class EpisodeLog:
    """Writes one episode into a stream of Rerun; times are ns of the recording's clock."""

    def __init__(self, stream: rr.RecordingStream, rig: CameraRig) -> None:
        self._stream, self._rig, self.arm = stream, rig, rig.arm
        stream.set_log_time_enabled(False)
        stream.set_log_tick_enabled(False)
        self._set_scene()

    def describe(self, text: str) -> None:
        """What stands beside the episode, in Markdown."""
        self._static(ABOUT, rr.TextDocument(text, media_type=rr.MediaType.MARKDOWN))

    # ---- numbers, all of an episode at once

    def joints(self, times_ns: np.ndarray, q: np.ndarray, opening: np.ndarray) -> None:
        """Measured: q (T, 7) rad, openings (T,) from 0 to 1; and so the arm in space, and what is mounted on it."""
        self._vectors(f"{JOINTS}/measured", times_ns, q)
        self._vectors(f"{GRIPPER}/measured", times_ns, opening[:, None])
        shown = np.unique(np.round((times_ns - times_ns[0]) / (1e9 * POSES_S)), return_index=True)[1]
        self._arm(times_ns[shown], q[shown], opening[shown])
        poses = np.stack([camera_poses(self._rig, each) for each in q[shown]], axis=1)
        for camera, T_base_cam in zip(self._rig.cameras, poses, strict=True):
            if camera.mount == "hand":
                self._poses(camera_path(camera.name), times_ns[shown], T_base_cam)

    def commands(self, times_ns: np.ndarray, q: np.ndarray) -> None:
        self._vectors(f"{JOINTS}/commanded", times_ns, q)

    def gripper_commands(self, times_ns: np.ndarray, opening: np.ndarray) -> None:
        self._vectors(f"{GRIPPER}/commanded", times_ns, opening[:, None])

    def following_errors(self, times_ns: np.ndarray, error_rad: np.ndarray) -> None:
        """(T,) of the joint that is furthest from what is commanded."""
        self._vectors(ERROR, times_ns, error_rad[:, None])

    def skews(self, camera: str, times_ns: np.ndarray, skew_ms: np.ndarray) -> None:
        """(T,) how much later each image was taken than the nearest one of the first camera."""
        self._vectors(f"{SKEW}/{camera}", times_ns, skew_ms[:, None])

    def targets(self, times_ns: np.ndarray, q: np.ndarray, opening: np.ndarray) -> None:
        """Where the drawn frames are to be: q (T, 7) rad and openings (T,)."""
        points = self.arm.target_poses(q)[..., :3, 3]
        colours = np.array([[colour.light for colour in OURS.colours(float(each))] for each in opening])
        columns = rr.Points3D.columns(positions=points.reshape(-1, 3), colors=colours.reshape(-1, 3))
        each = [len(TARGET_NAMES)] * len(times_ns)
        self._columns(f"{WORLD}/planned", times_ns, columns.partition(each))

    # ---- what comes one at a time

    def picture(self, path: str, time_ns: int, data: bytes, media_type: str = JPEG) -> None:
        """A compressed picture, as it is stored."""
        self._at(time_ns, path, rr.EncodedImage(contents=data, media_type=media_type))

    def drawn(self, drawn: Drawn, time_ns: int) -> None:
        """Targets of a drawing, those that can be located."""
        seen = np.isfinite(drawn.points).all(axis=1)
        colours = [(*colour.light, DRAWN_ALPHA) for colour in OURS.colours(drawn.opening)]
        names = [name for name, there in zip(TARGET_NAMES, seen, strict=True) if there]
        points = rr.Points3D(drawn.points[seen], colors=np.array(colours)[seen], labels=names, show_labels=False)
        self._at(time_ns, f"{WORLD}/drawn", points)

    def chunk(self, chunk: ActionChunk, time_ns: int) -> None:
        """Where a chunk ends, and the gripper's way there."""
        opening = 1.0 if chunk.gripper is None else float(chunk.gripper[-1])
        self.targets(np.array([time_ns]), chunk.positions[-1:], np.array([opening]))
        way = self.arm.target_poses(chunk.positions)[:, TARGET_NAMES.index("gripper"), :3, 3]
        self._at(time_ns, f"{WORLD}/way", rr.LineStrips3D([way], colors=WAY_COLOUR, radii=WAY_RADIUS_M))

    def state(self, what: str, time_ns: int, state: str) -> None:
        self._at(time_ns, f"{STATES}/{what}", rr.StateChange(state=state))

    def say(self, source: str, time_ns: int, text: str, level: str = "INFO") -> None:
        self._at(time_ns, f"{LOG}/{source}", rr.TextLog(text, level=level))

    # ---- the scene

    def _set_scene(self) -> None:
        self._static(WORLD, rr.ViewCoordinates.RIGHT_HAND_Z_UP)
        self._meshes = coarse_meshes(self.arm)
        for i, (vertices, faces) in enumerate(self._meshes):
            colour = (*ARM_COLOUR, ARM_ALPHA)
            mesh = rr.Mesh3D(vertex_positions=vertices, triangle_indices=faces, albedo_factor=colour)
            self._static(f"{WORLD}/arm/{i}", mesh)
        for camera, T_base_cam in zip(self._rig.cameras, camera_poses(self._rig, self.arm.home), strict=True):
            intrinsics, path = camera.intrinsics, camera_path(camera.name)
            pinhole = rr.Pinhole(
                image_from_camera=intrinsics.K, resolution=intrinsics.size, image_plane_distance=FRUSTUM_M
            )
            self._static(path, pinhole)
            if camera.mount == "base":
                self._static(path, rr.Transform3D(translation=T_base_cam[:3, 3], mat3x3=T_base_cam[:3, :3]))
        sizes = {"drawn": DRAWN_RADIUS_M, "planned": PLANNED_RADIUS_M}
        for name, radius_m in sizes.items():
            self._static(f"{WORLD}/{name}", rr.Points3D.from_fields(radii=radius_m))
        pale = [tuple(round(level + PALE * (255 - level)) for level in colour) for colour in JOINT_COLOURS]
        names = [f"joint {i}" for i in range(1, 8)]
        for what, colours, width in (("measured", list(JOINT_COLOURS), 2.0), ("commanded", pale, 1.0)):
            told = [f"{name} {what}" for name in names]
            self._static(f"{JOINTS}/{what}", rr.SeriesLines(colors=colours, names=told, widths=[width] * 7))
            line = rr.SeriesLines(colors=[colours[4]], names=[f"opening {what}"], widths=[width])
            self._static(f"{GRIPPER}/{what}", line)
        self._static(ERROR, rr.SeriesLines(names=["following error, rad"]))
        for i, name in enumerate(self._rig.names):
            self._static(f"{SKEW}/{name}", rr.SeriesLines(colors=[JOINT_COLOURS[i]], names=[f"{name}, ms"]))

    def _arm(self, times_ns: np.ndarray, q: np.ndarray, opening: np.ndarray) -> None:
        if self._meshes:
            for i, (_, T_base_mesh) in enumerate(mesh_poses(self.arm, q, opening)):
                self._poses(f"{WORLD}/arm/{i}", times_ns, T_base_mesh)
            return
        points = self.arm.forward_kinematics(q)[:, : len(FRAMES), :3, 3]
        bones = rr.LineStrips3D.columns(strips=list(points))
        self._static(f"{WORLD}/arm", rr.LineStrips3D.from_fields(colors=ARM_COLOUR, radii=SKELETON_RADIUS_M))
        self._columns(f"{WORLD}/arm", times_ns, bones)

    def _poses(self, path: str, times_ns: np.ndarray, T: np.ndarray) -> None:
        """(T, 4, 4)"""
        columns = rr.Transform3D.columns(translation=T[:, :3, 3], mat3x3=T[:, :3, :3].reshape(-1, 9))
        self._columns(path, times_ns, columns)

    # ---- into the stream

    def _vectors(self, path: str, times_ns: np.ndarray, values: np.ndarray) -> None:
        """(T, n)"""
        columns = rr.Scalars.columns(scalars=values.ravel())
        self._columns(path, times_ns, columns.partition([values.shape[1]] * len(values)))

    def _columns(self, path: str, times_ns: np.ndarray, columns: rr.ComponentColumnList) -> None:
        if times_ns[0] < SIMULATED_NS:
            times = rr.TimeColumn(TIMELINE, duration=times_ns.astype("timedelta64[ns]"))
        else:
            times = rr.TimeColumn(TIMELINE, timestamp=times_ns.astype("datetime64[ns]"))
        self._stream.send_columns(path, [times], columns)

    def _at(self, time_ns: int, path: str, what: rr.AsComponents) -> None:
        if time_ns < SIMULATED_NS:
            self._stream.set_time(TIMELINE, duration=np.timedelta64(time_ns, "ns"))
        else:
            self._stream.set_time(TIMELINE, timestamp=np.datetime64(time_ns, "ns"))
        self._stream.log(path, what)

    def _static(self, path: str, what: rr.AsComponents) -> None:
        self._stream.log(path, what, static=True)


def jpeg(rgb: np.ndarray) -> bytes:
    """(H, W, 3) uint8, with the full resolution of its colours: at 64x64 a button is three pixels wide."""
    how = [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), how)[1].tobytes()


def camera_path(camera: str) -> str:
    return f"{WORLD}/cameras/{camera}"


def skews_ms(stamps_ns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Camera to how much later each of its images (N,) was taken than the nearest one of the first camera."""
    first = next((own for own in stamps_ns.values() if len(own)), None)
    if first is None:
        return {}
    return {name: -1e-6 * distances_ns(own, first) for name, own in stamps_ns.items() if len(own)}


def about(rows: Sequence[tuple[str, object]]) -> str:
    """A table in Markdown of what is known of an episode."""
    told = [(name, " ".join(str(value).split()).replace("|", "\\|")) for name, value in rows if value not in ("", None)]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in told)])
